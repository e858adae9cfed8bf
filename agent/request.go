package agent

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
)

// Request is what the platform says of a call.
type Request struct {
	SessionID string // empty where the platform sent none: in a test, say
	RequestID string // a new one where the platform sent none

	// WorkloadToken stands for the agent acting for its caller: it buys tokens of other services from
	// the platform's identity service. It is a secret, and empty where no user is known.
	WorkloadToken string

	// OAuth2CallbackURL is where a user's consent has to return to.
	OAuth2CallbackURL string

	// Header holds the caller's own headers, as far as the runtime's allow-list lets them through;
	// never the platform's, nor those of the connection.
	Header http.Header

	Trace Trace
}

// Trace is the context that spans of this call belong in. Source: W3C Trace Context and Baggage;
// AWS X-Ray for the last. Each is empty where it was not sent.
type Trace struct {
	Parent   string // traceparent
	State    string // tracestate
	Baggage  string
	AmazonID string // X-Amzn-Trace-Id
}

// Propagate sets the headers of an outgoing request, so that what it causes joins the trace.
func (t Trace) Propagate(h http.Header) {
	for name, value := range map[string]string{"Traceparent": t.Parent, "Tracestate": t.State, "Baggage": t.Baggage, "X-Amzn-Trace-Id": t.AmazonID} {
		if value != "" {
			h.Set(name, value)
		}
	}
}

// LogValue keeps tokens and headers out of logs.
func (r Request) LogValue() slog.Value {
	return slog.GroupValue(slog.String("sessionId", r.SessionID), slog.String("requestId", r.RequestID))
}

type contextKey struct{}

// inContext is what a call's context carries.
type inContext struct {
	server  *Server
	request Request
}

// RequestOf returns what the platform says of the call that ctx belongs to: the zero Request for a
// context of none.
func RequestOf(ctx context.Context) Request {
	in, _ := ctx.Value(contextKey{}).(inContext)
	return in.request
}

func serverOf(ctx context.Context) *Server {
	in, _ := ctx.Value(contextKey{}).(inContext)
	return in.server
}

func (s *Server) context(r *http.Request) context.Context {
	return context.WithValue(r.Context(), contextKey{}, inContext{s, requestOf(r.Header)})
}

// Headers of the platform. Source: AgentCore, HTTP protocol contract; bedrock-agentcore for Python,
// runtime/models.py. The first of the two tokens' names is the newer and wins.
const (
	headerSession  = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"
	headerRequest  = "X-Amzn-Bedrock-AgentCore-Runtime-Request-Id"
	headerToken    = "X-Amz-Bedrock-AgentCore-Identity-WAT"
	headerOldToken = "WorkloadAccessToken"
	headerCallback = "OAuth2CallbackUrl"
	headerCustom   = "x-amzn-bedrock-agentcore-runtime-custom-"
)

func requestOf(h http.Header) Request {
	return Request{
		SessionID:         h.Get(headerSession),
		RequestID:         cmp.Or(h.Get(headerRequest), newID()),
		WorkloadToken:     cmp.Or(h.Get(headerToken), h.Get(headerOldToken)),
		OAuth2CallbackURL: h.Get(headerCallback),
		Header:            callersOwn(h),
		Trace:             Trace{h.Get("Traceparent"), h.Get("Tracestate"), h.Get("Baggage"), h.Get("X-Amzn-Trace-Id")},
	}
}

// newID makes a random UUID (version 4).
func newID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func callersOwn(h http.Header) http.Header {
	own := http.Header{}
	for name, values := range h {
		if forwardable(strings.ToLower(name)) {
			own[name] = values
		}
	}
	return own
}

func forwardable(lower string) bool {
	switch {
	case strings.HasPrefix(lower, headerCustom):
		return true
	case strings.HasPrefix(lower, "x-amz-"), strings.HasPrefix(lower, "x-amzn-"):
		return false
	}
	return !strings.Contains(restricted, " "+lower+" ")
}

// restricted are the headers that no allow-list may name, and those with a field of their own in Request.
// Source: AgentCore, "Pass custom headers"; bedrock-agentcore for Python, RESTRICTED_HEADERS.
const restricted = ` workloadaccesstoken oauth2callbackurl traceparent tracestate baggage` +
	` proxy-authorization www-authenticate` +
	` accept accept-charset accept-encoding accept-language content-type content-length content-encoding content-language content-location content-range` +
	` cache-control etag expires if-match if-modified-since if-none-match if-range if-unmodified-since last-modified pragma vary` +
	` connection keep-alive proxy-connection upgrade` +
	` host user-agent referer from` +
	` range accept-ranges transfer-encoding te trailer` +
	` server date location retry-after` +
	` set-cookie cookie` +
	` content-security-policy content-security-policy-report-only strict-transport-security x-content-type-options x-frame-options x-xss-protection` +
	` referrer-policy permissions-policy cross-origin-embedder-policy cross-origin-opener-policy cross-origin-resource-policy` +
	` access-control-allow-origin access-control-allow-methods access-control-allow-headers access-control-allow-credentials` +
	` access-control-expose-headers access-control-max-age access-control-request-method access-control-request-headers origin` +
	` accept-ch accept-ch-lifetime dpr width viewport-width downlink ect rtt save-data` +
	` clear-site-data feature-policy expect-ct public-key-pins public-key-pins-report-only` +
	` via forwarded x-forwarded-for x-forwarded-host x-forwarded-proto x-real-ip x-requested-with x-csrf-token` +
	` true-client-ip x-client-ip x-cluster-client-ip x-originating-ip x-source-ip x-original-url x-original-host x-rewrite-url` +
	` cf-ray cf-connecting-ip x-cache x-served-by` +
	` link` +
	` sec-websocket-key sec-websocket-accept sec-websocket-version sec-websocket-protocol sec-websocket-extensions `
