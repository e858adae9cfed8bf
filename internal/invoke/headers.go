package invoke

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
)

// Headers of the platform, as an agent receives them. Source: AgentCore developer guide, HTTP contract.
const (
	HeaderSession   = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"
	HeaderRequest   = "X-Amzn-Bedrock-AgentCore-Runtime-Request-Id"
	HeaderUser      = "X-Amzn-Bedrock-AgentCore-Runtime-User-Id"
	headerMCPSessID = "Mcp-Session-Id"
)

// passed are the caller's headers that every agent receives.
var passed = []string{"Accept", "Content-Type", "Traceparent", "Tracestate", "Baggage", "X-Amzn-Trace-Id"}

// passedMCP are those that an MCP server receives as well.
var passedMCP = []string{headerMCPSessID, "Mcp-Protocol-Version", "Mcp-Method", "Mcp-Name"}

// answered are the agent's headers that reach the caller.
var answered = []string{"Content-Type", "Traceparent", "Tracestate", "Baggage", "X-Amzn-Trace-Id", headerMCPSessID, "Mcp-Protocol-Version"}

// request makes the request that the agent gets.
func (c *connection) request(ctx context.Context, call Call) (*http.Request, error) {
	agent := c.lease.Agent
	r, err := http.NewRequestWithContext(ctx, "POST", "http://agent"+agent.Protocol.Path, call.Body)
	if err != nil {
		return nil, err
	}
	rewindable(r, call.Body)
	if call.Length >= 0 {
		r.ContentLength = call.Length
		if call.Length == 0 {
			r.Body = http.NoBody
		}
	}
	r.Header = c.headers(call.Header)
	r.Header.Set(HeaderRequest, call.RequestID)
	if r.Header.Get("Content-Type") == "" {
		r.Header.Set("Content-Type", "application/json") // agents parse JSON; boto3 sends no type
	}
	return r, nil
}

// rewindable lets the transport send the body once more when a pooled connection turned out to be
// closed before anything of it was written.
func rewindable(r *http.Request, b io.Reader) {
	seeker, ok := b.(io.ReadSeeker)
	if !ok || r.GetBody != nil {
		return
	}
	r.GetBody = func() (io.ReadCloser, error) {
		_, err := seeker.Seek(0, io.SeekStart)
		return io.NopCloser(seeker), err
	}
}

// headers picks from what the caller sent what the agent may see, and adds the platform's own.
func (c *connection) headers(in http.Header) http.Header {
	out := http.Header{"User-Agent": nil} // none, rather than Go's
	names := passed
	if c.lease.Agent.Protocol.Name == "MCP" {
		names = append(append([]string{}, passed...), passedMCP...)
	}
	for _, name := range append(names, c.target.Version.Config.Headers...) {
		for _, v := range in.Values(name) {
			out.Add(name, v)
		}
	}
	out.Set(HeaderSession, c.sessionID)
	return out
}

func answerHeader(in http.Header) http.Header {
	out := http.Header{}
	for _, name := range answered {
		if v := in.Get(name); v != "" {
			out.Set(name, v)
		}
	}
	return out
}

// newUUID returns a random UUID (RFC 9562, version 4).
func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	text := hex.EncodeToString(b[:])
	return strings.Join([]string{text[:8], text[8:12], text[12:16], text[16:20], text[20:]}, "-")
}
