package shim

import (
	"context"
	"net"
	"path/filepath"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/snapshot"
)

var _ sandbox.Cloner = (*Client)(nil)

func (s *server) clone(ctx context.Context, c *net.UnixConn, dir string, as *sandbox.CloneSpec) error {
	if as == nil {
		return moorage.Errorf(moorage.Invalid, "the request does not say what the clone is to be")
	}
	return s.begin(c, as.ID, func() (hosted, error) { return s.drivers.clone(ctx, dir, *as) })
}

func (d drivers) clone(ctx context.Context, dir string, as sandbox.CloneSpec) (hosted, error) {
	box, err := d.gvisor.Clone(ctx, dir, as)
	if err != nil {
		return nil, err
	}
	return box.(hosted), nil
}

// Clone implements [sandbox.Cloner] on the build that made the snapshot. One from before there were
// clones is a moorage.Unsupported.
func (c *Client) Clone(ctx context.Context, dir string, as sandbox.CloneSpec) (sandbox.Sandbox, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	s, err := snapshot.Open(dir)
	if err != nil {
		return nil, err
	}
	return c.onBuild(ctx, s.Manifest.Build, request{Op: opClone, Dir: dir, Clone: &as})
}
