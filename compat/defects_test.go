package compat

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// understood is a trace as the API gives it, with what its sums and times are checked by.
type understood struct {
	TraceID, Start                  string
	DurationMs, CostUSD             float64
	Hidden, InputTokens, ModelCalls int
	Spans                           []step
	Logs                            []logLine
}

type step struct {
	SpanID, ParentID, ReportedID, Name, Kind string
	Noise                                    bool
	OffsetMs, DurationMs, SelfMs             float64
	Attributes                               map[string]any
	Model                                    *struct {
		InputTokens int
		CostUSD     float64
		Counted     bool
	}
	Input []struct {
		Role  string
		Parts []struct{ Text string }
	}
}

// What the original's console gets wrong on its own reference application, one subtest a row. Three rows are in the
// browser's tests: a readable axis and colours, a trajectory whose steps hang together, and spans within a second.
func TestDefects_ofTheOriginalAreNotHere(t *testing.T) {
	s := shared(t)
	a := s.deployed(t, newsroom)
	id := newSession(t)
	s.play(t, a, id, map[string]any{"prompt": "NeuraHealth raised $50M to read retinas.", "noise": plumbing}, true)
	s.traceOf(t, id, 30*time.Second, func(st sessionTrace) bool {
		return len(st.Traces) == 1 && st.Traces[0].span("InvokeAgentRuntime").SpanID != "" && st.Traces[0].span("invoke_agent supervisor").SpanID != ""
	})
	var one struct {
		Session struct {
			SessionID             string
			P95Ms, P50Ms, CostUSD float64
		}
		Traces []understood
	}
	s.readJSON(t, "/v1/sessions/"+id+"/trace", &one)
	trace := one.Traces[0]

	t.Run("hundreds of messages of the web server are folded and counted", func(t *testing.T) {
		shown := 0
		for _, span := range trace.Spans {
			if !span.Noise {
				shown++
			}
		}
		if trace.Hidden < plumbing || shown > 60 || shown+trace.Hidden != len(trace.Spans) {
			t.Errorf("%d of %d spans are shown, %d hidden", shown, len(trace.Spans), trace.Hidden)
		}
	})
	t.Run("spans are a tree, parents first, each with its kind and its own time", func(t *testing.T) {
		seen := map[string]bool{}
		for _, span := range trace.Spans {
			if span.ParentID != "" && !seen[span.ParentID] || span.Kind == "" || span.SelfMs < 0 || span.SelfMs > span.DurationMs+0.001 {
				t.Fatalf("%+v", span)
			}
			seen[span.SpanID] = true
		}
		if second := slices.IndexFunc(trace.Spans[1:], func(span step) bool { return span.ParentID == "" }); second >= 0 {
			t.Errorf("%s is a second root", trace.Spans[second+1].Name)
		}
	})
	t.Run("a trace takes as long as its root, in the trace, the list and the session", func(t *testing.T) {
		var list struct {
			Traces []struct{ DurationMs float64 }
		}
		s.readJSON(t, "/v1/traces?session="+one.Session.SessionID, &list)
		if len(list.Traces) != 1 {
			t.Fatalf("%d traces are listed", len(list.Traces))
		}
		root := trace.Spans[0].DurationMs
		for name, ms := range map[string]float64{"the trace": trace.DurationMs, "the list": list.Traces[0].DurationMs, "p95 of the session": one.Session.P95Ms, "its p50": one.Session.P50Ms} {
			if math.Abs(ms-root) > 0.001 {
				t.Errorf("%s says %v ms, the root took %v", name, ms, root)
			}
		}
	})
	t.Run("tokens and cost are there, counted once", func(t *testing.T) {
		tokens, calls, cost := 0, 0, 0.0
		for _, span := range trace.Spans {
			if span.Model != nil && span.Model.Counted {
				tokens, calls, cost = tokens+span.Model.InputTokens, calls+1, cost+span.Model.CostUSD
			}
		}
		if tokens == 0 || tokens != trace.InputTokens || calls != trace.ModelCalls || math.Abs(cost-trace.CostUSD) > 1e-9 || cost == 0 || one.Session.CostUSD != trace.CostUSD {
			t.Errorf("%d tokens, %d calls, %v dollars; the trace says %d, %d, %v", tokens, calls, cost, trace.InputTokens, trace.ModelCalls, trace.CostUSD)
		}
	})
	t.Run("prompts are messages", func(t *testing.T) {
		for _, span := range trace.Spans {
			for _, m := range span.Input {
				for _, part := range m.Parts {
					if m.Role == "user" && strings.Contains(part.Text, "NeuraHealth") && !strings.HasPrefix(part.Text, "{") {
						return
					}
				}
			}
		}
		t.Error("no message of the user is told from its JSON")
	})
	t.Run("one ordered document has a session's steps and lines", func(t *testing.T) {
		if len(one.Traces) != 1 || len(trace.Logs) == 0 {
			t.Errorf("%d traces, %d lines", len(one.Traces), len(trace.Logs))
		}
	})
	t.Run("a call says who made it, and from where", func(t *testing.T) {
		root := trace.Spans[0]
		if root.Name != "InvokeAgentRuntime" || root.Attributes["enduser.id"] == nil || root.Attributes["client.address"] != "127.0.0.1" {
			t.Errorf("%s says %v", root.Name, root.Attributes)
		}
	})
}

// readJSON asks the extension API.
func (s *server) readJSON(t *testing.T, path string, to any) {
	t.Helper()
	doc, err := s.ask(t.Context(), "GET", path)
	if err == nil {
		err = json.Unmarshal(doc, to)
	}
	if err != nil {
		t.Fatalf("%s: %v: %s", path, err, doc)
	}
}
