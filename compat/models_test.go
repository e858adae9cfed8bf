package compat

import (
	"testing"
	"time"
)

func TestModels_python(t *testing.T) { runChecks(t, "models.py") }

func TestModels_anthropicsClientForBedrock(t *testing.T) { runChecks(t, "anthropic_bedrock.py") }

func TestModels_javaScript(t *testing.T) { runJavaScript(t, "models.test.mjs") }

// TestModels_anAgentThatReportsNothingShowsItsModelCalls has an agent with no key and no telemetry of its own
// call a model from its sandbox: the call is a span below the session's own, with its words and tokens.
func TestModels_anAgentThatReportsNothingShowsItsModelCalls(t *testing.T) {
	s := shared(t)
	a := s.deployed(t, guestAgent)
	var answer struct {
		Text   string
		Tokens int
	}
	session := newSession(t)
	if err := a.call(t.Context(), session, map[string]any{"op": "converse", "text": "Hello from inside"}, &answer); err != nil {
		t.Fatal(err)
	}
	known, err := s.sessions(t.Context(), session)
	if err != nil || len(known) != 1 {
		t.Fatalf("the server lists %+v, %v", known, err)
	}
	const name = "chat us.amazon.nova-pro-v1:0"
	found := s.traceOf(t, known[0].ID, 10*time.Second, func(tr sessionTrace) bool { return tr.has(name) && tr.has("InvokeAgentRuntime") })
	if len(found.Traces) != 1 {
		t.Fatalf("%d traces", len(found.Traces))
	}
	tr := found.Traces[0]
	chat := tr.span(name)
	if len(chat.Output) != 1 || chat.Output[0].Parts[0].Text != answer.Text || chat.ParentID != tr.span("InvokeAgentRuntime").SpanID {
		t.Errorf("the span is %+v below %+v", chat, tr.span("InvokeAgentRuntime"))
	}
	if sum := found.Session.InputTokens + found.Session.OutputTokens; sum != answer.Tokens || tr.ModelCalls != 1 {
		t.Errorf("%d tokens in %d calls, and the answer said %d", sum, tr.ModelCalls, answer.Tokens)
	}
}
