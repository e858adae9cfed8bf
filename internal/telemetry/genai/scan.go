package genai

import (
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
		s.note(key, valueFrom(v))
	}
	s.settle()
	return s
}

// settle makes one sense of what was noted.
func (s *seen) settle() {
	if s.apart && (s.system == "strands-agents" || s.usage.Cached > s.usage.Input) {
		s.usage.Input += s.usage.Cached + s.usage.CacheWritten
	}
}

func (s *seen) note(key string, v Value) {
	switch {
	case strings.HasPrefix(key, "gen_ai.usage."), strings.HasPrefix(key, "llm.token_count."):
		s.count(key, v)
	case strings.HasPrefix(key, "gen_ai."):
		s.genAI(key[len("gen_ai."):], v)
	case strings.HasPrefix(key, "http."):
		s.http = s.http || key == "http.request.method" || key == "http.method"
		if key == "http.url" || key == "http.target" {
			s.url = v.text()
		}
	case strings.HasPrefix(key, "crewai."):
		s.crew = true
	default:
		s.other(key, v)
	}
}

func (s *seen) genAI(key string, v Value) {
	switch key {
	case "operation.name":
		s.operation = v.text()
	case "system", "provider.name":
		s.system = v.text()
	case "request.model":
		s.asked = v.text()
	case "response.model":
		s.answered = v.text()
	case "tool.name":
		s.tool = v.text()
	case "agent.name":
		s.agent = v.text()
	case "response.finish_reasons":
		s.finish = v.first()
	case "server.time_to_first_token":
		s.firstToken = v.float()
	case "response.time_to_first_chunk":
		s.firstToken = v.float() * 1000
	}
}

func (s *seen) other(key string, v Value) {
	switch key {
	case "openinference.span.kind":
		s.inference = strings.ToUpper(v.text())
	case "traceloop.span.kind":
		s.traceloop = v.text()
	case "traceloop.entity.name":
		s.agent = v.text()
	case "llm.request.type":
		s.request = v.text()
	case "llm.model_name":
		s.asked = v.text()
	case "llm.provider", "llm.system":
		s.system = v.text()
	case "tool.name":
		s.tool = v.text()
	case "rpc.service":
		s.rpc, s.rpcService = true, v.text()
	case "rpc.method":
		s.rpc, s.rpcMethod = true, v.text()
	case "mcp.method.name":
		s.mcp = v.text()
	case "url.full", "url.path":
		s.url = v.text()
	case "error.type":
		s.errorType = v.text()
	case "event_loop.cycle_id":
		s.cycle = true
	case "asgi.event.type":
		s.asgi = true
	case "agent.name":
		s.agent = v.text()
	}
}

// count notes a number of tokens. Older conventions say prompt and completion; Strands writes cached
// tokens with underscores and does not count them as input.
func (s *seen) count(key string, v Value) {
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

func tokens(v Value) int64 {
	n := v.float()
	if !(n > 0) || n > maxTokens {
		return 0
	}
	return int64(n)
}

// Draw takes from a span what sums and lists need. Service spans are the platform's own; an agent
// cannot make one, and [Draw] never says that a span is one.
func Draw(span ptrace.Span, scope string) telemetry.Fact {
	s := scan(span.Attributes())
	f := telemetry.Fact{
		ID: telemetry.SpanID(span.SpanID()), Parent: telemetry.SpanID(span.ParentSpanID()), Name: span.Name(),
		Start: int64(span.StartTimestamp()), End: int64(span.EndTimestamp()), Error: s.failure(span),
	}
	s.complete(&f, scope)
	return f
}

func (s *seen) complete(f *telemetry.Fact, scope string) {
	f.Kind = s.kind(f.Name)
	f.End = max(f.End, f.Start)
	f.Noise = s.noise(*f, scope)
	switch f.Kind {
	case telemetry.Model:
		f.Model, f.Usage = s.model(), s.usage
	case telemetry.Tool:
		f.Tool = s.toolName(f.Name)
	}
}

// Scan is [Draw] for spans that are not decoded: note every attribute, in order, and complete the fact.
type Scan struct{ seen seen }

// Note takes in an attribute.
func (s *Scan) Note(key string, v Value) { s.seen.note(key, v) }

// Complete fills in what follows from the attributes of a span that did not fail: all but ids, name and times.
// Its strings may be those of the values.
func (s *Scan) Complete(f *telemetry.Fact, scope string) {
	s.seen.settle()
	s.seen.complete(f, scope)
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
