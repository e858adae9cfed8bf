package genai

import (
	"strings"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

// fromEvents reads messages that were written as events of the span.
func (r *Reading) fromEvents(span ptrace.Span) {
	for _, e := range span.Events().All() {
		r.event(e.Name(), e.Attributes().AsRaw())
	}
}

// event reads one event, or one log record of the same name.
func (r *Reading) event(name string, a map[string]any) {
	switch name {
	case "gen_ai.client.inference.operation.details":
		r.Input = append(r.Input, messages(a["gen_ai.system_instructions"], "system")...)
		r.Input = append(r.Input, messages(a["gen_ai.input.messages"], "user")...)
		r.Output = append(r.Output, messages(a["gen_ai.output.messages"], "assistant")...)
	case "gen_ai.choice":
		r.Output = append(r.Output, choice(a)...)
	case "gen_ai.content.prompt":
		r.Input = append(r.Input, messages(a["gen_ai.prompt"], "user")...)
	case "gen_ai.content.completion":
		r.Output = append(r.Output, messages(a["gen_ai.completion"], "assistant")...)
	default:
		role, ok := strings.CutSuffix(name, ".message")
		if role, ok = cutPrefix(role, "gen_ai.", ok); ok {
			r.Input = append(r.Input, said(a, role)...)
		}
	}
}

func cutPrefix(s, prefix string, ok bool) (string, bool) {
	if !ok {
		return "", false
	}
	return strings.CutPrefix(s, prefix)
}

// choice reads an answer: the message itself, or its parts beside the reason why it ended.
func choice(a map[string]any) []telemetry.Message {
	var m telemetry.Message
	switch said := decoded(a["message"]).(type) {
	case map[string]any:
		m = message(said, "assistant")
	case nil:
		m = message(a, "assistant")
	default:
		m = telemetry.Message{Role: "assistant", Parts: parts(said)}
	}
	m.Parts = append(m.Parts, calls(a["tool_calls"])...)
	if reason := text(a["finish_reason"]); reason != "" {
		m.FinishReason = reason
	}
	if len(m.Parts) == 0 {
		return nil
	}
	return []telemetry.Message{m}
}

// said reads an event that is one message.
func said(a map[string]any, role string) []telemetry.Message {
	m := message(a, role)
	if id := text(a["id"]); id != "" && role == "tool" {
		m.Parts = []telemetry.Part{{Type: "tool_result", CallID: id, Value: decoded(a["content"])}}
	}
	if len(m.Parts) == 0 {
		return nil
	}
	return []telemetry.Message{m}
}

// ReadLog adds what a log record on the span says: the AWS distro moves messages into records with
// input and output, and botocore writes each message as one.
func (r *Reading) ReadLog(record plog.LogRecord) {
	body, _ := decoded(record.Body().AsRaw()).(map[string]any)
	if body == nil {
		return
	}
	input, hasInput := body["input"]
	output, hasOutput := body["output"]
	if hasInput || hasOutput {
		if len(r.Input) == 0 {
			r.Input = messages(input, "user")
		}
		if len(r.Output) == 0 {
			r.Output = messages(output, "assistant")
		}
		return
	}
	name := record.EventName()
	if v, ok := record.Attributes().Get("event.name"); ok {
		name = v.AsString()
	}
	r.event(name, body)
}
