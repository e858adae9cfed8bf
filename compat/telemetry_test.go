package compat

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// sessionTrace is everything of a session: GET /v1/sessions/{id}/trace.
type sessionTrace struct {
	Session struct{ InputTokens, OutputTokens, Traces, Errors int }
	Traces  []wholeTrace
}

type wholeTrace struct {
	TraceID, Name, Error string
	Hidden, ModelCalls   int
	InputTokens          int
	CostUSD              float64
	Spans                []traceSpan
	Logs                 []logLine
}

type logLine struct{ Message, Stream string }

type traceSpan struct {
	SpanID, ParentID, Name, Kind, Error string
	Noise                               bool
	Tool                                *struct{ Arguments, Result any }
	Model                               *struct {
		Name                      string
		InputTokens, OutputTokens int
		Counted                   bool
	}
	Input, Output []struct {
		Role  string
		Parts []struct{ Text string }
	}
}

// traceOf waits until a session's trace says what check wants, and returns it.
func (s *server) traceOf(t *testing.T, session string, limit time.Duration, check func(sessionTrace) bool) (found sessionTrace) {
	t.Helper()
	var last []byte
	deadline := time.Now().Add(limit)
	for {
		answer, err := s.ask(t.Context(), "GET", "/v1/sessions/"+session+"/trace")
		if err == nil {
			last = answer
			found = sessionTrace{}
			if err := json.Unmarshal(answer, &found); err != nil {
				t.Fatal(err)
			}
			if check(found) {
				return found
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("the session's trace is not what it should be: %v\n%s", err, last)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// span finds a trace's span by its name.
func (w wholeTrace) span(name string) (found traceSpan) {
	for _, s := range w.Spans {
		if s.Name == name {
			found = s
		}
	}
	return found
}

// printed reports whether a line with some words is beside the trace.
func (w wholeTrace) printed(words string) bool {
	return slices.ContainsFunc(w.Logs, func(l logLine) bool { return strings.Contains(l.Message, words) })
}

func TestTelemetry_anUnmodifiedAgentIsSeen(t *testing.T) { unmodifiedAgentIsSeen(t, tracedAgent) }

// The same under AWS's own distribution of OpenTelemetry. It takes a minute and a half to install.
func TestTelemetry_anUnmodifiedAgentIsSeenUnderTheAWSDistro(t *testing.T) {
	if os.Getenv("MOORAGE_SLOW") == "" {
		t.Skip("MOORAGE_SLOW is not set")
	}
	d := tracedAgent
	d.name, d.files = "adot_agent", map[string]string{"requirements.txt": "bedrock-agentcore==1.25.0\naws-opentelemetry-distro==0.21.0\n"}
	unmodifiedAgentIsSeen(t, d)
}

// unmodifiedAgentIsSeen holds that an agent that was written for AWS is seen as a tree below the call, with
// its messages, its tool, its tokens and what they cost, without anything set up; and that none of it is lost
// when the server is killed, nor are the last words of an agent that dies.
func unmodifiedAgentIsSeen(t *testing.T, d deployment) {
	s := own(t)
	a := s.deployed(t, d)
	id := newSession(t)
	var answer map[string]any
	if err := a.call(t.Context(), id, map[string]any{"prompt": "news"}, &answer); err != nil {
		t.Fatal(err)
	}
	whole := func(st sessionTrace) bool {
		return len(st.Traces) == 1 && st.Traces[0].printed("searching for news") && st.Traces[0].span("InvokeAgentRuntime").SpanID != "" &&
			st.Traces[0].span("invoke_agent supervisor").SpanID != ""
	}
	st := s.traceOf(t, id, 30*time.Second, whole)
	tr := st.Traces[0]
	if call := tr.Spans[0]; call.Kind != "service" || tr.Spans[1].ParentID != call.SpanID || tr.Name != "InvokeAgentRuntime" {
		t.Errorf("the tree begins with %+v, and then %+v", call, tr.Spans[1])
	}
	agent, chat, tool := tr.span("invoke_agent supervisor"), tr.span("chat nova-pro"), tr.span("execute_tool search")
	if agent.Kind != "agent" || chat.Kind != "model" || tool.Kind != "tool" || chat.ParentID != agent.SpanID || tool.ParentID != agent.SpanID {
		t.Errorf("agent %+v\nchat %+v\ntool %+v", agent, chat, tool)
	}
	if len(chat.Input) != 1 || chat.Input[0].Parts[0].Text != "news" || len(chat.Output) != 1 || chat.Output[0].Parts[0].Text != "good day" {
		t.Errorf("messages %+v and %+v", chat.Input, chat.Output)
	}
	if tool.Tool == nil || tool.Tool.Arguments.(map[string]any)["query"] != "news" {
		t.Errorf("tool %+v", tool.Tool)
	}
	if tr.InputTokens != 1200 || tr.ModelCalls != 1 || tr.CostUSD < 0.00191 || tr.CostUSD > 0.00193 {
		t.Errorf("%d tokens in %d calls cost %v", tr.InputTokens, tr.ModelCalls, tr.CostUSD)
	}
	shown, err := s.cli(t.Context(), "trace", tr.TraceID, "--content")
	if err != nil {
		t.Fatal(err)
	}
	wantWords(t, shown, "execute_tool search", "good day", "1500 tok", "█")
	t.Log("\n" + shown)

	s.kill()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	if again := s.traceOf(t, id, 10*time.Second, whole); len(again.Traces[0].Spans) != len(tr.Spans) || again.Session.InputTokens != 1200 {
		t.Errorf("after the server was killed: %+v", again)
	}
	if err := a.call(t.Context(), id, map[string]any{"prompt": "more", "die": true}, &answer); err == nil {
		t.Fatal("a call to an agent that dies succeeded")
	}
	st = s.traceOf(t, id, 30*time.Second, func(st sessionTrace) bool {
		return len(st.Traces) == 2 && strings.Contains(st.Traces[1].Error, "I cannot go on") && st.Traces[1].printed("I cannot go on")
	})
	if st.Session.Errors != 1 {
		t.Errorf("%d traces failed", st.Session.Errors)
	}
}

// The AWS distro signs what it exports for X-Ray, for CloudWatch Logs and for CloudWatch.
func TestTelemetry_signedForTheServicesOfTheAWSDistro(t *testing.T) {
	s := shared(t)
	credentials, err := s.client.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path, service string
		status        int
	}{
		{"/v1/traces", "xray", http.StatusOK}, {"/v1/logs", "logs", http.StatusOK}, {"/v1/metrics", "monitoring", http.StatusOK},
		{"/v1/metrics", "kms", http.StatusForbidden},
	} {
		r, err := http.NewRequestWithContext(t.Context(), "POST", s.client.Endpoint+c.path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		sum := sha256.Sum256([]byte("{}"))
		if err := v4.NewSigner().SignHTTP(t.Context(), credentials, r, hex.EncodeToString(sum[:]), c.service, s.client.Region, time.Now()); err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != c.status {
			t.Errorf("%s signed for %s: %s", c.path, c.service, answer.Status)
		}
	}
}
