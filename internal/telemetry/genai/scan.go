package genai

import (
	"math"
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

// seen is what one pass over a span's attributes finds.
type seen struct {
	operation  string // gen_ai.operation.name
	inference  string // openinference.span.kind
	traceloop  string // traceloop.span.kind
	request    string // llm.request.type
	system     string // gen_ai.system or gen_ai.provider.name
	asked      string // model that was asked for
	answered   string // model that answered
	tool       string
	agent      string
	rpcService string
	rpcMethod  string
	mcp        string // mcp.method.name
	url        string
	errorType  string
	finish     string
	http       bool
	rpc        bool
	crew       bool
	cycle      bool // a turn of Strands's loop
	asgi       bool // one message of a Python server's protocol
	usage      telemetry.Usage
	tokens     bool    // usage was reported
	apart      bool    // the cached tokens are not part of the input tokens
	firstToken float64 // ms
}

func scan(attributes pcommon.Map) (s seen) {
	for key, v := range attributes.All() {
		s.note(key, v)
	}
	if s.apart && (s.system == "strands-agents" || s.usage.Cached > s.usage.Input) {
		s.usage.Input += s.usage.Cached + s.usage.CacheWritten
	}
	return s
}

func (s *seen) note(key string, v pcommon.Value) {
	switch {
	case strings.HasPrefix(key, "gen_ai.usage."), strings.HasPrefix(key, "llm.token_count."):
		s.count(key, v)
	case strings.HasPrefix(key, "gen_ai."):
		s.genAI(key[len("gen_ai."):], v)
	case strings.HasPrefix(key, "http."):
		s.http = s.http || key == "http.request.method" || key == "http.method"
		if key == "http.url" || key == "http.target" {
			s.url = v.AsString()
		}
	case strings.HasPrefix(key, "crewai."):
		s.crew = true
	default:
		s.other(key, v)
	}
}

func (s *seen) genAI(key string, v pcommon.Value) {
	switch key {
	case "operation.name":
		s.operation = v.AsString()
	case "system", "provider.name":
		s.system = v.AsString()
	case "request.model":
		s.asked = v.AsString()
	case "response.model":
		s.answered = v.AsString()
	case "tool.name":
		s.tool = v.AsString()
	case "agent.name":
		s.agent = v.AsString()
	case "response.finish_reasons":
		s.finish = first(v)
	case "server.time_to_first_token":
		s.firstToken = number(v)
	case "response.time_to_first_chunk":
		s.firstToken = number(v) * 1000
	}
}

func (s *seen) other(key string, v pcommon.Value) {
	switch key {
	case "openinference.span.kind":
		s.inference = strings.ToUpper(v.AsString())
	case "traceloop.span.kind":
		s.traceloop = v.AsString()
	case "traceloop.entity.name":
		s.agent = v.AsString()
	case "llm.request.type":
		s.request = v.AsString()
	case "llm.model_name":
		s.asked = v.AsString()
	case "llm.provider", "llm.system":
		s.system = v.AsString()
	case "tool.name":
		s.tool = v.AsString()
	case "rpc.service":
		s.rpc, s.rpcService = true, v.AsString()
	case "rpc.method":
		s.rpc, s.rpcMethod = true, v.AsString()
	case "mcp.method.name":
		s.mcp = v.AsString()
	case "url.full", "url.path":
		s.url = v.AsString()
	case "error.type":
		s.errorType = v.AsString()
	case "event_loop.cycle_id":
		s.cycle = true
	case "asgi.event.type":
		s.asgi = true
	case "agent.name":
		s.agent = v.AsString()
	}
}

// count notes a number of tokens. Older conventions say prompt and completion; Strands writes cached
// tokens with underscores and does not count them as input.
func (s *seen) count(key string, v pcommon.Value) {
	n := tokens(v)
	s.tokens = true
	switch key {
	case "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt":
		s.usage.Input = n
	case "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion":
		s.usage.Output = n
	case "gen_ai.usage.cache_read_input_tokens":
		s.usage.Cached, s.apart = n, true
	case "gen_ai.usage.cache_write_input_tokens", "gen_ai.usage.cache_creation_input_tokens":
		s.usage.CacheWritten, s.apart = n, true
	case "gen_ai.usage.cache_read.input_tokens", "llm.token_count.prompt_details.cache_read":
		s.usage.Cached = n
	case "gen_ai.usage.cache_creation.input_tokens", "llm.token_count.prompt_details.cache_write":
		s.usage.CacheWritten = n
	case "gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens", "llm.token_count.completion_details.reasoning":
		s.usage.Reasoning = n
	}
}

// maxTokens is more than any model takes in one call: larger numbers are mistakes, and would drown
// the sums.
const maxTokens = 1 << 30

func tokens(v pcommon.Value) int64 {
	n := number(v)
	if !(n > 0) || n > maxTokens {
		return 0
	}
	return int64(n)
}

// number reads a number however it was written; 0 for what is none.
func number(v pcommon.Value) float64 {
	switch v.Type() {
	case pcommon.ValueTypeInt:
		return float64(v.Int())
	case pcommon.ValueTypeDouble:
		return v.Double()
	case pcommon.ValueTypeStr:
		if n, err := strconv.ParseFloat(v.Str(), 64); err == nil && !math.IsInf(n, 0) {
			return n
		}
	}
	return 0
}

// first is the first element of a list, or the value itself.
func first(v pcommon.Value) string {
	if v.Type() == pcommon.ValueTypeSlice {
		if v.Slice().Len() == 0 {
			return ""
		}
		return v.Slice().At(0).AsString()
	}
	return v.AsString()
}

// Draw takes from a span what sums and lists need. Service spans are the platform's own; an agent
// cannot make one, and [Draw] never says that a span is one.
func Draw(span ptrace.Span, scope string) telemetry.Fact {
	s := scan(span.Attributes())
	f := telemetry.Fact{
		ID: telemetry.SpanID(span.SpanID()), Parent: telemetry.SpanID(span.ParentSpanID()), Name: span.Name(),
		Start: int64(span.StartTimestamp()), End: int64(span.EndTimestamp()), Kind: s.kind(span.Name()),
	}
	f.End = max(f.End, f.Start)
	f.Error = s.failure(span)
	f.Noise = s.noise(f, scope)
	switch f.Kind {
	case telemetry.Model:
		f.Model, f.Usage = s.model(), s.usage
	case telemetry.Tool:
		f.Tool = s.toolName(span.Name())
	}
	return f
}

func (s *seen) model() string {
	if s.answered != "" {
		return s.answered
	}
	return s.asked
}

func (s *seen) toolName(span string) string {
	if s.tool != "" {
		return s.tool
	}
	return strings.TrimPrefix(span, "execute_tool ")
}

// failure is why a span failed, in the words of whoever knows best; empty when it did not.
func (s *seen) failure(span ptrace.Span) string {
	if span.Status().Code() != ptrace.StatusCodeError {
		return ""
	}
	if m := span.Status().Message(); m != "" {
		return m
	}
	for _, e := range span.Events().All() {
		if e.Name() != "exception" {
			continue
		}
		kind, _ := e.Attributes().Get("exception.type")
		said, ok := e.Attributes().Get("exception.message")
		if ok {
			return strings.TrimPrefix(kind.AsString()+": "+said.AsString(), ": ")
		}
	}
	if s.errorType != "" {
		return s.errorType
	}
	return "failed without saying why"
}

// Platform is the scope of the platform's own spans.
const Platform = "moorage"

// DrawFrom is Draw for spans that are on record: those of the platform itself, which no sandbox sent,
// are service spans.
func DrawFrom(source telemetry.Source, span ptrace.Span, scope string) telemetry.Fact {
	f := Draw(span, scope)
	if scope == Platform && source.Sandbox == "" {
		f.Kind, f.Noise = telemetry.Service, false
		if v, ok := span.Attributes().Get("error_type"); ok {
			f.Fault = telemetry.Fault(v.AsString())
		}
	}
	return f
}
