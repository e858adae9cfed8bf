package compat

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	controltypes "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
)

func (c clientFile) Retrieve(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey}, nil
}

// The clients retry nothing: a test wants the first answer.

func (s *server) control() *control.Client {
	return control.New(control.Options{BaseEndpoint: &s.client.Endpoint, Region: s.client.Region, Credentials: s.client, Retryer: aws.NopRetryer{}})
}

func (s *server) data() *data.Client {
	return data.New(data.Options{BaseEndpoint: &s.client.Endpoint, Region: s.client.Region, Credentials: s.client, Retryer: aws.NopRetryer{}})
}

func (s *server) objects() *s3.Client {
	return s3.New(s3.Options{BaseEndpoint: &s.client.Endpoint, Region: s.client.Region, Credentials: s.client, Retryer: aws.NopRetryer{}, UsePathStyle: true})
}

func (s *server) role() string { return "arn:aws:iam::" + s.client.Account + ":role/compat" }

// ask calls the server's own API under /v1, signed.
func (s *server) ask(ctx context.Context, method, path string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, s.client.Endpoint+path, nil)
	if err != nil {
		return nil, err
	}
	empty := sha256.Sum256(nil)
	credentials, _ := s.client.Retrieve(ctx)
	if err := v4.NewSigner().SignHTTP(ctx, credentials, r, hex.EncodeToString(empty[:]), "bedrock-agentcore", s.client.Region, time.Now()); err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: status %d: %s", method, path, answer.StatusCode, body)
	}
	return body, err
}

// session is one session as /v1/sessions shows it.
type session struct {
	ID         string `json:"id"`
	SessionID  string `json:"sessionId"`
	RuntimeARN string `json:"runtimeArn"`
	Owner      string `json:"owner"`
	Version    string `json:"version"`
	State      string `json:"state"`
	StartedBy  string `json:"startedBy"`
	EndReason  string `json:"endReason"`
}

// sessions returns the sessions that callers opened under an id, newest first among the ended.
func (s *server) sessions(ctx context.Context, callerID string) (out []session, err error) {
	var all struct{ Sessions []session }
	answer, err := s.ask(ctx, "GET", "/v1/sessions?all=true")
	if err == nil {
		err = json.Unmarshal(answer, &all)
	}
	for _, x := range all.Sessions {
		if x.SessionID == callerID {
			out = append(out, x)
		}
	}
	return out, err
}

// deployment is an agent to be.
type deployment struct {
	name    string
	source  string            // directory of its code
	files   map[string]string // further files, or others in place of the directory's
	entry   string            // a file, or a command before it
	env     map[string]string
	headers []string // allow-list
	storage string   // mount path of session storage
	idle    int32    // seconds; 0 is the default
	tags    map[string]string

	protocol controltypes.ServerProtocol // empty is HTTP
	port     int32                       // 0 is the protocol's
	path     string                      // empty is the protocol's
	runtime  controltypes.AgentManagedRuntimeType

	authorizer controltypes.AuthorizerConfiguration // nil is SigV4
}

// agent is a runtime on a server.
type agent struct {
	server  *server
	id, arn string
}

const bucket = "compat"

// deploy uploads the code and creates the runtime. The error says why when it does not become READY.
func (s *server) deploy(ctx context.Context, d deployment) (*agent, error) {
	a, err := s.create(ctx, d)
	if err != nil {
		return nil, err
	}
	return a, a.awaitReady(ctx)
}

// create is deploy without the wait.
func (s *server) create(ctx context.Context, d deployment) (*agent, error) {
	artifact, err := s.upload(ctx, d)
	if err != nil {
		return nil, err
	}
	made, err := s.control().CreateAgentRuntime(ctx, &control.CreateAgentRuntimeInput{
		AgentRuntimeName: uniqueName(d.name), RoleArn: aws.String(s.role()), AgentRuntimeArtifact: artifact,
		NetworkConfiguration: &controltypes.NetworkConfiguration{NetworkMode: controltypes.NetworkModePublic},
		EnvironmentVariables: d.env, RequestHeaderConfiguration: d.allowlist(), FilesystemConfigurations: d.filesystems(), LifecycleConfiguration: d.lifecycle(),
		ProtocolConfiguration: d.protocolConfiguration(), AuthorizerConfiguration: d.authorizer, Tags: d.tags,
	})
	if err != nil {
		return nil, err
	}
	return &agent{server: s, id: *made.AgentRuntimeId, arn: *made.AgentRuntimeArn}, nil
}

// uniqueName lets a test run more than once on the same server.
func uniqueName(name string) *string {
	return aws.String(fmt.Sprintf("%s_%x", name, time.Now().UnixNano()))
}

// update replaces the agent's configuration by d, whole, and waits until the new version is READY.
func (a *agent) update(ctx context.Context, d deployment) (version string, err error) {
	artifact, err := a.server.upload(ctx, d)
	if err != nil {
		return "", err
	}
	made, err := a.server.control().UpdateAgentRuntime(ctx, &control.UpdateAgentRuntimeInput{
		AgentRuntimeId: &a.id, RoleArn: aws.String(a.server.role()), AgentRuntimeArtifact: artifact,
		NetworkConfiguration: &controltypes.NetworkConfiguration{NetworkMode: controltypes.NetworkModePublic},
		EnvironmentVariables: d.env, RequestHeaderConfiguration: d.allowlist(), FilesystemConfigurations: d.filesystems(), LifecycleConfiguration: d.lifecycle(),
		ProtocolConfiguration: d.protocolConfiguration(), AuthorizerConfiguration: d.authorizer,
	})
	if err != nil {
		return "", err
	}
	return *made.AgentRuntimeVersion, a.awaitReady(ctx)
}

func (d deployment) allowlist() controltypes.RequestHeaderConfiguration {
	if len(d.headers) == 0 {
		return nil
	}
	return &controltypes.RequestHeaderConfigurationMemberRequestHeaderAllowlist{Value: d.headers}
}

func (d deployment) filesystems() []controltypes.FilesystemConfiguration {
	if d.storage == "" {
		return nil
	}
	return []controltypes.FilesystemConfiguration{&controltypes.FilesystemConfigurationMemberSessionStorage{
		Value: controltypes.SessionStorageConfiguration{MountPath: &d.storage},
	}}
}

func (d deployment) protocolConfiguration() *controltypes.ProtocolConfiguration {
	if d.protocol == "" {
		return nil
	}
	c := &controltypes.ProtocolConfiguration{ServerProtocol: d.protocol}
	if d.port != 0 {
		c.Port = &d.port
	}
	if d.path != "" {
		c.Path = &d.path
	}
	return c
}

func (d deployment) lifecycle() *controltypes.LifecycleConfiguration {
	if d.idle == 0 {
		return nil
	}
	return &controltypes.LifecycleConfiguration{IdleRuntimeSessionTimeout: &d.idle}
}

// upload puts the code into the server's bucket with the real S3 client.
func (s *server) upload(ctx context.Context, d deployment) (controltypes.AgentRuntimeArtifact, error) {
	code, err := zipped(d.source, d.files)
	if err != nil {
		return nil, err
	}
	if _, err := s.objects().CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
		return nil, fmt.Errorf("create bucket: %w", err)
	}
	key := d.name + "/code.zip"
	if _, err := s.objects().PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: bytes.NewReader(code)}); err != nil {
		return nil, fmt.Errorf("upload: %w", err)
	}
	return &controltypes.AgentRuntimeArtifactMemberCodeConfiguration{Value: controltypes.CodeConfiguration{
		Code:    &controltypes.CodeMemberS3{Value: controltypes.S3Location{Bucket: aws.String(bucket), Prefix: &key}},
		Runtime: cmp.Or(d.runtime, controltypes.AgentManagedRuntimeTypePython311), EntryPoint: strings.Fields(d.entry),
	}}, nil
}

// zipped packs a directory, when one is given, and further files.
func zipped(dir string, files map[string]string) ([]byte, error) {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	if dir != "" {
		if err := w.AddFS(os.DirFS(filepath.Join("testdata", dir))); err != nil {
			return nil, err
		}
	}
	for name, text := range files {
		f, err := w.Create(name)
		if err != nil {
			return nil, err
		}
		if _, err := io.WriteString(f, text); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return out.Bytes(), err
}

const deployLimit = 4 * time.Minute

// awaitReady polls the runtime as toolkits do.
func (a *agent) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, deployLimit)
	defer cancel()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		got, err := a.server.control().GetAgentRuntime(ctx, &control.GetAgentRuntimeInput{AgentRuntimeId: &a.id})
		if err != nil {
			return err
		}
		switch got.Status {
		case controltypes.AgentRuntimeStatusReady:
			return nil
		case controltypes.AgentRuntimeStatusCreating, controltypes.AgentRuntimeStatusUpdating:
		default:
			return &deployError{got.Status, aws.ToString(got.FailureReason)}
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return fmt.Errorf("%s is still %s after %s", a.id, got.Status, deployLimit)
		}
	}
}

// deployError is a version that did not become READY.
type deployError struct {
	status controltypes.AgentRuntimeStatus
	reason string
}

func (e *deployError) Error() string { return fmt.Sprintf("%s: %s", e.status, e.reason) }

// state is how the probe agent answers.
type state struct {
	Count   int
	Boot    string // differs for every sandbox
	PID     int
	Version string
	Text    *string
}

// call invokes the agent with a JSON document and decodes its answer into out.
func (a *agent) call(ctx context.Context, session string, in, out any) error {
	return a.callAs(ctx, session, "", in, out)
}

// callAs is call on behalf of a user.
func (a *agent) callAs(ctx context.Context, session, user string, in, out any) error {
	request := &data.InvokeAgentRuntimeInput{RuntimeSessionId: &session}
	if user != "" {
		request.RuntimeUserId = &user
	}
	return a.send(ctx, request, in, out)
}

// callAt is call through an endpoint.
func (a *agent) callAt(ctx context.Context, session, endpoint string, in, out any) error {
	return a.send(ctx, &data.InvokeAgentRuntimeInput{RuntimeSessionId: &session, Qualifier: &endpoint}, in, out)
}

func (a *agent) send(ctx context.Context, request *data.InvokeAgentRuntimeInput, in, out any) (err error) {
	request.AgentRuntimeArn, request.ContentType = &a.arn, aws.String("application/json")
	if request.Payload, err = json.Marshal(in); err != nil {
		return err
	}
	answer, err := a.server.data().InvokeAgentRuntime(ctx, request)
	if err != nil {
		return err
	}
	defer answer.Response.Close()
	body, err := io.ReadAll(answer.Response)
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(body, out)
}

// open invokes the agent and returns the answer as it comes.
func (a *agent) open(ctx context.Context, session, payload string) (io.ReadCloser, error) {
	answer, err := a.server.data().InvokeAgentRuntime(ctx, &data.InvokeAgentRuntimeInput{
		AgentRuntimeArn: &a.arn, RuntimeSessionId: &session, ContentType: aws.String("application/json"), Payload: []byte(payload),
	})
	if err != nil {
		return nil, err
	}
	return answer.Response, nil
}

// state invokes a probe and returns what it says about itself.
func (a *agent) state(t *testing.T, session string) (s state) {
	t.Helper()
	if err := a.call(t.Context(), session, map[string]any{"op": "state"}, &s); err != nil {
		t.Fatalf("invoke session %s: %v", session, err)
	}
	return s
}

func (a *agent) stopSession(ctx context.Context, session string) error {
	_, err := a.server.data().StopRuntimeSession(ctx, &data.StopRuntimeSessionInput{AgentRuntimeArn: &a.arn, RuntimeSessionId: &session})
	return err
}

// newSession makes an id of the length that the API asks for, named after the test.
func newSession(t *testing.T) string {
	name := strings.NewReplacer("/", "-", " ", "-").Replace(t.Name())
	id := fmt.Sprintf("%s-%d-%s", name, time.Now().UnixNano(), strings.Repeat("0", 33))
	return id[:min(len(id), 100)]
}

// wantError fails the test unless err is the API's error of that name, and returns its message.
func wantError(t *testing.T, err error, code string) string {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) {
		t.Fatalf("want %s, got %v", code, err)
	}
	if api.ErrorCode() != code {
		t.Fatalf("want %s, got %s: %s", code, api.ErrorCode(), api.ErrorMessage())
	}
	return api.ErrorMessage()
}

// wantWords fails the test unless text holds every one of the words.
func wantWords(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q is missing from: %s", w, text)
		}
	}
}

// eventually polls until check is true; limit is how long that may take.
func eventually(t *testing.T, limit time.Duration, what string, check func() bool) {
	t.Helper()
	deadline := time.After(limit)
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for !check() {
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}
