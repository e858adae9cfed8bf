package wire

import (
	"context"
	"io"
	"net/http"
	"net/url"
)

// Call is what is known of a request once its operation was found, before its body is read.
type Call struct {
	Service   string // signing name: "bedrock-agentcore"
	Operation string // "CreateAgentRuntime"; a hand-written route's own name
	RequestID string

	request  *http.Request
	response http.ResponseWriter
	body     io.Reader // the server's own, whatever a layer put in its place
	route    *route
	labels   map[string]string
	query    url.Values
	badQuery error // what is wrong with the query that query was parsed from
}

type callKey struct{}
type requestIDKey struct{}

// CallOf returns the call that ctx belongs to; its zero value outside of one.
func CallOf(ctx context.Context) Call {
	if c, ok := ctx.Value(callKey{}).(*Call); ok {
		return *c
	}
	return Call{}
}

// OperationName returns the name of the operation being called, or "".
func OperationName(ctx context.Context) string { return CallOf(ctx).Operation }

// Label returns the unescaped text of a label in the path, such as Label("agentRuntimeArn").
func (c Call) Label(name string) string { return c.labels[name] }

// RequestHeader returns the headers as they were sent. They are the caller's: nothing in them is
// trusted because it is there. The map must not be changed. It is nil outside a call.
func (c Call) RequestHeader() http.Header {
	if c.request == nil {
		return nil
	}
	return c.request.Header
}

// Query returns the first value of a query parameter that the model may not have, or "".
func (c Call) Query(name string) string { return c.query.Get(name) }

// ContentLength is the size of the body in bytes; -1 when it is not known.
func (c Call) ContentLength() int64 {
	if c.request == nil {
		return -1
	}
	return c.request.ContentLength
}

// ResponseHeader returns the headers that the answer will have, success or error, for what the model
// has no member for, such as WWW-Authenticate. Setting one after the output was returned does nothing.
func (c Call) ResponseHeader() http.Header {
	if c.response == nil {
		return http.Header{}
	}
	return c.response.Header()
}

// WithRequestID makes the service use id, a UUID, rather than mint one.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// RequestID returns the id that x-amzn-RequestId gives the caller, or "" outside a call.
func RequestID(ctx context.Context) string {
	if c, ok := ctx.Value(callKey{}).(*Call); ok {
		return c.RequestID
	}
	if id, ok := ctx.Value(requestIDKey{}).(string); ok {
		return id
	}
	return ""
}
