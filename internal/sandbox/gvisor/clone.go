package gvisor

import (
	"context"
	"time"

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
	b := d.newBox(spec)
	b.info.Cloned = true
	b.held = make(chan struct{})
	image := d.images.take(dir, s, was.Parts)
	defer d.images.release(dir, image)
	return d.thaw(ctx, b, image.plain, func() error {
		release := time.AfterFunc(holdPatience, b.release)
		b.later(func() error { release.Stop(); return nil })
		return nil
	})
}
