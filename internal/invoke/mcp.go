package invoke

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/moorage-dev/moorage"
)

// NotAcceptable is the exception for an MCP client that does not take both forms of an answer.
const NotAcceptable = "McpRequestUnacceptableException"

// InvokeMCP is Invoke for MCP servers. The session is the one that Mcp-Session-Id names. A client that
// names none gets an id: the server's own, when it answers initialize with one and so keeps state,
// else the platform's.
func (s *Service) InvokeMCP(ctx context.Context, call Call) (*Answer, error) {
	if !acceptsMCP(call.Header) {
		return nil, &moorage.Error{Code: moorage.Invalid, Exception: NotAcceptable,
			Message: "Not Acceptable: the Accept header must list both application/json and text/event-stream"}
	}
	call.MCPSession = call.Header.Get(headerMCPSessID)
	opens, err := call.opensMCP()
	if err != nil {
		return nil, err
	}
	answer, err := s.forward(ctx, call, func(c *connection, r *http.Request) {
		r.Host = fmt.Sprint("localhost:", c.lease.Agent.Protocol.Port) // the SDKs' servers refuse names that they do not know
		if r.Header.Del(headerMCPSessID); !opens {                     // a server that keeps state refuses to initialize a session that has an id
			r.Header.Set(headerMCPSessID, c.sessionID)
		}
	})
	if err != nil {
		return nil, err
	}
	if id := answer.Header.Get(headerMCPSessID); opens && id != "" && id != answer.SessionID {
		if err := answer.rename(id); err != nil {
			answer.Body.Close()
			return nil, err
		}
	}
	answer.Header.Set(headerMCPSessID, answer.SessionID)
	return answer, nil
}

// rename makes the session known by the id that an MCP server chose.
func (a *Answer) rename(id string) error {
	if checkMCPSession(id) != nil {
		return moorage.Errorf(moorage.AgentFailed, "the server answered with a malformed Mcp-Session-Id: it is 1 to %d visible ASCII characters", maxMCPSession)
	}
	if err := a.conn.lease.Rename(id); err != nil {
		return err
	}
	a.SessionID = id
	return nil
}

// acceptsMCP reports whether a client takes an answer in either form.
// Source: MCP specification, Streamable HTTP, Sending Messages to the Server.
func acceptsMCP(h http.Header) bool {
	var listed []string
	for part := range strings.SplitSeq(strings.Join(h.Values("Accept"), ","), ",") {
		if kind, _, err := mime.ParseMediaType(part); err == nil {
			listed = append(listed, kind)
		}
	}
	return slices.Contains(listed, "application/json") && slices.Contains(listed, "text/event-stream")
}

// maxInitialize bounds an initialize request, in bytes. It holds names, versions and capabilities.
const maxInitialize = 1 << 20

// opensMCP reports whether the call is one by which an MCP session begins: initialize, without an id.
// It leaves the body as it was.
func (c *Call) opensMCP() (bool, error) {
	if c.MCPSession != "" || c.Body == nil {
		return false, nil
	}
	head, err := io.ReadAll(io.LimitReader(c.Body, maxInitialize))
	if err != nil {
		return false, (&payload{err: err}).failure()
	}
	rest := c.Body
	c.Body = bytes.NewBuffer(head)
	if len(head) == maxInitialize {
		c.Body = io.MultiReader(c.Body, rest)
	}
	var message struct {
		Method string `json:"method"`
	}
	return json.Unmarshal(head, &message) == nil && message.Method == "initialize", nil
}

// maxMCPSession bounds Mcp-Session-Id. Source: AgentCore API reference, InvokeAgentRuntime.
const maxMCPSession = 1024

// checkMCPSession holds an id to the rule of MCP: visible ASCII.
// Source: MCP specification, Streamable HTTP, Session Management.
func checkMCPSession(id string) error {
	if len(id) > maxMCPSession || strings.ContainsFunc(id, func(c rune) bool { return c < 0x21 || c > 0x7e }) {
		return invalid("mcpSessionId", "Value at 'mcpSessionId' failed to satisfy constraint: Member must be 1 to %d visible ASCII characters", maxMCPSession)
	}
	return nil
}
