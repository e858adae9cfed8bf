package gvisor

import (
	"context"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
)

var _ sandbox.Reseeder = (*box)(nil)

// Reseed implements [sandbox.Reseeder]. Nothing in a sandbox can confirm yet, so none is confirmed.
func (b *box) Reseed(context.Context) error {
	if err := b.running(); err != nil {
		return err
	}
	return moorage.Errorf(moorage.Unsupported, "nothing in the sandbox can confirm that it reseeded")
}
