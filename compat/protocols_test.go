package compat

import (
	"testing"

	controltypes "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
)

// Agents that speak other protocols than HTTP.
var (
	mcpServer = deployment{name: "mcp", source: "mcpagent", entry: "server.py", protocol: controltypes.ServerProtocolMcp}
	mcpKeeper = deployment{name: "mcp_stateful", source: "mcpagent", entry: "server.py", protocol: controltypes.ServerProtocolMcp, env: map[string]string{"STATEFUL": "1"}}
)

func TestMCP_python(t *testing.T) {
	shared(t).deployed(t, mcpServer)
	shared(t).deployed(t, mcpKeeper)
	runChecks(t, "mcp_client.py")
}
