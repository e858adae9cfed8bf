package telemetry

import (
	"context"
	"time"
)

// LogStreamKey is the attribute that names the log stream into which a record was put, where that is not the one
// of OTLP or of printed lines.
const LogStreamKey = "aws.log.stream.name"

// Source says which sandbox, and so which session, telemetry came from. Where telemetry comes from
// outside, it is what the document claims, and Sandbox is empty.
type Source struct {
	Runtime  string `json:"runtime,omitempty"` // id; from outside, the service's name where no runtime is named
	Endpoint string `json:"endpoint,omitempty"`
	Version  string `json:"version,omitempty"`
	Session  string `json:"session,omitempty"` // internal id; from outside, the session that is claimed
	Caller   string `json:"caller,omitempty"`  // the caller's own session id
	Sandbox  string `json:"sandbox,omitempty"`
	Group    string `json:"group,omitempty"` // the log group that lines were put into, where that is no runtime's
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

type birthKey struct{}

// WithBirth says when the sandbox that a request comes from began as a copy of another. What began
// earlier, every copy remembers; it happened once, and to none of them.
func WithBirth(ctx context.Context, at time.Time) context.Context {
	return context.WithValue(ctx, birthKey{}, at)
}

// BirthOf is zero for what is no copy.
func BirthOf(ctx context.Context) time.Time {
	at, _ := ctx.Value(birthKey{}).(time.Time)
	return at
}
