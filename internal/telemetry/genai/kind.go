package genai

import (
	"strings"
	"time"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

// operations are the values of gen_ai.operation.name.
var operations = map[string]telemetry.Kind{
	"chat": telemetry.Model, "text_completion": telemetry.Model, "generate_content": telemetry.Model, "embeddings": telemetry.Model,
	"completion": telemetry.Model, "embedding": telemetry.Model,
	"execute_tool": telemetry.Tool,
	"invoke_agent": telemetry.Agent, "create_agent": telemetry.Agent, "invoke_workflow": telemetry.Agent,
	"execute_event_loop_cycle": telemetry.Agent, "invoke_swarm": telemetry.Agent, "invoke_graph": telemetry.Agent,
	"retrieval": telemetry.Retrieval, "retrieve": telemetry.Retrieval,
	"create_memory": telemetry.Memory, "search_memory": telemetry.Memory, "update_memory": telemetry.Memory, "delete_memory": telemetry.Memory,
}

// inferences are the values of openinference.span.kind. A chain is whatever has steps.
var inferences = map[string]telemetry.Kind{
	"LLM": telemetry.Model, "EMBEDDING": telemetry.Model, "TOOL": telemetry.Tool, "AGENT": telemetry.Agent,
	"RETRIEVER": telemetry.Retrieval, "RERANKER": telemetry.Retrieval, "CHAIN": telemetry.Internal,
}

// loops are the values of traceloop.span.kind.
var loops = map[string]telemetry.Kind{
	"workflow": telemetry.Agent, "agent": telemetry.Agent, "tool": telemetry.Tool, "task": telemetry.Internal,
}

// kind tells from the most explicit attribute to the least.
func (s *seen) kind(name string) telemetry.Kind {
	for _, said := range []telemetry.Kind{operations[s.operation], inferences[s.inference], loops[s.traceloop]} {
		if said != "" {
			return said
		}
	}
	switch {
	case s.request != "":
		return telemetry.Model
	case s.mcp == "tools/call":
		return telemetry.Tool
	case s.tool != "":
		return telemetry.Tool
	case s.tokens && s.model() != "":
		return telemetry.Model
	case s.cycle, s.agent != "", s.crew:
		return telemetry.Agent
	case s.rpc:
		return s.remote()
	case s.http, s.mcp != "", s.asgi:
		return telemetry.HTTP
	}
	return telemetry.Internal
}

// remote is the kind of a call to a service of AWS that says nothing more of itself.
func (s *seen) remote() telemetry.Kind {
	switch service := strings.ReplaceAll(strings.ToLower(s.rpcService), " ", ""); {
	case strings.Contains(service, "bedrockagentruntime") && strings.HasPrefix(s.rpcMethod, "Retrieve"):
		return telemetry.Retrieval
	case strings.Contains(service, "bedrockagentcore") && strings.Contains(s.rpcMethod, "Memory"),
		strings.Contains(service, "bedrockagentcore") && strings.HasSuffix(s.rpcMethod, "Event"):
		return telemetry.Memory
	}
	return telemetry.HTTP
}

// brief is how short plumbing is that nobody wants to see.
const brief = time.Millisecond

// noise reports whether a span is plumbing: single messages of a server's protocol, health checks,
// calls to the metadata address, and requests of less than a millisecond. What failed never is.
func (s *seen) noise(f telemetry.Fact, scope string) bool {
	if f.Error != "" || f.Kind != telemetry.HTTP && f.Kind != telemetry.Internal {
		return false
	}
	switch {
	case s.asgi, strings.HasSuffix(f.Name, " http send"), strings.HasSuffix(f.Name, " http receive"),
		strings.HasSuffix(f.Name, " websocket send"), strings.HasSuffix(f.Name, " websocket receive"):
		return true
	case f.Name == "GET /ping", strings.Contains(s.url, "://169.254."):
		return true
	}
	plumbing := f.Kind == telemetry.HTTP || strings.HasPrefix(scope, "opentelemetry.instrumentation.")
	return plumbing && !f.Parent.IsZero() && f.End-f.Start < int64(brief)
}
