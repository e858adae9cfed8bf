package invoke

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"

	"github.com/moorage-dev/moorage/internal/identity/workload"
)

// Headers of the platform, as an agent receives them, in the form that net/http keeps names in. Source: AgentCore developer guide, HTTP contract.
const (
	HeaderSession   = "X-Amzn-Bedrock-Agentcore-Runtime-Session-Id"
	HeaderRequest   = "X-Amzn-Bedrock-Agentcore-Runtime-Request-Id"
	HeaderUser      = "X-Amzn-Bedrock-Agentcore-Runtime-User-Id"
	headerWorkload  = "Workloadaccesstoken"
	HeaderWAT       = "X-Amz-Bedrock-Agentcore-Identity-Wat" // the newer name of the same
	headerCallback  = "Oauth2callbackurl"
	headerMCPSessID = "Mcp-Session-Id"
)

// passed are the caller's headers that every agent receives, in the form that net/http keeps names in; as are those of passedBy.
var passed = []string{"Accept", "Content-Type", "Traceparent", "Tracestate", "Baggage", "X-Amzn-Trace-Id"}

// passedBy are those that an agent receives as well if it speaks that protocol. What A2A asks clients
// to send, by its specification §3.2.6, is not in AWS's list.
var passedBy = map[string][]string{
	"MCP": {headerMCPSessID, "Mcp-Protocol-Version", "Mcp-Method", "Mcp-Name"},
	"A2A": {"A2a-Version", "A2a-Extensions", "X-A2a-Extensions"},
}

// answered are the agent's headers that reach the caller, in the form that net/http keeps names in.
var answered = []string{"Content-Type", "Traceparent", "Tracestate", "Baggage", "X-Amzn-Trace-Id", headerMCPSessID, "Mcp-Protocol-Version"}

// request makes the request that the agent gets.
func (c *connection) request(ctx context.Context, call Call, body *payload) (*http.Request, error) {
	to, err := url.Parse("http://agent" + c.lease.Agent.Protocol.Path)
	if err != nil {
		return nil, err
	}
	r := (&http.Request{Method: http.MethodPost, URL: to, Host: to.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}).WithContext(ctx)
	if body.from != nil && call.Length != 0 {
		r.Body, r.GetBody, r.ContentLength = body, body.again, call.Length
	}
	if r.Header, err = c.headers(ctx, call); err != nil {
		return nil, err
	}
	if c.edit != nil {
		c.edit(c, r)
	}
	if kind := r.Header["Content-Type"]; len(kind) == 0 || kind[0] == "" {
		r.Header["Content-Type"] = plainJSON // agents parse JSON; boto3 sends no type
	}
	return r, nil
}

// plainJSON is a header's value, which nobody changes.
var plainJSON = []string{"application/json"}

// maxHeader bounds a header that an owner allowed, in bytes. Source: AgentCore quotas.
const maxHeader = 4096

// headers picks from what the caller sent what the agent may see, and adds the platform's own.
func (c *connection) headers(ctx context.Context, call Call) (http.Header, error) {
	in := call.Header
	out := http.Header{"User-Agent": nil} // none, rather than Go's
	pass := func(names []string) {
		for _, name := range names {
			if values := in[name]; len(values) > 0 {
				out[name] = values
			}
		}
	}
	pass(passed)
	pass(passedBy[c.lease.Agent.Protocol.Name])
	for _, name := range c.lease.Version.Config.Headers {
		if n := len(strings.Join(in.Values(name), "")); n > maxHeader {
			return nil, invalid(name, "the header %s has %d bytes; at most %d are passed on", name, n, maxHeader)
		}
		pass([]string{http.CanonicalHeaderKey(name)})
	}
	own := []string{c.sessionID, call.RequestID}
	out[HeaderSession], out[HeaderRequest] = own[:1:1], own[1:]
	c.span.Propagate(out)
	return out, c.identify(ctx, out, call.User)
}

// identify hands the agent a token for what it does on behalf of user, and where users return to that have
// consented to it.
func (c *connection) identify(ctx context.Context, out http.Header, user workload.User) error {
	if c.workloads == nil || user.IsZero() {
		return nil
	}
	name := c.lease.Version.RuntimeID
	token, err := c.workloads.Deliver(ctx, name, c.lease.Session.ID, user)
	if err != nil {
		return err
	}
	out[headerWorkload], out[HeaderWAT] = []string{token}, []string{token}
	if url := c.workloads.ReturnURL(name); url != "" {
		out[headerCallback] = []string{url}
	}
	return nil
}

func answerHeader(in http.Header) http.Header {
	out := http.Header{}
	for _, name := range answered {
		if v := in[name]; len(v) > 0 && v[0] != "" {
			out[name] = v[:1:1]
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
