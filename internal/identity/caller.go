package identity

import (
	"context"
	"time"

	"github.com/moorage-dev/moorage"
)

// Inbound is what a call came with, verified.
type Inbound struct {
	Token   string // a bearer token, secret; empty where the caller signed
	Expires time.Time
	Through []string // names of the workloads that passed the call on, the nearest last
}

type inboundKey struct{}

// WithInbound returns a context whose call came with in.
func WithInbound(ctx context.Context, in Inbound) context.Context {
	return context.WithValue(ctx, inboundKey{}, in)
}

// InboundOf returns what the call of ctx came with; the zero Inbound for nothing.
func InboundOf(ctx context.Context) Inbound {
	in, _ := ctx.Value(inboundKey{}).(Inbound)
	return in
}

type callerKey struct{}

// WithCaller returns a context whose calls are made by c, who was authenticated.
func WithCaller(ctx context.Context, c moorage.Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerOf returns who makes the call of ctx; the zero Caller outside of one.
func CallerOf(ctx context.Context) moorage.Caller {
	c, _ := ctx.Value(callerKey{}).(moorage.Caller)
	return c
}

type addressKey struct{}

// WithAddress returns a context whose call came from a network address, without its port.
func WithAddress(ctx context.Context, address string) context.Context {
	return context.WithValue(ctx, addressKey{}, address)
}

// AddressOf returns the address that the call of ctx came from; "" where it is not known.
func AddressOf(ctx context.Context) string {
	address, _ := ctx.Value(addressKey{}).(string)
	return address
}
