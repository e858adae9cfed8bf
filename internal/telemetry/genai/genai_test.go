package genai_test

import (
	"reflect"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/genai"
)

type attributes = map[string]any

// event is an event of a span, or a log record on it.
type event struct {
	name       string
	attributes attributes
}

func spanOf(t testing.TB, name string, a attributes, events ...event) ptrace.Span {
	t.Helper()
	s := ptrace.NewSpan()
	s.SetName(name)
	s.SetStartTimestamp(1)
	s.SetEndTimestamp(pcommon.Timestamp(time.Second))
	if err := s.Attributes().FromRaw(a); err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		to := s.Events().AppendEmpty()
		to.SetName(e.name)
		if err := to.Attributes().FromRaw(e.attributes); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func text(role, said string) telemetry.Message {
	return telemetry.Message{Role: role, Parts: []telemetry.Part{{Type: "text", Text: said}}}
}

func toolCall(name, id string, arguments any) telemetry.Part {
	return telemetry.Part{Type: "tool_call", Name: name, CallID: id, Value: arguments}
}

// conversation is one exchange, however it is written: a system prompt, a question, an answer that calls a tool.
var (
	asked = []telemetry.Message{text("system", "be brief"), text("user", "what is new?")}
	said  = telemetry.Message{Role: "assistant", Parts: []telemetry.Part{{Type: "text", Text: "I look"}, toolCall("search", "call-1", map[string]any{"query": "news"})}, FinishReason: "tool_use"}
)

// Every way in which frameworks write a model call is read the same.
func TestRead_messagesOfEveryFramework(t *testing.T) {
	const blocks = `[{"text":"I look"},{"toolUse":{"toolUseId":"call-1","name":"search","input":{"query":"news"}}}]`
	const calls = `[{"id":"call-1","type":"function","function":{"name":"search","arguments":"{\"query\":\"news\"}"}}]`
	const latestIn = `[{"role":"user","parts":[{"type":"text","content":"what is new?"}]}]`
	const latestOut = `[{"role":"assistant","parts":[{"type":"text","content":"I look"},{"type":"tool_call","id":"call-1","name":"search","arguments":{"query":"news"}}],"finish_reason":"tool_use"}]`
	for name, c := range map[string]struct {
		attributes attributes
		events     []event
	}{
		"OpenTelemetry, events of each message (Strands)": {attributes{"gen_ai.operation.name": "chat"}, []event{
			{"gen_ai.system.message", attributes{"content": `[{"text":"be brief"}]`}},
			{"gen_ai.user.message", attributes{"content": `[{"text":"what is new?"}]`}},
			{"gen_ai.choice", attributes{"message": blocks, "finish_reason": "tool_use"}},
		}},
		"OpenTelemetry, one event (Strands, newer)": {attributes{"gen_ai.operation.name": "chat"}, []event{
			{"gen_ai.client.inference.operation.details", attributes{
				"gen_ai.system_instructions": `[{"type":"text","content":"be brief"}]`, "gen_ai.input.messages": latestIn, "gen_ai.output.messages": latestOut,
			}},
		}},
		"OpenTelemetry, attributes": {attributes{
			"gen_ai.operation.name": "chat", "gen_ai.system_instructions": `[{"type":"text","content":"be brief"}]`,
			"gen_ai.input.messages": latestIn, "gen_ai.output.messages": latestOut,
		}, nil},
		"OpenTelemetry, structured attributes": {attributes{
			"gen_ai.operation.name": "chat",
			"gen_ai.input.messages": []any{
				attributes{"role": "system", "parts": []any{attributes{"type": "text", "content": "be brief"}}},
				attributes{"role": "user", "parts": []any{attributes{"type": "text", "content": "what is new?"}}},
			},
			"gen_ai.output.messages": latestOut,
		}, nil},
		"OpenInference": {attributes{
			"openinference.span.kind": "LLM", "llm.input_messages.0.message.role": "system", "llm.input_messages.0.message.content": "be brief",
			"llm.input_messages.1.message.role": "user", "llm.input_messages.1.message.contents.0.message_content.type": "text",
			"llm.input_messages.1.message.contents.0.message_content.text":            "what is new?",
			"llm.output_messages.0.message.role":                                      "assistant",
			"llm.output_messages.0.message.content":                                   "I look",
			"llm.output_messages.0.message.finish_reason":                             "tool_use",
			"llm.output_messages.0.message.tool_calls.0.tool_call.id":                 "call-1",
			"llm.output_messages.0.message.tool_calls.0.tool_call.function.name":      "search",
			"llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": `{"query":"news"}`,
		}, nil},
		"OpenLLMetry": {attributes{
			"llm.request.type": "chat", "gen_ai.prompt.0.role": "system", "gen_ai.prompt.0.content": "be brief", "gen_ai.prompt.1.role": "user",
			"gen_ai.prompt.1.content": "what is new?", "gen_ai.completion.0.role": "assistant", "gen_ai.completion.0.content": "I look",
			"gen_ai.completion.0.finish_reason": "tool_use", "gen_ai.completion.0.tool_calls.0.id": "call-1",
			"gen_ai.completion.0.tool_calls.0.name": "search", "gen_ai.completion.0.tool_calls.0.arguments": `{"query":"news"}`,
		}, nil},
		"OpenAI's form in events": {attributes{"gen_ai.operation.name": "chat"}, []event{
			{"gen_ai.system.message", attributes{"content": "be brief"}},
			{"gen_ai.user.message", attributes{"content": "what is new?"}},
			{"gen_ai.choice", attributes{"message": `{"role":"assistant","content":"I look"}`, "tool_calls": calls, "finish_reason": "tool_use"}},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			span := spanOf(t, "chat", c.attributes, c.events...)
			fact := genai.Draw(span, "")
			got := genai.Read(span, fact)
			if fact.Kind != telemetry.Model || got.Model == nil {
				t.Errorf("it is a span of kind %s", fact.Kind)
			}
			if !reflect.DeepEqual(got.Input, asked) {
				t.Errorf("input %+v", got.Input)
			}
			if !reflect.DeepEqual(got.Output, []telemetry.Message{said}) {
				t.Errorf("output %+v", got.Output)
			}
		})
	}
}

// The AWS distro and botocore put messages into log records on the span.
func TestReadLog_messagesOfTheSpan(t *testing.T) {
	for name, records := range map[string][]event{
		"AWS distro": {{"strands.telemetry.tracer", attributes{
			"input": attributes{"messages": []any{
				attributes{"role": "system", "content": "be brief"}, attributes{"role": "user", "content": attributes{"content": `[{"text":"what is new?"}]`}},
			}},
			"output": attributes{"messages": []any{attributes{"role": "assistant", "content": attributes{
				"message": `[{"text":"I look"},{"toolUse":{"toolUseId":"call-1","name":"search","input":{"query":"news"}}}]`, "finish_reason": "tool_use",
			}}}},
		}}},
		"botocore": {
			{"gen_ai.system.message", attributes{"content": []any{attributes{"text": "be brief"}}}},
			{"gen_ai.user.message", attributes{"content": []any{attributes{"text": "what is new?"}}}},
			{"gen_ai.choice", attributes{"index": 0, "finish_reason": "tool_use", "message": attributes{"role": "assistant", "content": []any{attributes{"text": "I look"}},
				"tool_calls": []any{attributes{"id": "call-1", "type": "function", "function": attributes{"name": "search", "arguments": attributes{"query": "news"}}}}}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			span := spanOf(t, "chat", attributes{"gen_ai.operation.name": "chat"})
			got := genai.Read(span, genai.Draw(span, ""))
			for _, r := range records {
				record := plog.NewLogRecord()
				record.Attributes().PutStr("event.name", r.name)
				if err := record.Body().FromRaw(r.attributes); err != nil {
					t.Fatal(err)
				}
				got.ReadLog(record)
			}
			if !reflect.DeepEqual(got.Input, asked) || !reflect.DeepEqual(got.Output, []telemetry.Message{said}) {
				t.Errorf("input %+v\noutput %+v", got.Input, got.Output)
			}
		})
	}
}

func TestDraw_kinds(t *testing.T) {
	for name, c := range map[string]struct {
		span       string
		attributes attributes
		kind       telemetry.Kind
		noise      bool
	}{
		"an agent":                {"invoke_agent writer", attributes{"gen_ai.operation.name": "invoke_agent"}, telemetry.Agent, false},
		"a turn of Strands":       {"execute_event_loop_cycle", attributes{"event_loop.cycle_id": "1"}, telemetry.Agent, false},
		"a crew":                  {"Crew.kickoff", attributes{"crewai.crew.result": "done"}, telemetry.Agent, false},
		"a tool":                  {"execute_tool search", attributes{"gen_ai.tool.name": "search"}, telemetry.Tool, false},
		"an MCP tool":             {"tools/call search", attributes{"mcp.method.name": "tools/call"}, telemetry.Tool, false},
		"a retriever":             {"retrieve", attributes{"openinference.span.kind": "RETRIEVER"}, telemetry.Retrieval, false},
		"a knowledge base":        {"Bedrock Agent Runtime.Retrieve", attributes{"rpc.service": "Bedrock Agent Runtime", "rpc.method": "Retrieve"}, telemetry.Retrieval, false},
		"embeddings":              {"embeddings titan", attributes{"gen_ai.operation.name": "embeddings"}, telemetry.Model, false},
		"memory":                  {"Bedrock AgentCore.CreateEvent", attributes{"rpc.service": "Bedrock AgentCore", "rpc.method": "CreateEvent"}, telemetry.Memory, false},
		"a request":               {"POST", attributes{"http.request.method": "POST"}, telemetry.HTTP, false},
		"a message of a server":   {"POST /invocations http send", attributes{"asgi.event.type": "http.response.body"}, telemetry.HTTP, true},
		"the metadata address":    {"GET", attributes{"http.request.method": "GET", "url.full": "http://169.254.170.2/creds"}, telemetry.HTTP, true},
		"a health check":          {"GET /ping", attributes{"http.request.method": "GET"}, telemetry.HTTP, true},
		"something else":          {"work", nil, telemetry.Internal, false},
		"a service, so it claims": {"InvokeAgentRuntime", attributes{"aws.operation.name": "InvokeAgentRuntime"}, telemetry.Internal, false},
	} {
		t.Run(name, func(t *testing.T) {
			got := genai.Draw(spanOf(t, c.span, c.attributes), "")
			if got.Kind != c.kind || got.Noise != c.noise {
				t.Errorf("kind %s, noise %v", got.Kind, got.Noise)
			}
		})
	}
}

func TestDraw_usage(t *testing.T) {
	for name, c := range map[string]struct {
		attributes attributes
		want       telemetry.Usage
	}{
		"conventions": {attributes{"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 7, "gen_ai.usage.cache_read.input_tokens": 60, "gen_ai.usage.reasoning.output_tokens": 3},
			telemetry.Usage{Input: 100, Output: 7, Cached: 60, Reasoning: 3}},
		"older conventions":           {attributes{"gen_ai.usage.prompt_tokens": 100, "gen_ai.usage.completion_tokens": 7}, telemetry.Usage{Input: 100, Output: 7}},
		"OpenInference":               {attributes{"llm.token_count.prompt": 100, "llm.token_count.completion": 7}, telemetry.Usage{Input: 100, Output: 7}},
		"Strands counts cached apart": {attributes{"gen_ai.system": "strands-agents", "gen_ai.usage.input_tokens": 40, "gen_ai.usage.cache_read_input_tokens": 60}, telemetry.Usage{Input: 100, Cached: 60}},
		"as text":                     {attributes{"gen_ai.usage.input_tokens": "100"}, telemetry.Usage{Input: 100}},
		"nonsense":                    {attributes{"gen_ai.usage.input_tokens": -5, "gen_ai.usage.output_tokens": 1e18}, telemetry.Usage{}},
	} {
		t.Run(name, func(t *testing.T) {
			c.attributes["gen_ai.operation.name"] = "chat"
			if got := genai.Draw(spanOf(t, "chat", c.attributes), "").Usage; got != c.want {
				t.Errorf("usage %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestRead_toolsOfStrands(t *testing.T) {
	span := spanOf(t, "execute_tool search", attributes{"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search", "gen_ai.tool.call.id": "call-1"},
		event{"gen_ai.tool.message", attributes{"role": "tool", "content": `{"query":"news"}`, "id": "call-1"}},
		event{"gen_ai.choice", attributes{"message": `[{"text":"a result"}]`, "id": "call-1"}})
	got := genai.Read(span, genai.Draw(span, "")).Tool
	want := &telemetry.ToolCall{Name: "search", CallID: "call-1", Arguments: map[string]any{"query": "news"}, Result: "a result"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("tool %+v, want %+v", got, want)
	}
}

func TestDraw_failureInTheWordsOfWhoKnows(t *testing.T) {
	span := spanOf(t, "work", nil, event{"exception", attributes{"exception.type": "ValueError", "exception.message": "no such city"}})
	if got := genai.Draw(span, "").Error; got != "" {
		t.Errorf("a span that did not fail says %q", got)
	}
	span.Status().SetCode(ptrace.StatusCodeError)
	if got := genai.Draw(span, "").Error; got != "ValueError: no such city" {
		t.Errorf("it says %q", got)
	}
	span.Status().SetMessage("the search failed")
	if got := genai.Draw(span, "").Error; got != "the search failed" {
		t.Errorf("it says %q", got)
	}
}
