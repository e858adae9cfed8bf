package identity

import (
	"context"

	"github.com/moorage-dev/moorage"
)

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
