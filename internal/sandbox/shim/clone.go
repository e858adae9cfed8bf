package shim

import (
	"context"
	"net"
	"path/filepath"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/snapshot"
)

var _ sandbox.Preparer = (*Client)(nil)

// clone brings up a clone, or what shall become one.
func (s *server) clone(c *net.UnixConn, as *sandbox.CloneSpec, up func(sandbox.CloneSpec) (sandbox.Sandbox, error)) error {
	if as == nil {
		return moorage.Errorf(moorage.Invalid, "the request does not say what the clone is to be")
	}
	return s.begin(c, as.ID, func() (hosted, error) {
		box, err := up(*as)
		if err != nil {
			return nil, err
		}
		return box.(hosted), nil
	})
}

func (s *server) load(ctx context.Context, c *net.UnixConn, r *record) error {
	box, ok := r.sandbox.(sandbox.Prepared)
	if !ok {
		return moorage.Errorf(moorage.Unsupported, "a plain process cannot be cloned")
	}
	return done(c, box.Load(ctx))
}

// Clone implements [sandbox.Cloner] on the build that made the snapshot. One from before there were
// clones is a moorage.Unsupported.
func (c *Client) Clone(ctx context.Context, dir string, as sandbox.CloneSpec) (sandbox.Sandbox, error) {
	return c.fromFrozen(ctx, dir, request{Op: opClone, Clone: &as})
}

// Prepare implements [sandbox.Preparer] as Clone is.
func (c *Client) Prepare(ctx context.Context, dir string, as sandbox.CloneSpec) (sandbox.Prepared, error) {
	box, err := c.fromFrozen(ctx, dir, request{Op: opPrepare, Clone: &as})
	if err != nil {
		return nil, err
	}
	return box.(sandbox.Prepared), nil
}

// Load implements [sandbox.Prepared].
func (r *remote) Load(ctx context.Context) error { return r.tell(ctx, request{Op: opLoad}) }

// fromFrozen has a sandbox brought up by the build that made the snapshot in dir.
func (c *Client) fromFrozen(ctx context.Context, dir string, req request) (sandbox.Sandbox, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	s, err := snapshot.Open(dir)
	if err != nil {
		return nil, err
	}
	req.Dir = dir
	return c.onBuild(ctx, s.Manifest.Build, req)
}
