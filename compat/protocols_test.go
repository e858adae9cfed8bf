package compat

import (
	"testing"

	controltypes "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
)

// Agents that speak other protocols than HTTP.
var (
	mcpServer = deployment{name: "mcp", source: "mcpagent", entry: "server.py", protocol: controltypes.ServerProtocolMcp}
	mcpKeeper = deployment{name: "mcp_stateful", source: "mcpagent", entry: "server.py", protocol: controltypes.ServerProtocolMcp, env: map[string]string{"STATEFUL": "1"}}
	a2aAgent  = deployment{name: "a2a", source: "a2aagent", entry: "agent.py", protocol: controltypes.ServerProtocolA2a}
	aguiAgent = deployment{
		name: "agui", source: "probe", entry: "main.py", protocol: controltypes.ServerProtocolAgui, port: 8123, path: "/agent/run", env: map[string]string{"PROBE_PORT": "8123"},
	}
)

func TestMCP_python(t *testing.T) {
	shared(t).deployed(t, mcpServer)
	shared(t).deployed(t, mcpKeeper)
	runChecks(t, "mcp_client.py")
}

func TestA2A_python(t *testing.T) {
	shared(t).deployed(t, a2aAgent)
	runChecks(t, "a2a_client.py")
}

func TestAGUI(t *testing.T) {
	shared(t).deployed(t, aguiAgent)
	runChecks(t, "agui.py")
}
