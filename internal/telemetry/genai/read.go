package genai

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

// Reading is all that is understood of a span.
type Reading struct {
	Agent  string
	Model  *telemetry.ModelCall
	Tool   *telemetry.ToolCall
	Input  []telemetry.Message
	Output []telemetry.Message
}

// Read takes from a span everything that can be understood.
func Read(span ptrace.Span, f telemetry.Fact) Reading {
	s := scan(span.Attributes())
	attributes := span.Attributes().AsRaw()
	var r Reading
	r.fromEvents(span)
	r.fromAttributes(attributes)
	switch f.Kind {
	case telemetry.Agent:
		if r.Agent = s.agent; r.Agent == "" {
			r.Agent = strings.TrimPrefix(f.Name, "invoke_agent ")
		}
	case telemetry.Model:
		r.Model = &telemetry.ModelCall{Name: f.Model, Provider: s.system, Usage: f.Usage, FirstTokenMs: s.firstToken, FinishReason: s.finish}
	case telemetry.Tool, telemetry.Retrieval:
		r.Tool = tool(attributes, f)
		r.toolFromMessages()
	}
	return r
}

func tool(attributes map[string]any, f telemetry.Fact) *telemetry.ToolCall {
	t := &telemetry.ToolCall{Name: f.Tool, CallID: text(attributes["gen_ai.tool.call.id"])}
	t.Arguments = decoded(firstOf(attributes, "gen_ai.tool.call.arguments", "tool.parameters", "tool.arguments", "traceloop.entity.input", "input.value", "gen_ai.retrieval.query.text"))
	t.Result = decoded(firstOf(attributes, "gen_ai.tool.call.result", "tool.result", "traceloop.entity.output", "output.value", "gen_ai.retrieval.documents"))
	return t
}

// toolFromMessages takes a tool's arguments and result from messages where no attribute has them:
// Strands writes them as events.
func (r *Reading) toolFromMessages() {
	if r.Tool.Arguments == nil && len(r.Input) > 0 && len(r.Input[0].Parts) > 0 {
		r.Tool.Arguments = valueOf(r.Input[0].Parts[0])
	}
	if r.Tool.Result == nil && len(r.Output) > 0 && len(r.Output[0].Parts) > 0 {
		r.Tool.Result = valueOf(r.Output[0].Parts[0])
	}
}

func valueOf(p telemetry.Part) any {
	if p.Value != nil {
		return p.Value
	}
	return p.Text
}

func firstOf(attributes map[string]any, keys ...string) any {
	for _, k := range keys {
		if v, ok := attributes[k]; ok && v != "" {
			return v
		}
	}
	return nil
}

// fromAttributes adds what attributes hold where events held nothing.
func (r *Reading) fromAttributes(a map[string]any) {
	if r.Input == nil {
		r.Input = append(messages(a["gen_ai.system_instructions"], "system"), messages(a["gen_ai.input.messages"], "user")...)
	}
	if r.Output == nil {
		r.Output = messages(a["gen_ai.output.messages"], "assistant")
	}
	if r.Input == nil {
		r.Input = firstMessages(a, "user", []string{"llm.input_messages.", "gen_ai.prompt."},
			[]string{"gen_ai.prompt", "llm.prompts", "input.value", "traceloop.entity.input", "gen_ai.agent.human_input"})
		if system := text(a["system_prompt"]); system != "" {
			r.Input = append(one("system", system), r.Input...)
		}
	}
	if r.Output == nil {
		r.Output = firstMessages(a, "assistant", []string{"llm.output_messages.", "gen_ai.completion."},
			[]string{"gen_ai.completion", "output.value", "traceloop.entity.output", "gen_ai.agent.actual_output", "crewai.crew.result", "crewai.crew.tasks_output"})
	}
}

// firstMessages returns the messages under the first numbered prefix that has some, else those of the
// first plain key.
func firstMessages(a map[string]any, role string, numberedKeys, plain []string) []telemetry.Message {
	for _, prefix := range numberedKeys {
		if m := numbered(a, prefix, role); m != nil {
			return m
		}
	}
	return messages(firstOf(a, plain...), role)
}

// numbered reads what OpenInference and OpenLLMetry spread over attributes such as
// llm.input_messages.0.message.role and gen_ai.prompt.0.content.
func numbered(a map[string]any, prefix, role string) (out []telemetry.Message) {
	tree := map[string]any{}
	for key, v := range a {
		if rest, ok := strings.CutPrefix(key, prefix); ok {
			plant(tree, strings.Split(rest, "."), v)
		}
	}
	for _, m := range inOrder(tree) {
		if inner, ok := m["message"].(map[string]any); ok {
			m = inner
		}
		out = append(out, spread(m, role))
	}
	return out
}

// maxPath bounds how deep attribute names are taken apart.
const maxPath = 12

func plant(tree map[string]any, path []string, v any) {
	if len(path) > maxPath {
		return
	}
	for _, step := range path[:len(path)-1] {
		next, ok := tree[step].(map[string]any)
		if !ok {
			next = map[string]any{}
			tree[step] = next
		}
		tree = next
	}
	tree[path[len(path)-1]] = v
}

// inOrder returns the members of a tree that have a number for a name, by number.
func inOrder(v any) (out []map[string]any) {
	tree, _ := v.(map[string]any)
	byNumber := map[int]map[string]any{}
	for key, member := range tree {
		n, err := strconv.Atoi(key)
		if m, ok := member.(map[string]any); ok && err == nil {
			byNumber[n] = m
		}
	}
	for _, n := range slices.Sorted(maps.Keys(byNumber)) {
		out = append(out, byNumber[n])
	}
	return out
}

// spread reads one message whose lists are numbered members.
func spread(m map[string]any, role string) telemetry.Message {
	out := telemetry.Message{Role: role, Parts: parts(m["content"]), FinishReason: text(m["finish_reason"])}
	if r := text(m["role"]); r != "" {
		out.Role = r
	}
	for _, c := range inOrder(m["contents"]) {
		if inner, ok := c["message_content"].(map[string]any); ok {
			out.Parts = append(out.Parts, part(inner))
		}
	}
	for _, c := range inOrder(m["tool_calls"]) {
		out.Parts = append(out.Parts, spreadCall(c))
	}
	if id := text(m["tool_call_id"]); id != "" {
		out.Parts = []telemetry.Part{{Type: "tool_result", CallID: id, Value: decoded(m["content"])}}
	}
	return out
}

func spreadCall(c map[string]any) telemetry.Part {
	if inner, ok := c["tool_call"].(map[string]any); ok {
		c = inner
	}
	call := c
	if f, ok := c["function"].(map[string]any); ok {
		call = f
	}
	return telemetry.Part{Type: "tool_call", Name: text(call["name"]), CallID: text(c["id"]), Value: decoded(call["arguments"])}
}
