package compat

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	data "github.com/moorage-dev/moorage/internal/aws/agentcore"
	control "github.com/moorage-dev/moorage/internal/aws/agentcorecontrol"
	"github.com/moorage-dev/moorage/internal/aws/wire"
)

// What the wire adds to one warm call: find the operation among both planes', bind, check, reply.
func BenchmarkInvoke(b *testing.B) {
	c, d := wire.NewService(control.Model, wire.Options{}), wire.NewService(data.Model, wire.Options{})
	wire.Handle(d, data.InvokeAgentRuntime, func(_ context.Context, in *data.InvokeAgentRuntimeInput) (*data.InvokeAgentRuntimeOutput, error) {
		return &data.InvokeAgentRuntimeOutput{ContentType: "application/json", RuntimeSessionId: in.RuntimeSessionId}, nil
	})
	router := wire.Router{c, d}
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest("POST", "/runtimes/arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A123456789012%3Aruntime%2Fdemo-abcdefghij/invocations?qualifier=DEFAULT", strings.NewReader("{}"))
		r.Header.Set("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", sessionID)
		router.ServeHTTP(httptest.NewRecorder(), r)
	}
}
