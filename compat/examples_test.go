package compat

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Each example is deployed by the command of its README, uses its tool, and shows the calls of its model in the trace.

func TestExamples_eino(t *testing.T) {
	t.Setenv("GOWORK", "off") // a module of its own
	shared(t).example(t, "eino")
}

func TestExamples_typescript(t *testing.T) {
	if !hasNode22() {
		t.Skip("Node.js 22 is neither installed nor in js/node_modules")
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Skip("npm is not installed")
	}
	if _, err := os.Stat("../examples/typescript/node_modules"); err != nil {
		t.Skip("what the example is built with is not installed: run make setup")
	}
	for _, script := range []string{"check", "build"} {
		cmd := exec.CommandContext(t.Context(), npm, "run", "--silent", script)
		cmd.Dir = "../examples/typescript"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("npm run %s: %v\n%s", script, err, out)
		}
	}
	shared(t).example(t, "typescript")
}

func TestExamples_langgraph(t *testing.T) {
	if os.Getenv("MOORAGE_SLOW") == "" {
		t.Skip("MOORAGE_SLOW is not set: LangGraph's packages take a minute to install")
	}
	shared(t).example(t, "langgraph", "--entrypoint", "agent.py")
}

// example deploys examples/NAME, asks it for high water, and looks at the trace.
func (s *server) example(t *testing.T, name string, args ...string) {
	t.Helper()
	if _, err := s.cli(t.Context(), append([]string{"deploy", "../examples/" + name, "--name", "example_" + name}, args...)...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := s.cli(context.Background(), "destroy", "--name", "example_"+name); err != nil {
			t.Error(err)
		}
	})
	session := newSession(t)
	out, err := s.cli(t.Context(), "invoke", "--name", "example_"+name, "--session", session, `{"prompt": "When is high water in Dover?"}`)
	var said struct{ Answer string }
	if err == nil {
		err = json.Unmarshal([]byte(out), &said)
	}
	if err != nil || !strings.Contains(said.Answer, "High water in Dover is at 04:12 and 16:38.") || !strings.Contains(said.Answer, "built-in demo model") {
		t.Fatalf("it answers %q, %v", out, err)
	}
	known, err := s.sessions(t.Context(), session)
	if err != nil || len(known) != 1 {
		t.Fatalf("the server lists %+v, %v", known, err)
	}
	var call wholeTrace
	s.traceOf(t, known[0].ID, 30*time.Second, func(st sessionTrace) bool {
		call = st.called()
		return call.ModelCalls == 2
	})
	first := call.span("chat us.amazon.nova-pro-v1:0")
	if first.Kind != "model" || first.ParentID != call.Spans[0].SpanID || len(first.Input) == 0 || call.InputTokens == 0 {
		t.Errorf("the model's call is %+v below %+v, with %d tokens", first, call.Spans[0], call.InputTokens)
	}
}
