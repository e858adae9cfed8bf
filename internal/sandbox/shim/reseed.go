package shim

import (
	"context"
	"net"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
)

var _ sandbox.Reseeder = (*remote)(nil)

func (s *server) reseed(ctx context.Context, c *net.UnixConn, r *record) error {
	reseeder, ok := r.sandbox.(sandbox.Reseeder)
	if !ok {
		return moorage.Errorf(moorage.Unsupported, "a plain process cannot be cloned")
	}
	return done(c, reseeder.Reseed(ctx))
}

// Reseed implements [sandbox.Reseeder]. A sandbox on a build from before there were clones is a
// moorage.Unsupported.
func (r *remote) Reseed(ctx context.Context) error { return r.tell(ctx, request{Op: opReseed}) }
