package gvisor

import (
	"context"

	"github.com/moorage-dev/moorage/internal/sandbox"
)

var _ sandbox.Cloner = (*Driver)(nil)

// Clone implements [sandbox.Cloner] for what this build froze.
func (d *Driver) Clone(ctx context.Context, dir string, as sandbox.CloneSpec) (sandbox.Sandbox, error) {
	s, was, err := d.openFrozen(dir)
	if err != nil {
		return nil, err
	}
	spec, err := as.Of(was.Spec)
	if err != nil {
		return nil, err
	}
	return d.thaw(ctx, d.newBox(spec), s, func() error { return nil })
}
