package agentcore_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/agentcore"
	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/control"
	"github.com/moorage-dev/moorage/internal/identity"
	"github.com/moorage-dev/moorage/internal/invoke"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/session/sessiontest"
	"github.com/moorage-dev/moorage/internal/store"
)

func TestMain(m *testing.M) { sessiontest.Main(m) }

const sessionID = "a-session-of-the-caller-0123456789"

// plane is the data plane over HTTP, in front of real sessions. Who calls is not checked.
type plane struct {
	*httptest.Server
	house *sessiontest.House
	arn   string
	seen  *http.Header // of the last request, as the operations see it
}

func newPlane(t testing.TB) *plane {
	t.Helper()
	h := sessiontest.New(t)
	v := h.Version(t, moorage.Lifecycle{})
	err := h.Store.Update(t.Context(), func(tx *store.Tx) error {
		return tx.PutEndpoint(moorage.Endpoint{RuntimeID: v.RuntimeID, Name: "DEFAULT", ID: "DEFAULT-1", ARN: "arn:demo/runtime-endpoint/DEFAULT",
			Live: 1, Target: 1, Status: moorage.Ready, CreatedAt: v.CreatedAt, UpdatedAt: v.CreatedAt})
	})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	catalog := &control.Service{Store: h.Store, Warm: h.Warm, Sessions: h.Manager, Region: "us-east-1", Account: "123456789012", Isolation: sandbox.Kernel, Log: log}
	if err := catalog.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	svc := wire.NewService(agentcore.Model, wire.Options{Logger: log})
	agentcore.Serve(svc, &invoke.Service{Catalog: catalog, Sessions: h.Manager, Region: "us-east-1", Account: "123456789012", Log: log})
	seen := new(http.Header)
	svc.Use(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			*seen = r.Header
			next.ServeHTTP(w, r)
		})
	})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller := moorage.Caller{Source: moorage.SigV4, ARN: "arn:aws:iam::123456789012:user/" + r.Header.Get("Test-Caller")}
		svc.ServeHTTP(w, r.WithContext(identity.WithCaller(r.Context(), caller)))
	}))
	t.Cleanup(srv.Close)
	return &plane{srv, h, moorage.RuntimeARN("us-east-1", "123456789012", v.RuntimeID).String(), seen}
}

// send makes one request to a path below the runtime, with a session id unless the header says another.
func (p *plane) send(ctx context.Context, t testing.TB, path, body string, header ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, "POST", p.URL+"/runtimes/"+url.PathEscape(p.arn)+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(invoke.HeaderSession, sessionID)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func text(t testing.TB, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestInvoke_overTheWire(t *testing.T) {
	p := newPlane(t)
	resp := p.send(t.Context(), t, "/invocations", "echo hello")
	if body := text(t, resp); resp.StatusCode != 200 || body != "hello" || resp.Header.Get(invoke.HeaderSession) != sessionID || resp.Header.Get("X-Amzn-Requestid") == "" {
		t.Errorf("%s %v %q", resp.Status, resp.Header, body)
	}
	resp = p.send(t.Context(), t, "/invocations", "status 418")
	var failure struct{ Message string }
	if err := json.Unmarshal([]byte(text(t, resp)), &failure); err != nil || resp.StatusCode != 424 || resp.Header.Get("X-Amzn-Errortype") != "RuntimeClientError" ||
		!strings.HasPrefix(failure.Message, "Received error (418) from runtime. Please check your CloudWatch logs for more information.") {
		t.Errorf("%s %v %q", resp.Status, resp.Header, failure.Message)
	}
	resp = p.send(t.Context(), t, "/invocations", "echo", invoke.HeaderSession, "short")
	if body := text(t, resp); resp.StatusCode != 400 || !strings.Contains(body, "ValidationException") && resp.Header.Get("X-Amzn-Errortype") != "ValidationException" {
		t.Errorf("a short session id: %s %q", resp.Status, body)
	}
	resp = p.send(t.Context(), t, "/invocations?qualifier=none", "echo")
	if body := text(t, resp); resp.StatusCode != 404 || !strings.Contains(body, "No endpoint or agent found with qualifier 'none'") {
		t.Errorf("an unknown qualifier: %s %q", resp.Status, body)
	}
}

func TestInvoke_streamIsFlushedAndCutForAllSides(t *testing.T) {
	p := newPlane(t)
	ctx, leave := context.WithCancel(t.Context())
	resp := p.send(ctx, t, "/invocations", "stream")
	part := make([]byte, 16)
	if n, err := resp.Body.Read(part); err != nil || string(part[:n]) != "one" {
		t.Fatalf("first part = %q, %v", part[:n], err)
	}
	leave()
	sessiontest.Eventually(t, "the session is released", func() bool { return p.house.List()[0].State == moorage.Idle })
	resp = p.send(t.Context(), t, "/invocations", "stream")
	if _, err := resp.Body.Read(part); err != nil {
		t.Fatal(err)
	}
	if resp := p.send(t.Context(), t, "/stopruntimesession", ""); resp.StatusCode != 200 || resp.Header.Get(invoke.HeaderSession) != sessionID {
		t.Errorf("stop: %s", resp.Status)
	}
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("a stream that was cut looks whole")
	}
	if resp := p.send(t.Context(), t, "/stopruntimesession", ""); resp.StatusCode != 404 {
		t.Errorf("stop again: %s", resp.Status)
	}
}

func TestInvoke_sessionsBelongToTheirOwner(t *testing.T) {
	p := newPlane(t)
	const user = "X-Amzn-Bedrock-AgentCore-Runtime-User-Id"
	for _, who := range [][]string{{"Test-Caller", "alice"}, {"Test-Caller", "bob"}, {"Test-Caller", "alice", user, "carol"}} {
		if got := text(t, p.send(t.Context(), t, "/invocations", "read /tmp/note", who...)); got != "none" {
			t.Errorf("%v sees another's file of %s bytes", who, got)
		}
		p.send(t.Context(), t, "/invocations", "write /tmp/note 3", who...)
	}
	if got := commandOutput(t, p.send(t.Context(), t, "/commands", `{"command":"test -f /tmp/note && echo mine"}`, "Test-Caller", "alice", user, "carol")); got != "mine\n" {
		t.Errorf("a command for carol ran elsewhere: %q", got)
	}
}

// events decodes an event stream to the payloads of its messages.
func events(t *testing.T, resp *http.Response) (out []map[string]json.RawMessage) {
	t.Helper()
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/vnd.amazon.eventstream" {
		t.Fatalf("%s %v %s", resp.Status, resp.Header, text(t, resp))
	}
	raw := bytes.NewReader([]byte(text(t, resp)))
	for d := eventstream.NewDecoder(); raw.Len() > 0; {
		m, err := d.Decode(raw, nil)
		if err != nil {
			t.Fatal(err)
		}
		var payload map[string]json.RawMessage
		if err := json.Unmarshal(m.Payload, &payload); err != nil {
			t.Fatalf("%s: %v", m.Payload, err)
		}
		out = append(out, payload)
	}
	return out
}

func commandOutput(t *testing.T, resp *http.Response) (stdout string) {
	t.Helper()
	for _, e := range events(t, resp) {
		var delta struct{ Stdout string }
		if e["contentDelta"] != nil && json.Unmarshal(e["contentDelta"], &delta) == nil {
			stdout += delta.Stdout
		}
	}
	return stdout
}

func TestCommand_eventsInOrder(t *testing.T) {
	p := newPlane(t)
	got := events(t, p.send(t.Context(), t, "/commands", `{"command":"echo out; exit 3"}`))
	if len(got) != 3 || string(got[0]["contentStart"]) != "{}" || string(got[1]["contentDelta"]) != `{"stdout":"out\n"}` ||
		string(got[2]["contentStop"]) != `{"exitCode":3,"status":"COMPLETED"}` {
		t.Errorf("events = %s", got)
	}
}
