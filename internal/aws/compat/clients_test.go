package compat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	datasdk "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	datatypes "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore/types"
	controlsdk "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	controltypes "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/aws/smithy-go"

	"github.com/moorage-dev/moorage"
	data "github.com/moorage-dev/moorage/internal/aws/agentcore"
	control "github.com/moorage-dev/moorage/internal/aws/agentcorecontrol"
	"github.com/moorage-dev/moorage/internal/aws/wire"
)

const (
	runtimeID  = "demo-abcdefghij"
	runtimeARN = "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/" + runtimeID
	sessionID  = "0123456789abcdef0123456789abcdef-session"
)

var created = time.Date(2026, 11, 22, 19, 0, 0, 123456789, time.UTC)

// face serves both planes with handlers whose answers say what they were asked.
type face struct {
	*httptest.Server
	calls   atomic.Int32
	release chan struct{} // a stream waits for it between its two chunks
}

func newFace(t *testing.T) *face {
	f := &face{release: make(chan struct{}, 1)}
	c, d := wire.NewService(control.Model, wire.Options{}), wire.NewService(data.Model, wire.Options{})
	wire.Handle(c, control.CreateAgentRuntime, f.create)
	wire.Handle(c, control.GetAgentRuntime, f.get)
	wire.Handle(c, control.ListAgentRuntimes, f.list)
	wire.Handle(c, control.TagResource, f.tag)
	wire.Handle(c, control.GetWorkloadIdentity, f.identity)
	wire.Handle(d, data.InvokeAgentRuntime, f.invoke)
	wire.Handle(d, data.InvokeAgentRuntimeCommand, f.command)
	wire.Handle(d, data.StopRuntimeSession, f.stop)
	wire.Handle(d, data.GetAgentCard, f.card)
	count := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.calls.Add(1); next.ServeHTTP(w, r) })
	}
	c.Use(count)
	d.Use(count)
	f.Server = httptest.NewServer(wire.Router{c, d})
	t.Cleanup(f.Close)
	return f
}

func (f *face) create(_ context.Context, in *control.CreateAgentRuntimeInput) (*control.CreateAgentRuntimeOutput, error) {
	if in.AgentRuntimeName == "taken" {
		return nil, moorage.Errorf(moorage.Conflict, "an agent named taken exists")
	}
	return &control.CreateAgentRuntimeOutput{
		AgentRuntimeArn: runtimeARN, AgentRuntimeId: runtimeID, AgentRuntimeVersion: "1",
		CreatedAt: created, Status: control.AgentRuntimeStatusCreating,
	}, nil
}

func (f *face) get(_ context.Context, in *control.GetAgentRuntimeInput) (*control.GetAgentRuntimeOutput, error) {
	return &control.GetAgentRuntimeOutput{
		AgentRuntimeArn: runtimeARN, AgentRuntimeId: in.AgentRuntimeId, AgentRuntimeName: "demo", AgentRuntimeVersion: "7",
		CreatedAt: created, LastUpdatedAt: created, RoleArn: "arn:aws:iam::123456789012:role/r", Status: control.AgentRuntimeStatusReady,
		AgentRuntimeArtifact: &control.AgentRuntimeArtifact{CodeConfiguration: &control.CodeConfiguration{
			Code:    control.Code{S3: &control.S3Location{Bucket: "bucket", Prefix: "key"}},
			Runtime: control.AgentManagedRuntimeTypePython311, EntryPoint: []string{"main.py"},
		}},
		EnvironmentVariables: map[string]string{"A": "<&>é"},
	}, nil
}

func (f *face) list(_ context.Context, in *control.ListAgentRuntimesInput) (*control.ListAgentRuntimesOutput, error) {
	if in.NextToken != nil {
		return &control.ListAgentRuntimesOutput{}, nil
	}
	next := fmt.Sprintf("after-%d", *in.MaxResults)
	return &control.ListAgentRuntimesOutput{NextToken: &next, AgentRuntimes: []control.AgentRuntime{
		{AgentRuntimeArn: runtimeARN, AgentRuntimeId: runtimeID, AgentRuntimeName: "demo", AgentRuntimeVersion: "1", LastUpdatedAt: created, Status: control.AgentRuntimeStatusReady},
	}}, nil
}

func (f *face) tag(_ context.Context, in *control.TagResourceInput) (*control.TagResourceOutput, error) {
	if in.ResourceArn != runtimeARN || in.Tags["k"] != "v" {
		return nil, moorage.Errorf(moorage.NotFound, "no resource %s", in.ResourceArn)
	}
	return &control.TagResourceOutput{}, nil
}

func (f *face) identity(_ context.Context, in *control.GetWorkloadIdentityInput) (*control.GetWorkloadIdentityOutput, error) {
	return &control.GetWorkloadIdentityOutput{Name: in.Name, WorkloadIdentityArn: "arn", CreatedTime: created, LastUpdatedTime: created}, nil
}

// invoke fails with the code that the payload names, and else streams two chunks.
func (f *face) invoke(_ context.Context, in *data.InvokeAgentRuntimeInput) (*data.InvokeAgentRuntimeOutput, error) {
	raw, err := io.ReadAll(in.Payload)
	if err != nil {
		return nil, err
	}
	if code, ok := strings.CutPrefix(string(raw), "fail "); ok {
		return nil, moorage.Errorf(moorage.Code(code), "as you wished")
	}
	out, in2 := io.Pipe()
	go func() {
		fmt.Fprintf(in2, "data: %s %s\n\n", in.AgentRuntimeArn, raw)
		<-f.release
		if string(raw) == "break" {
			in2.CloseWithError(errors.New("the agent died"))
			return
		}
		io.WriteString(in2, "data: end\n\n")
		in2.Close()
	}()
	return &data.InvokeAgentRuntimeOutput{ContentType: "text/event-stream", RuntimeSessionId: in.RuntimeSessionId, Response: out}, nil
}

func (f *face) command(_ context.Context, in *data.InvokeAgentRuntimeCommandInput) (*data.InvokeAgentRuntimeCommandOutput, error) {
	return &data.InvokeAgentRuntimeCommandOutput{RuntimeSessionId: in.RuntimeSessionId, Stream: shell(in.Body.Command)}, nil
}

func shell(command string) iter.Seq2[data.InvokeAgentRuntimeCommandStreamOutput, error] {
	chunk := func(c data.ResponseChunk) data.InvokeAgentRuntimeCommandStreamOutput {
		return data.InvokeAgentRuntimeCommandStreamOutput{Chunk: &c}
	}
	return func(yield func(data.InvokeAgentRuntimeCommandStreamOutput, error) bool) {
		yield(chunk(data.ResponseChunk{ContentStart: &data.ContentStartEvent{}}), nil)
		yield(chunk(data.ResponseChunk{}), nil) // a sign of life
		yield(chunk(data.ResponseChunk{ContentDelta: &data.ContentDeltaEvent{Stdout: &command}}), nil)
		switch command {
		case "fail":
			yield(chunk(data.ResponseChunk{}), moorage.Errorf(moorage.AgentFailed, "the sandbox ended"))
		case "busy": // not an exception of this stream
			yield(chunk(data.ResponseChunk{}), moorage.Errorf(moorage.Busy, "come back"))
		default:
			yield(chunk(data.ResponseChunk{ContentStop: &data.ContentStopEvent{ExitCode: 3, Status: data.CommandExecutionStatusCompleted}}), nil)
		}
	}
}

func (f *face) stop(_ context.Context, in *data.StopRuntimeSessionInput) (*data.StopRuntimeSessionOutput, error) {
	return &data.StopRuntimeSessionOutput{RuntimeSessionId: &in.RuntimeSessionId}, nil
}

func (f *face) card(_ context.Context, in *data.GetAgentCardInput) (*data.GetAgentCardOutput, error) {
	return &data.GetAgentCardOutput{AgentCard: json.RawMessage(`{"name":"demo","skills":[{"id":1}]}`)}, nil
}

func (f *face) clients() (*controlsdk.Client, *datasdk.Client) {
	keys := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "secret"}, nil
	})
	config := aws.Config{Region: "us-east-1", Credentials: keys, BaseEndpoint: aws.String(f.URL)}
	return controlsdk.NewFromConfig(config), datasdk.NewFromConfig(config)
}

func createInput(name string) *controlsdk.CreateAgentRuntimeInput {
	return &controlsdk.CreateAgentRuntimeInput{
		AgentRuntimeName: &name, RoleArn: aws.String("arn:aws:iam::123456789012:role/r"),
		AgentRuntimeArtifact: &controltypes.AgentRuntimeArtifactMemberContainerConfiguration{
			Value: controltypes.ContainerConfiguration{ContainerUri: aws.String("localhost:9400/x:1")},
		},
	}
}

func TestGoSDK_control(t *testing.T) {
	c, _ := newFace(t).clients()
	ctx := t.Context()

	made, err := c.CreateAgentRuntime(ctx, createInput("demo"))
	if err != nil || *made.AgentRuntimeArn != runtimeARN || !made.CreatedAt.Equal(created) || made.Status != "CREATING" {
		t.Errorf("create: %+v, %v", made, err)
	}
	got, err := c.GetAgentRuntime(ctx, &controlsdk.GetAgentRuntimeInput{AgentRuntimeId: aws.String(runtimeID)})
	if err != nil {
		t.Fatal(err)
	}
	code := got.AgentRuntimeArtifact.(*controltypes.AgentRuntimeArtifactMemberCodeConfiguration).Value
	if *code.Code.(*controltypes.CodeMemberS3).Value.Prefix != "key" || code.Runtime != "PYTHON_3_11" || got.EnvironmentVariables["A"] != "<&>é" {
		t.Errorf("get: %+v", got)
	}
	pages := controlsdk.NewListAgentRuntimesPaginator(c, &controlsdk.ListAgentRuntimesInput{MaxResults: aws.Int32(5)})
	n := 0
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		n += len(page.AgentRuntimes)
	}
	if n != 1 {
		t.Errorf("listed %d runtimes", n)
	}
	if _, err := c.TagResource(ctx, &controlsdk.TagResourceInput{ResourceArn: aws.String(runtimeARN), Tags: map[string]string{"k": "v"}}); err != nil {
		t.Errorf("tag: %v", err)
	}
	id, err := c.GetWorkloadIdentity(ctx, &controlsdk.GetWorkloadIdentityInput{Name: aws.String("demo")})
	if err != nil || !id.CreatedTime.Equal(created.Truncate(time.Millisecond)) {
		t.Errorf("identity: %+v, %v", id, err)
	}
}

func TestGoSDK_controlErrors(t *testing.T) {
	f := newFace(t)
	c, _ := f.clients()
	ctx := t.Context()

	_, err := c.CreateAgentRuntime(ctx, createInput("0bad"))
	var invalid *controltypes.ValidationException
	if !errors.As(err, &invalid) || invalid.Reason != "FieldValidationFailed" || len(invalid.FieldList) != 1 || *invalid.FieldList[0].Name != "agentRuntimeName" {
		t.Errorf("bad name: %v", err)
	}
	_, err = c.CreateAgentRuntime(ctx, createInput("taken"))
	var conflict *controltypes.ConflictException
	if !errors.As(err, &conflict) || *conflict.Message != "an agent named taken exists" {
		t.Errorf("taken name: %v", err)
	}

	f.calls.Store(0)
	_, err = c.ListGateways(ctx, &controlsdk.ListGatewaysInput{})
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != "UnsupportedOperationException" || !strings.Contains(api.ErrorMessage(), "ListGateways") {
		t.Errorf("unsupported: %v", err)
	}
	if n := f.calls.Load(); n != 1 {
		t.Errorf("an unsupported operation was tried %d times", n)
	}
}

func invokeInput(payload string) *datasdk.InvokeAgentRuntimeInput {
	return &datasdk.InvokeAgentRuntimeInput{AgentRuntimeArn: aws.String(runtimeARN), RuntimeSessionId: aws.String(sessionID), Payload: []byte(payload)}
}

func TestGoSDK_invokeStreamsChunkByChunk(t *testing.T) {
	f := newFace(t)
	_, d := f.clients()
	got, err := d.InvokeAgentRuntime(t.Context(), invokeInput("hello"))
	if err != nil {
		t.Fatal(err)
	}
	defer got.Response.Close()
	first := make([]byte, len("data: "+runtimeARN+" hello\n\n"))
	if _, err := io.ReadFull(got.Response, first); err != nil || !strings.Contains(string(first), runtimeARN) {
		t.Fatalf("first chunk %q, %v", first, err) // the second has not been let go yet
	}
	f.release <- struct{}{}
	rest, err := io.ReadAll(got.Response)
	if err != nil || string(rest) != "data: end\n\n" || *got.RuntimeSessionId != sessionID || *got.ContentType != "text/event-stream" {
		t.Errorf("%q, %v, %+v", rest, err, got)
	}
}

func TestGoSDK_brokenStreamIsAnError(t *testing.T) {
	f := newFace(t)
	_, d := f.clients()
	got, err := d.InvokeAgentRuntime(t.Context(), invokeInput("break"))
	if err != nil {
		t.Fatal(err)
	}
	defer got.Response.Close()
	f.release <- struct{}{}
	if raw, err := io.ReadAll(got.Response); err == nil {
		t.Errorf("half a stream passed for a whole one: %q", raw)
	}
}

func TestGoSDK_dataErrors(t *testing.T) {
	_, d := newFace(t).clients()
	for code, want := range map[moorage.Code]string{
		moorage.Denied:          "AccessDeniedException",
		moorage.NotFound:        "ResourceNotFoundException",
		moorage.Quota:           "ServiceQuotaExceededException",
		moorage.AgentFailed:     "RuntimeClientError",
		moorage.Unauthenticated: "UnauthorizedException",
		moorage.Invalid:         "ValidationException",
		moorage.Conflict:        "ConflictException",
	} {
		_, err := d.InvokeAgentRuntime(t.Context(), invokeInput("fail "+string(code)))
		var api smithy.APIError
		if !errors.As(err, &api) || api.ErrorCode() != want || api.ErrorMessage() != "as you wished" {
			t.Errorf("%s: %v", code, err)
		}
	}
	short := invokeInput("x")
	short.RuntimeSessionId = aws.String("testsession123")
	_, err := d.InvokeAgentRuntime(t.Context(), short)
	var invalid *datatypes.ValidationException
	if !errors.As(err, &invalid) || *invalid.FieldList[0].Name != "runtimeSessionId" {
		t.Errorf("short session id: %v", err)
	}
}

func TestGoSDK_commandEvents(t *testing.T) {
	_, d := newFace(t).clients()
	for command, want := range map[string]string{"ls": "", "fail": "RuntimeClientError", "busy": "RetryableConflictException"} {
		got, err := d.InvokeAgentRuntimeCommand(t.Context(), &datasdk.InvokeAgentRuntimeCommandInput{
			AgentRuntimeArn: aws.String(runtimeARN), Body: &datatypes.InvokeAgentRuntimeCommandRequestBody{Command: &command},
		})
		if err != nil {
			t.Fatal(err)
		}
		var stdout string
		var exit int32
		for event := range got.GetStream().Events() {
			switch c := event.(*datatypes.InvokeAgentRuntimeCommandStreamOutputMemberChunk).Value; {
			case c.ContentDelta != nil:
				stdout += *c.ContentDelta.Stdout
			case c.ContentStop != nil:
				exit = *c.ContentStop.ExitCode
			}
		}
		err = got.GetStream().Err()
		var api smithy.APIError
		switch {
		case stdout != command:
			t.Errorf("%s printed %q", command, stdout)
		case want == "" && (err != nil || exit != 3):
			t.Errorf("%s: exit %d, %v", command, exit, err)
		case want != "" && (!errors.As(err, &api) || api.ErrorCode() != want):
			t.Errorf("%s: %v, want %s", command, err, want)
		}
	}
}

func TestGoSDK_stopAndCard(t *testing.T) {
	_, d := newFace(t).clients()
	stopped, err := d.StopRuntimeSession(t.Context(), &datasdk.StopRuntimeSessionInput{AgentRuntimeArn: aws.String(runtimeARN), RuntimeSessionId: aws.String(sessionID)})
	if err != nil || *stopped.StatusCode != 200 || *stopped.RuntimeSessionId != sessionID {
		t.Errorf("stop: %+v, %v", stopped, err)
	}
	card, err := d.GetAgentCard(t.Context(), &datasdk.GetAgentCardInput{AgentRuntimeArn: aws.String(runtimeARN)})
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Name string }
	if err := card.AgentCard.UnmarshalSmithyDocument(&doc); err != nil || doc.Name != "demo" {
		t.Errorf("card: %+v, %v", doc, err)
	}
}
