package main

import (
	"context"
	"encoding/json"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/moorage-dev/moorage/agent"
)

// Spans are named and shaped as those of Strands, so that one view of a trajectory serves both languages.
// Source: strands-agents, telemetry/tracer.py.

type span struct{ trace.Span }

func start(ctx context.Context, name, operation string, more ...attribute.KeyValue) (context.Context, span) {
	more = append(more,
		attribute.String("gen_ai.operation.name", operation), attribute.String("gen_ai.system", "strands-agents"),
		attribute.String("session.id", agent.RequestOf(ctx).SessionID))
	ctx, s := otel.Tracer("strands.telemetry.tracer").Start(ctx, name, trace.WithAttributes(more...))
	return ctx, span{s}
}

func startAgent(ctx context.Context, a *Agent, task string) (context.Context, span) {
	names := []string{}
	for _, t := range a.Tools {
		names = append(names, t.Name)
	}
	ctx, s := start(ctx, "invoke_agent "+a.Name, "invoke_agent", attribute.String("gen_ai.agent.name", a.Name),
		attribute.String("gen_ai.request.model", a.Model), attribute.String("gen_ai.agent.tools", asJSON(names)), attribute.String("system_prompt", a.System))
	s.said("gen_ai.user.message", "content", asJSON([]text{{task}}))
	return ctx, s
}

func startCycle(ctx context.Context, n int) (context.Context, span) {
	return start(ctx, "execute_event_loop_cycle", "execute_event_loop_cycle", attribute.Int("event_loop.cycle_id", n))
}

func startChat(ctx context.Context, a *Agent, messages []types.Message) (context.Context, span) {
	ctx, s := start(ctx, "chat", "chat", attribute.String("gen_ai.request.model", a.Model))
	s.said("gen_ai.system.message", "content", asJSON([]text{{a.System}}))
	for _, m := range messages {
		s.said("gen_ai."+string(m.Role)+".message", "content", asJSON(shown(m)))
	}
	return ctx, s
}

func startTool(ctx context.Context, use types.ToolUseBlock, input any) (context.Context, span) {
	name, id := aws.ToString(use.Name), aws.ToString(use.ToolUseId)
	ctx, s := start(ctx, "execute_tool "+name, "execute_tool", attribute.String("gen_ai.tool.name", name), attribute.String("gen_ai.tool.call.id", id))
	s.said("gen_ai.tool.message", "role", "tool", "content", asJSON(input), "id", id)
	return ctx, s
}

// said adds an event with attributes in pairs.
func (s span) said(event string, pairs ...string) {
	var attributes []attribute.KeyValue
	for i := 0; i < len(pairs); i += 2 {
		attributes = append(attributes, attribute.String(pairs[i], pairs[i+1]))
	}
	s.AddEvent(event, trace.WithAttributes(attributes...))
}

func (s span) finish(words string, err error) {
	if words != "" {
		s.said("gen_ai.choice", "message", asJSON([]text{{words}}), "finish_reason", "end_turn")
	}
	s.end(err)
}

func (s span) end(err error) {
	if err != nil {
		s.RecordError(err)
		s.SetStatus(codes.Error, err.Error())
	} else {
		s.SetStatus(codes.Ok, "")
	}
	s.End()
}

func (s span) finishChat(answer types.Message, stop types.StopReason, err error) {
	if err == nil {
		s.said("gen_ai.choice", "message", asJSON(shown(answer)), "finish_reason", string(stop))
	}
	s.end(err)
}

// usage notes what a call of the model took, on its span and in the story's bill.
func (s span) usage(ctx context.Context, model string, u *types.TokenUsage) {
	if u == nil {
		return
	}
	in, out := int(aws.ToInt32(u.InputTokens)), int(aws.ToInt32(u.OutputTokens))
	s.SetAttributes(attribute.Int("gen_ai.usage.input_tokens", in), attribute.Int("gen_ai.usage.output_tokens", out), attribute.Int("gen_ai.usage.total_tokens", in+out),
		attribute.Int("gen_ai.usage.prompt_tokens", in), attribute.Int("gen_ai.usage.completion_tokens", out))
	billOf(ctx).add(model, in, out)
}

type text struct {
	Text string `json:"text"`
}

// shown is a message as a span tells it.
func shown(m types.Message) []any {
	out := []any{}
	for _, block := range m.Content {
		switch b := block.(type) {
		case *types.ContentBlockMemberText:
			out = append(out, text{b.Value})
		case *types.ContentBlockMemberToolUse:
			out = append(out, map[string]any{"toolUse": map[string]any{"toolUseId": b.Value.ToolUseId, "name": b.Value.Name, "input": inputOf(b.Value)}})
		case *types.ContentBlockMemberToolResult:
			var said []text
			for _, c := range b.Value.Content {
				if t, ok := c.(*types.ToolResultContentBlockMemberText); ok {
					said = append(said, text{t.Value})
				}
			}
			out = append(out, map[string]any{"toolResult": map[string]any{"toolUseId": b.Value.ToolUseId, "status": b.Value.Status, "content": said}})
		}
	}
	return out
}

func asJSON(v any) string {
	doc, err := json.Marshal(v)
	if err != nil {
		return "{}"
	}
	return string(doc)
}

// startLookUp is the span of the research agent's tool.
func startLookUp(ctx context.Context, list string) (context.Context, span) {
	ctx, s := start(ctx, "execute_tool look_up", "execute_tool", attribute.String("gen_ai.tool.name", "look_up"))
	s.said("gen_ai.tool.message", "role", "tool", "content", asJSON(map[string]string{"entities": list}))
	return ctx, s
}

// traceOf is the trace that a call belongs to, by which its trajectory is found.
func traceOf(ctx context.Context) string {
	if s := trace.SpanContextFromContext(ctx); s.HasTraceID() {
		return s.TraceID().String()
	}
	return ""
}
