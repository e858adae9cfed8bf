package otlp_test

import (
	"testing"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

// The shape of one call of the reference application, as AWS's console shows it: 868 rows, nearly all of
// them single messages of the web server. A supervisor asks research, writer and reviewer, and those their
// models and tools.
func TestTrace_ofTheLabIsReadInThirtyRows(t *testing.T) {
	s, sheet := newStation(t), newSheet()
	next := uint64(0)
	add := func(parent uint64, name string, from, to int, attributes map[string]any) uint64 {
		next++
		sheet.add(1, next, parent, name, from, to, attributes)
		return next
	}
	agent := func(name string) map[string]any {
		return map[string]any{"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": name}
	}
	model := map[string]any{"gen_ai.operation.name": "chat", "gen_ai.request.model": "nova-pro", "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 10}
	tool := map[string]any{"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}
	root := add(0, "POST /invocations", 0, 105_395, map[string]any{"http.request.method": "POST", "asgi.event.type": ""})
	supervisor := add(root, "invoke_agent supervisor", 10, 105_000, agent("supervisor"))
	for i, name := range []string{"research", "writer", "reviewer", "writer"} {
		at := 1000 + i*25_000
		step := add(supervisor, "invoke_agent "+name, at, at+24_000, agent(name))
		for n := range 4 {
			add(step, "chat nova-pro", at+n*5000, at+n*5000+4000, model)
		}
		add(step, "execute_tool search", at+20_000, at+23_000, tool)
	}
	shown := int(next)
	for next < 868 {
		at := int(next) * 100
		add(root, "POST /invocations http send", at, at, map[string]any{"asgi.event.type": "http.response.body"})
	}
	s.send(t, sheet.Traces)

	got := s.trace(t, 1)
	if len(got.Spans) != 868 || got.Hidden != 868-shown || shown > 30 {
		t.Errorf("%d spans, %d hidden, %d shown", len(got.Spans), got.Hidden, shown)
	}
	if got.DurationMs != 105_395 { // the root's wall time, in every list
		t.Errorf("it took %v ms", got.DurationMs)
	}
	if got.ModelCalls != 16 || got.ToolCalls != 4 || got.Input != 1600 {
		t.Errorf("%d model calls, %d tool calls, %d tokens in", got.ModelCalls, got.ToolCalls, got.Input)
	}
	var agents []string
	for _, span := range got.Spans {
		if !span.Noise && span.Kind == telemetry.Agent {
			agents = append(agents, span.Agent)
			if want := 1 + min(len(agents)-1, 1); span.Depth != want {
				t.Errorf("%s is at depth %d, want %d", span.Agent, span.Depth, want)
			}
		}
	}
	if len(agents) != 5 || agents[0] != "supervisor" || agents[1] != "research" || agents[3] != "reviewer" {
		t.Errorf("its agents are %v", agents)
	}
}
