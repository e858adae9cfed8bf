package telemetry

import "context"

// Source says which sandbox, and so which session, telemetry came from. Where telemetry comes from
// outside, it is what the document claims, and Sandbox is empty.
type Source struct {
	Runtime  string `json:"runtime,omitempty"` // id; from outside, the service's name where no runtime is named
	Endpoint string `json:"endpoint,omitempty"`
	Version  string `json:"version,omitempty"`
	Session  string `json:"session,omitempty"` // internal id; from outside, the session that is claimed
	Caller   string `json:"caller,omitempty"`  // the caller's own session id
	Sandbox  string `json:"sandbox,omitempty"`
}

type sourceKey struct{}

// WithSource marks a request as coming from a sandbox: the claims of its payload then count for nothing.
func WithSource(ctx context.Context, s Source) context.Context {
	return context.WithValue(ctx, sourceKey{}, s)
}

// SourceOf returns the sandbox that a request comes from; false for one from outside.
func SourceOf(ctx context.Context) (Source, bool) {
	s, ok := ctx.Value(sourceKey{}).(Source)
	return s, ok
}
