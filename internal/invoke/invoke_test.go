package invoke_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/invoke"
	"github.com/moorage-dev/moorage/internal/session/sessiontest"
)

func TestMain(m *testing.M) { sessiontest.Main(m) }

const (
	region    = "us-east-1"
	account   = "123456789012"
	sessionID = "a-session-of-the-caller-0123456789"
)

// catalog has one runtime with its DEFAULT endpoint, and may lose it.
type catalog struct {
	mu      sync.Mutex
	version moorage.Version
	gone    bool
	found   func() // called for each lookup that succeeds
}

func (c *catalog) Resolve(id, qualifier string) (moorage.Target, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone || id != sessiontest.RuntimeID || qualifier != "" && qualifier != moorage.DefaultEndpoint {
		return moorage.Target{}, moorage.Errorf(moorage.NotFound, "No endpoint or agent found with qualifier '%s' for agent '%s'", qualifier, id)
	}
	if c.found != nil {
		c.found()
	}
	return moorage.Target{Endpoint: moorage.Endpoint{Name: moorage.DefaultEndpoint}, Version: c.version}, nil
}

// door is the invoke room in front of real sessions.
type door struct {
	*invoke.Service
	house   *sessiontest.House
	catalog *catalog
}

func newDoor(t *testing.T, headers ...string) *door {
	t.Helper()
	h := sessiontest.New(t)
	v := h.Put(t, moorage.Config{Headers: headers}, &moorage.Program{Root: sessiontest.Image(t), Args: []string{"/agent"}})
	c := &catalog{version: v}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	return &door{&invoke.Service{Catalog: c, Sessions: h.Manager, Region: region, Account: account, Log: log}, h, c}
}

func address() invoke.Address {
	return invoke.Address{Runtime: moorage.RuntimeARN(region, account, sessiontest.RuntimeID).String(), SessionID: sessionID, Owner: "alice"}
}

func (d *door) call(ctx context.Context, body string, header http.Header) (*invoke.Answer, error) {
	return d.Invoke(ctx, invoke.Call{Address: address(), RequestID: "request-1", Header: header, Body: strings.NewReader(body), Length: int64(len(body))})
}

// say makes a call that must succeed and returns its answer.
func (d *door) say(t *testing.T, body string, header http.Header) string {
	t.Helper()
	answer, err := d.call(t.Context(), body, header)
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// idle waits until no call holds the session.
func (d *door) idle(t *testing.T) {
	t.Helper()
	sessiontest.Eventually(t, "the session is released", func() bool {
		list := d.house.List()
		return len(list) == 1 && list[0].State == moorage.Idle
	})
}

func TestInvoke_answersAndKeepsTheSession(t *testing.T) {
	d := newDoor(t)
	if got := d.say(t, "echo hello", nil); got != "hello" {
		t.Errorf("answer = %q", got)
	}
	d.say(t, "write /tmp/note 5", nil)
	if got := d.say(t, "read /tmp/note", nil); got != "5" {
		t.Errorf("the second call found %q: another sandbox?", got)
	}
	d.idle(t)
}

func TestInvoke_streamsAsTheAgentWrites(t *testing.T) {
	d := newDoor(t)
	answer, err := d.call(t.Context(), "stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if got := answer.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("Content-Type = %q", got)
	}
	part := make([]byte, 16)
	if n, err := answer.Body.Read(part); err != nil || string(part[:n]) != "one" {
		t.Fatalf("first part = %q, %v; the agent has not written the second", part[:n], err)
	}
	d.agent(t, "/go")
	if rest, err := io.ReadAll(answer.Body); err != nil || string(rest) != "two" {
		t.Errorf("the rest = %q, %v", rest, err)
	}
}

// agent asks the agent beside the call, on a path of its own.
func (d *door) agent(t *testing.T, path string) string {
	t.Helper()
	boxes, err := d.house.Shim.List(t.Context())
	if err != nil || len(boxes) != 1 {
		t.Fatalf("sandboxes = %d, %v", len(boxes), err)
	}
	c, err := boxes[0].Dial(t.Context(), 8080)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET %s HTTP/1.0\r\n\r\n", path)
	text, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(text), "\r\n\r\n")
	return body
}

func TestInvoke_callerWhoLeavesEndsTheCallInTheAgent(t *testing.T) {
	d := newDoor(t)
	ctx, leave := context.WithCancel(t.Context())
	answer, err := d.call(ctx, "stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	leave()
	if _, err := io.ReadAll(answer.Body); err == nil {
		t.Error("the answer ended as if it were whole")
	}
	answer.Body.Close()
	sessiontest.Eventually(t, "the agent sees its caller leave", func() bool { return d.agent(t, "/left") == "1" })
	d.idle(t)
}

func TestInvoke_callerWhoLeavesBeforeTheAnswer(t *testing.T) {
	d := newDoor(t)
	d.say(t, "echo warm", nil)
	ctx, leave := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := d.call(ctx, "hang", nil)
		ended <- err
	}()
	sessiontest.Eventually(t, "the call is in the agent", func() bool { return d.agent(t, "/calls") == "2" })
	leave()
	if err := <-ended; err == nil {
		t.Error("a call that was given up had an answer")
	}
	sessiontest.Eventually(t, "the agent sees its caller leave", func() bool { return d.agent(t, "/left") == "1" })
	d.idle(t)
}

func TestInvoke_agentsRefusalIs424WithoutItsBody(t *testing.T) {
	d := newDoor(t)
	for _, status := range []string{"400", "404", "500", "503", "302"} {
		_, err := d.call(t.Context(), "status "+status, nil)
		if moorage.CodeOf(err) != moorage.AgentFailed || !strings.Contains(err.Error(), "Received error ("+status+") from runtime") {
			t.Errorf("status %s: %v", status, err)
		}
	}
	d.idle(t)
}

func TestInvoke_deathOfTheAgentSaysHow(t *testing.T) {
	d := newDoor(t)
	_, err := d.call(t.Context(), "exit 7", nil)
	if moorage.CodeOf(err) != moorage.AgentFailed || !strings.Contains(err.Error(), "status 7") {
		t.Errorf("the call in progress learns %v", err)
	}
}

func TestInvoke_headersThatTheAgentSees(t *testing.T) {
	d := newDoor(t, "X-Amzn-Bedrock-AgentCore-Runtime-Custom-Tenant", "X-Api-Flavour")
	sent := http.Header{}
	for name, value := range map[string]string{
		"Accept": "text/event-stream", "Content-Type": "text/plain", "Traceparent": "00-1-2-01", "Baggage": "a=b",
		"X-Amzn-Bedrock-AgentCore-Runtime-Custom-Tenant": "news", "X-Api-Flavour": "sweet", "X-Amzn-Bedrock-AgentCore-Runtime-Custom-Other": "no",
		"Authorization": "no", "Cookie": "no", "X-Forwarded-For": "no", "WorkloadAccessToken": "no", "OAuth2CallbackUrl": "no",
		"X-Amz-Bedrock-AgentCore-Identity-Wat": "no", "X-Amzn-Bedrock-AgentCore-Runtime-User-Id": "no", "X-Amz-Date": "no", "Mcp-Session-Id": "no",
		invoke.HeaderSession: "someone-elses-session-0123456789012", invoke.HeaderRequest: "no",
	} {
		sent.Set(name, value)
	}
	var got http.Header
	if err := json.Unmarshal([]byte(d.say(t, "headers", sent)), &got); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"Accept": "text/event-stream", "Content-Type": "text/plain", "Traceparent": "00-1-2-01", "Baggage": "a=b",
		"X-Amzn-Bedrock-AgentCore-Runtime-Custom-Tenant": "news", "X-Api-Flavour": "sweet",
		invoke.HeaderSession: sessionID, invoke.HeaderRequest: "request-1",
	} {
		if values := got.Values(name); len(values) != 1 || values[0] != want {
			t.Errorf("%s = %q, want %q alone", name, values, want)
		}
		got.Del(name)
	}
	got.Del("Content-Length")
	got.Del("Accept-Encoding")
	if len(got) > 0 {
		t.Errorf("the agent also sees %v", got)
	}
	sent.Set("X-Api-Flavour", strings.Repeat("x", 4097))
	if _, err := d.call(t.Context(), "headers", sent); moorage.CodeOf(err) != moorage.Invalid {
		t.Errorf("a header over 4 KB: %v", err)
	}
}

func TestInvoke_bodyThatFailsIsTheCallersFault(t *testing.T) {
	d := newDoor(t)
	d.say(t, "echo warm", nil)
	tooLarge := moorage.Errorf(moorage.Invalid, "too large")
	for _, cause := range []error{tooLarge, errors.New("connection reset")} {
		began := time.Now()
		body := io.MultiReader(strings.NewReader(strings.Repeat("x", 200<<10)), &failing{cause})
		_, err := d.Invoke(t.Context(), invoke.Call{Address: address(), Body: body, Length: -1})
		if moorage.CodeOf(err) != moorage.Invalid {
			t.Errorf("a body that ends in %v: %v", cause, err)
		}
		if took := time.Since(began); took > 900*time.Millisecond {
			t.Errorf("learned only after %s", took)
		}
	}
	d.idle(t)
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

// TestInvoke_connectionThatTheAgentClosed makes calls while the agent closes idle connections.
func TestInvoke_connectionThatTheAgentClosed(t *testing.T) {
	d := newDoor(t)
	for range 3 {
		if got := d.say(t, "length"+strings.Repeat(" ", 1000), nil); got != "1006" {
			t.Errorf("the agent got %s bytes", got)
		}
		d.agent(t, "/unpool")
	}
}

func TestInvoke_answerOverTheLimitIsCut(t *testing.T) {
	d := newDoor(t)
	answer, err := d.call(t.Context(), "flood 100000001", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	n, err := io.Copy(io.Discard, answer.Body)
	if moorage.CodeOf(err) != moorage.AgentFailed || n > invoke.MaxPayload {
		t.Errorf("read %d bytes and %v", n, err)
	}
	answer, err = d.call(t.Context(), "flood 100000000", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if n, err := io.Copy(io.Discard, answer.Body); err != nil || n != invoke.MaxPayload {
		t.Errorf("an answer of the largest size: %d bytes, %v", n, err)
	}
}

func TestInvoke_addresses(t *testing.T) {
	d := newDoor(t)
	arn := address().Runtime
	for _, c := range []struct {
		name string
		at   invoke.Address
		want moorage.Code
	}{
		{"ARN", invoke.Address{Runtime: arn}, ""},
		{"endpoint's ARN", invoke.Address{Runtime: arn + "/runtime-endpoint/DEFAULT"}, ""},
		{"another endpoint's ARN", invoke.Address{Runtime: arn + "/runtime-endpoint/prod"}, moorage.NotFound},
		{"two endpoints", invoke.Address{Runtime: arn + "/runtime-endpoint/prod", Qualifier: "DEFAULT"}, moorage.Invalid},
		{"id and account", invoke.Address{Runtime: sessiontest.RuntimeID, Account: account}, ""},
		{"id alone", invoke.Address{Runtime: sessiontest.RuntimeID}, moorage.Invalid},
		{"another account", invoke.Address{Runtime: sessiontest.RuntimeID, Account: "999999999999"}, moorage.NotFound},
		{"another region", invoke.Address{Runtime: strings.Replace(arn, region, "eu-west-1", 1)}, moorage.NotFound},
		{"no such qualifier", invoke.Address{Runtime: arn, Qualifier: "nope"}, moorage.NotFound},
		{"32 characters", invoke.Address{Runtime: arn, SessionID: strings.Repeat("x", 32)}, moorage.Invalid},
		{"33 characters", invoke.Address{Runtime: arn, SessionID: strings.Repeat("x", 33)}, ""},
		{"256 characters", invoke.Address{Runtime: arn, SessionID: strings.Repeat("é", 256)}, ""},
		{"257 characters", invoke.Address{Runtime: arn, SessionID: strings.Repeat("x", 257)}, moorage.Invalid},
		{"a control character", invoke.Address{Runtime: arn, SessionID: strings.Repeat("x", 40) + "\u0085"}, moorage.Invalid},
		{"a line break", invoke.Address{Runtime: arn, SessionID: strings.Repeat("x", 40) + "\r\nA: b"}, moorage.Invalid},
		{"not UTF-8", invoke.Address{Runtime: arn, SessionID: strings.Repeat("x", 40) + "\xff"}, moorage.Invalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			answer, err := d.Invoke(t.Context(), invoke.Call{Address: c.at, Body: strings.NewReader("echo"), Length: 4})
			if moorage.CodeOf(err) != c.want {
				t.Fatalf("Invoke = %v, want %q", err, c.want)
			}
			if err == nil {
				answer.Body.Close()
				if got := answer.SessionID; c.at.SessionID != "" && got != c.at.SessionID || len(got) < 33 {
					t.Errorf("session id = %q", got)
				}
			}
		})
	}
}

func TestInvoke_runtimeDeletedMeanwhile(t *testing.T) {
	d := newDoor(t)
	lookups := 0
	d.catalog.found = func() { lookups++; d.catalog.gone = true } // deleted between the lookup and the start
	if _, err := d.call(t.Context(), "echo", nil); moorage.CodeOf(err) != moorage.NotFound {
		t.Fatalf("Invoke = %v", err)
	}
	if list := d.house.List(); lookups != 1 || len(list) != 0 {
		t.Errorf("sessions of a deleted runtime: %+v", list)
	}
}

func TestStop_unknownSession(t *testing.T) {
	d := newDoor(t)
	if err := d.Stop(t.Context(), address()); moorage.CodeOf(err) != moorage.NotFound {
		t.Errorf("Stop = %v", err)
	}
	none := address()
	none.SessionID = ""
	if err := d.Stop(t.Context(), none); moorage.CodeOf(err) != moorage.Invalid {
		t.Errorf("Stop without a session = %v", err)
	}
}

func TestStop_cutsAStream(t *testing.T) {
	d := newDoor(t)
	answer, err := d.call(t.Context(), "stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if err := d.Stop(t.Context(), address()); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(answer.Body); err == nil || !strings.Contains(err.Error(), "stopped by its caller") {
		t.Errorf("the stream ends with %v", err)
	}
}

// server puts the WebSocket door behind HTTP.
func (d *door) server(t *testing.T) *httptest.Server {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := d.WebSocket(w, r, invoke.Call{Address: address(), RequestID: "request-1", Header: r.Header}); err != nil {
			http.Error(w, err.Error(), http.StatusTeapot)
		}
	}))
	t.Cleanup(srv.Close)
	return srv
}
