package compat

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/moorage-dev/moorage"
	data "github.com/moorage-dev/moorage/internal/aws/agentcore"
	control "github.com/moorage-dev/moorage/internal/aws/agentcorecontrol"
	"github.com/moorage-dev/moorage/internal/aws/wire"
)

// AWS's SDK modules hold a golden request and response for each operation, with every member set.
// Each is sent through a service whose handler returns the golden output: the input must hold the
// golden request's values, and the answer must be the golden response.

func TestGolden_control(t *testing.T) {
	dir, m := snapshots(t, "bedrockagentcorecontrol"), loosened(control.Model)
	golden(t, dir, m, control.CreateAgentRuntime)
	golden(t, dir, m, control.GetAgentRuntime)
	golden(t, dir, m, control.UpdateAgentRuntime)
	golden(t, dir, m, control.DeleteAgentRuntime)
	golden(t, dir, m, control.ListAgentRuntimes)
	golden(t, dir, m, control.ListAgentRuntimeVersions)
	golden(t, dir, m, control.CreateAgentRuntimeEndpoint)
	golden(t, dir, m, control.GetAgentRuntimeEndpoint)
	golden(t, dir, m, control.UpdateAgentRuntimeEndpoint)
	golden(t, dir, m, control.DeleteAgentRuntimeEndpoint)
	golden(t, dir, m, control.ListAgentRuntimeEndpoints)
	golden(t, dir, m, control.TagResource)
	golden(t, dir, m, control.UntagResource)
	golden(t, dir, m, control.ListTagsForResource)
	golden(t, dir, m, control.PutResourcePolicy)
	golden(t, dir, m, control.GetResourcePolicy)
	golden(t, dir, m, control.DeleteResourcePolicy)
	golden(t, dir, m, control.CreateWorkloadIdentity)
	golden(t, dir, m, control.GetWorkloadIdentity)
	golden(t, dir, m, control.UpdateWorkloadIdentity)
	golden(t, dir, m, control.DeleteWorkloadIdentity)
	golden(t, dir, m, control.ListWorkloadIdentities)
}

// InvokeAgentRuntimeCommand has no golden messages: an event stream has no text to keep.
func TestGolden_data(t *testing.T) {
	dir, m := snapshots(t, "bedrockagentcore"), loosened(data.Model)
	golden(t, dir, m, data.InvokeAgentRuntime)
	golden(t, dir, m, data.StopRuntimeSession)
	golden(t, dir, m, data.GetAgentCard)
	golden(t, dir, m, data.GetWorkloadAccessToken)
	golden(t, dir, m, data.GetWorkloadAccessTokenForJWT)
	golden(t, dir, m, data.GetWorkloadAccessTokenForUserId)
	golden(t, dir, m, data.CompleteResourceTokenAuth)
	golden(t, dir, m, data.GetResourceApiKey)
	golden(t, dir, m, data.GetResourceOauth2Token)
}

// snapshots returns the directory of an SDK module.
func snapshots(t *testing.T, service string) string {
	t.Helper()
	module := "github.com/aws/aws-sdk-go-v2/service/" + service
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		t.Fatalf("go list -m %s: %v", module, err)
	}
	dir := strings.TrimSpace(string(out))
	if dir == "" {
		t.Skipf("module %s is not in the module cache", module)
	}
	return dir
}

// loosened is the model without its constraints: golden values are "__MemberName__" and 1.
func loosened(m *wire.Model) *wire.Model {
	loose := *m
	loose.Shapes = append([]wire.Shape(nil), m.Shapes...)
	for i := range loose.Shapes {
		loose.Shapes[i].Limit, loose.Shapes[i].Pattern = wire.Limit{}, nil
	}
	return &loose
}

func golden[In, Out any](t *testing.T, dir string, m *wire.Model, op wire.Operation[In, Out]) {
	t.Run(op.Name, func(t *testing.T) {
		request := readRequest(t, filepath.Join(dir, "request_snapshot", op.Name+".request.snap"))
		_, header, body := readResponse(t, filepath.Join(dir, "response_snapshot", op.Name+".response.snap"))
		model := operation(t, m, op.Name)

		var got *In
		svc := wire.NewService(m, wire.Options{})
		wire.Handle(svc, wire.Operation[In, Out]{Model: m, Name: op.Name}, func(_ context.Context, in *In) (*Out, error) {
			got = in
			takePayload(t, m, model.Input, in, request.body)
			return goldenOutput[Out](t, m, model.Output, header, body), nil
		})
		answer := httptest.NewRecorder()
		svc.ServeHTTP(answer, request.http())

		if answer.Code != model.Status {
			t.Fatalf("status %d, want %d: %s", answer.Code, model.Status, answer.Body)
		}
		compareInput(t, m, model.Input, got, request)
		compareOutput(t, m, model, answer, header, body)
	})
}

func operation(t *testing.T, m *wire.Model, name string) *wire.OperationModel {
	for i := range m.Operations {
		if m.Operations[i].Name == name {
			return &m.Operations[i]
		}
	}
	t.Fatalf("no operation %s", name)
	return nil
}

type goldenRequest struct {
	method, target string
	header         http.Header
	body           []byte
}

func (g goldenRequest) http() *http.Request {
	r := httptest.NewRequest(g.method, g.target, bytes.NewReader(g.body))
	r.Header = g.header
	return r
}

func readRequest(t *testing.T, file string) goldenRequest {
	t.Helper()
	in := open(t, file)
	first := line(in)
	line(in)
	method, target, _ := strings.Cut(first, " ")
	return goldenRequest{method, target, headers(in), rest(t, in)}
}

func readResponse(t *testing.T, file string) (status int, h http.Header, body []byte) {
	t.Helper()
	in := open(t, file)
	fmt.Sscan(line(in), &status)
	return status, headers(in), rest(t, in)
}

func open(t *testing.T, file string) *bufio.Reader {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return bufio.NewReader(bytes.NewReader(raw))
}

func line(in *bufio.Reader) string {
	s, _ := in.ReadString('\n') // the last line may lack its end
	return strings.TrimSuffix(s, "\n")
}

func headers(in *bufio.Reader) http.Header {
	h := http.Header{}
	for s := line(in); s != ""; s = line(in) {
		name, value, _ := strings.Cut(s, ": ")
		h.Add(name, value)
	}
	return h
}

func rest(t *testing.T, in *bufio.Reader) []byte {
	t.Helper()
	raw, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// takePayload reads a streamed input, which is gone once the handler returns.
func takePayload(t *testing.T, m *wire.Model, input wire.Ref, in any, want []byte) {
	shape := m.Shapes[input]
	if shape.Payload == 0 {
		return
	}
	body, ok := reflect.ValueOf(in).Elem().Field(shape.Payload - 1).Interface().(io.Reader)
	if !ok {
		t.Fatal("the payload is not a reader")
	}
	if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, want) {
		t.Errorf("payload %q (%v), want %q", got, err, want)
	}
}

// compareInput holds the members of in against the golden request, each where its location says.
func compareInput(t *testing.T, m *wire.Model, input wire.Ref, in any, g goldenRequest) {
	if input == 0 {
		return
	}
	target, err := url.Parse(g.target)
	if err != nil {
		t.Fatal(err)
	}
	shape, v := m.Shapes[input], reflect.ValueOf(in).Elem()
	for i, member := range shape.Members {
		key := cmpOr(member.Key, member.Name)
		switch member.In {
		case wire.Header:
			equal(t, member.Name, text(v.Field(i)), []string{g.header.Get(key)})
		case wire.Query:
			equal(t, member.Name, text(v.Field(i)), target.Query()[key])
		case wire.Label:
			if got := text(v.Field(i))[0]; !strings.Contains(target.Path, got) || !strings.HasPrefix(got, "__") {
				t.Errorf("label %s is %q, not in %s", member.Name, got, target.Path)
			}
		}
	}
	if shape.Payload == 0 && len(g.body) > 0 {
		raw, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		equalJSON(t, "input", raw, g.body)
	}
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// text is a member as it stands in a header or query.
func text(v reflect.Value) []string {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return text(v.Elem())
	case reflect.Slice:
		var all []string
		for i := range v.Len() {
			all = append(all, text(v.Index(i))...)
		}
		return all
	}
	return []string{fmt.Sprint(v.Interface())}
}

// goldenOutput reads the golden response with encoding/json, which knows nothing of wire.
func goldenOutput[Out any](t *testing.T, m *wire.Model, output wire.Ref, h http.Header, body []byte) *Out {
	out := new(Out)
	if output == 0 {
		return out
	}
	shape, v := m.Shapes[output], reflect.ValueOf(out).Elem()
	for i, member := range shape.Members {
		if member.In == wire.Header {
			setText(v.Field(i), h.Get(cmpOr(member.Key, member.Name)))
		}
	}
	if shape.Payload != 0 {
		setPayload(v.Field(shape.Payload-1), body)
		return out
	}
	const epoch, iso = "946684800", `"2000-01-01T00:00:00Z"` // encoding/json knows one form of a time
	if err := json.Unmarshal(bytes.ReplaceAll(orEmpty(body), []byte(epoch), []byte(iso)), out); err != nil {
		t.Fatal(err)
	}
	return out
}

func setText(v reflect.Value, s string) {
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	v.SetString(s)
}

func setPayload(v reflect.Value, body []byte) {
	if v.Kind() == reflect.Interface {
		v.Set(reflect.ValueOf(io.NopCloser(bytes.NewReader(body))))
		return
	}
	v.SetBytes(body)
}

func orEmpty(body []byte) []byte {
	if len(bytes.TrimSpace(body)) == 0 {
		return []byte("{}")
	}
	return body
}

func compareOutput(t *testing.T, m *wire.Model, op *wire.OperationModel, got *httptest.ResponseRecorder, h http.Header, body []byte) {
	for name, values := range h {
		equal(t, name, got.Header().Values(name), values)
	}
	if op.Output != 0 && m.Shapes[op.Output].Payload != 0 {
		equal(t, "payload", []string{got.Body.String()}, []string{string(body)})
		return
	}
	equalJSON(t, "output", orEmpty(got.Body.Bytes()), orEmpty(body))
}

func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s is %q, want %q", what, got, want)
	}
}

func equalJSON(t *testing.T, what string, got, want []byte) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal(got, &g); err != nil {
		t.Fatalf("%s is not JSON: %v: %s", what, err, got)
	}
	if err := json.Unmarshal(want, &w); err != nil {
		t.Fatalf("golden %s is not JSON: %v: %s", what, err, want)
	}
	if !reflect.DeepEqual(g, w) {
		t.Errorf("%s is\n%s\nwant\n%s", what, got, want)
	}
}

// Each code is told as AWS tells its exception, to the letter.
func TestGolden_exceptions(t *testing.T) {
	for name, err := range map[string]error{
		"AccessDeniedException":         moorage.Errorf(moorage.Denied, "__Message__"),
		"ConflictException":             moorage.Errorf(moorage.Conflict, "__Message__"),
		"InternalServerException":       moorage.Errorf(moorage.Internal, "__Message__"),
		"ResourceNotFoundException":     moorage.Errorf(moorage.NotFound, "__Message__"),
		"RetryableConflictException":    moorage.Errorf(moorage.Busy, "__Message__"),
		"RuntimeClientError":            moorage.Errorf(moorage.AgentFailed, "__Message__"),
		"ServiceQuotaExceededException": moorage.Errorf(moorage.Quota, "__Message__"),
		"ThrottlingException":           moorage.Errorf(moorage.Throttled, "__Message__"),
		"UnauthorizedException":         moorage.Errorf(moorage.Unauthenticated, "__Message__"),
		"ValidationException": &moorage.Error{
			Code: moorage.Invalid, Message: "__Message__", Reason: "CannotParse",
			Fields: []moorage.Field{{Name: "__Name__", Message: "__Message__"}, {Name: "__Name__", Message: "__Message__"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			status, _, want := readResponse(t, filepath.Join(snapshots(t, "bedrockagentcore"), "response_snapshot", name+".error.snap"))
			svc := wire.NewService(data.Model, wire.Options{})
			wire.Handle(svc, data.StopRuntimeSession, func(context.Context, *data.StopRuntimeSessionInput) (*data.StopRuntimeSessionOutput, error) {
				return nil, err
			})
			r := httptest.NewRequest("POST", "/runtimes/x/stopruntimesession", nil)
			r.Header.Set("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", strings.Repeat("s", 33))
			got := httptest.NewRecorder()
			svc.ServeHTTP(got, r)
			if got.Code != status || got.Header().Get("x-amzn-ErrorType") != name {
				t.Errorf("%d %s, want %d", got.Code, got.Header().Get("x-amzn-ErrorType"), status)
			}
			equalJSON(t, "body", got.Body.Bytes(), want)
		})
	}
}

// moved holds operations that this SDK release calls where the service model no longer has them.
var moved = map[string]bool{"ListDatasets": true, "ListDatasetExamples": true, "ListDatasetVersions": true}

// Whatever the SDK can call is known by name, served or not.
func TestGolden_everyPathIsKnown(t *testing.T) {
	for service, m := range map[string]*wire.Model{"bedrockagentcore": data.Model, "bedrockagentcorecontrol": control.Model} {
		files, _ := filepath.Glob(filepath.Join(snapshots(t, service), "request_snapshot", "*.snap"))
		if len(files) == 0 {
			t.Fatalf("%s has no golden requests", service)
		}
		svc := wire.NewService(m, wire.Options{})
		for _, file := range files {
			name := strings.TrimSuffix(filepath.Base(file), ".request.snap")
			got := httptest.NewRecorder()
			svc.ServeHTTP(got, readRequest(t, file).http())
			if moved[name] {
				continue
			}
			if want := name + " is not supported by Moorage"; !strings.Contains(got.Body.String(), want) {
				t.Errorf("%s: %d %s", name, got.Code, got.Body)
			}
		}
	}
}
