package genai

import (
	"encoding/json"
	"strings"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

// decoded reads text as JSON where it is an object, a list or a quoted string, and leaves it as it is
// otherwise: a number in a prompt is text.
func decoded(v any) any {
	text, ok := v.(string)
	if !ok {
		return v
	}
	trimmed := strings.TrimSpace(text)
	if trimmed == "" || !strings.ContainsRune(`{["`, rune(trimmed[0])) {
		return v
	}
	var out any
	if json.Unmarshal([]byte(trimmed), &out) != nil {
		return v
	}
	return out
}

// messages reads a list of messages, or one; role is that of messages which name none.
func messages(v any, role string) (out []telemetry.Message) {
	switch v := decoded(v).(type) {
	case nil:
	case []any:
		for _, each := range v {
			if m, ok := each.(map[string]any); ok && isMessage(m) {
				out = append(out, message(m, role))
				continue
			}
			return []telemetry.Message{{Role: role, Parts: parts(v)}} // a list of parts
		}
	case map[string]any:
		if list, ok := v["messages"]; ok {
			return messages(list, role)
		}
		if isMessage(v) {
			return []telemetry.Message{message(v, role)}
		}
		out = one(role, v)
	default:
		out = one(role, v)
	}
	return out
}

func one(role string, content any) []telemetry.Message {
	p := parts(content)
	if len(p) == 0 {
		return nil
	}
	return []telemetry.Message{{Role: role, Parts: p}}
}

func isMessage(m map[string]any) bool {
	_, role := m["role"]
	_, wrapped := m["message"].(map[string]any)
	return role || wrapped
}

func message(m map[string]any, role string) telemetry.Message {
	if inner, ok := m["message"].(map[string]any); ok { // a choice
		out := message(inner, role)
		out.FinishReason = text(m["finish_reason"])
		return out
	}
	out := telemetry.Message{Role: role, FinishReason: text(m["finish_reason"])}
	if r := text(m["role"]); r != "" {
		out.Role = r
	}
	content, ok := m["parts"]
	if !ok {
		content = m["content"]
	}
	if inner, ok := content.(map[string]any); ok && inner["type"] == nil { // the AWS distro wraps content once more
		if out.FinishReason == "" {
			out.FinishReason = text(inner["finish_reason"])
		}
		for _, key := range []string{"content", "message"} {
			if wrapped, ok := inner[key]; ok {
				content = wrapped
			}
		}
	}
	out.Parts = append(parts(content), calls(m["tool_calls"])...)
	if id := text(m["tool_call_id"]); id != "" && out.Role == "tool" {
		out.Parts = []telemetry.Part{{Type: "tool_result", CallID: id, Value: decoded(content)}}
	}
	return out
}

// calls reads OpenAI's list of tool calls.
func calls(v any) (out []telemetry.Part) {
	list, _ := decoded(v).([]any)
	for _, each := range list {
		m, ok := each.(map[string]any)
		if !ok {
			continue
		}
		call := m
		if f, ok := m["function"].(map[string]any); ok {
			call = f
		}
		out = append(out, telemetry.Part{Type: "tool_call", Name: text(call["name"]), CallID: text(m["id"]), Value: decoded(call["arguments"])})
	}
	return out
}

// parts reads the content of a message: text, a part, or a list of parts, in the form of
// OpenTelemetry, Bedrock, OpenAI or Anthropic.
func parts(v any) (out []telemetry.Part) {
	switch v := decoded(v).(type) {
	case nil:
	case string:
		if v != "" {
			out = []telemetry.Part{{Type: "text", Text: v}}
		}
	case []any:
		for _, each := range v {
			out = append(out, parts(each)...)
		}
	case map[string]any:
		out = []telemetry.Part{part(v)}
	default:
		out = []telemetry.Part{{Type: "other", Value: v}}
	}
	return out
}

func part(m map[string]any) telemetry.Part {
	if p, ok := typed(m); ok {
		return p
	}
	if use, ok := m["toolUse"].(map[string]any); ok {
		return telemetry.Part{Type: "tool_call", Name: text(use["name"]), CallID: text(use["toolUseId"]), Value: use["input"]}
	}
	if result, ok := m["toolResult"].(map[string]any); ok {
		return telemetry.Part{Type: "tool_result", CallID: text(result["toolUseId"]), Value: result["content"]}
	}
	if reasoning, ok := m["reasoningContent"].(map[string]any); ok {
		inner, _ := reasoning["reasoningText"].(map[string]any)
		return telemetry.Part{Type: "reasoning", Text: text(inner["text"])}
	}
	if said, ok := m["text"].(string); ok {
		return telemetry.Part{Type: "text", Text: said}
	}
	return telemetry.Part{Type: "other", Value: m}
}

// typed reads a part that names its type.
func typed(m map[string]any) (telemetry.Part, bool) {
	switch text(m["type"]) {
	case "text", "output_text", "input_text":
		said := text(m["content"])
		if said == "" {
			said = text(m["text"])
		}
		return telemetry.Part{Type: "text", Text: said}, true
	case "reasoning", "thinking":
		return telemetry.Part{Type: "reasoning", Text: text(m["content"]) + text(m["thinking"])}, true
	case "tool_call":
		return telemetry.Part{Type: "tool_call", Name: text(m["name"]), CallID: text(m["id"]), Value: decoded(m["arguments"])}, true
	case "tool_use":
		return telemetry.Part{Type: "tool_call", Name: text(m["name"]), CallID: text(m["id"]), Value: m["input"]}, true
	case "tool_call_response":
		answer, ok := m["response"]
		if !ok {
			answer = m["result"]
		}
		return telemetry.Part{Type: "tool_result", CallID: text(m["id"]), Value: decoded(answer)}, true
	case "tool_result":
		return telemetry.Part{Type: "tool_result", CallID: text(m["tool_use_id"]), Value: decoded(m["content"])}, true
	}
	return telemetry.Part{}, false
}

func text(v any) string {
	s, _ := v.(string)
	return s
}
