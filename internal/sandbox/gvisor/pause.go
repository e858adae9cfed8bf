package gvisor

import (
	"context"
	"maps"
	"time"

	"github.com/moorage-dev/moorage/internal/sandbox"
	"gvisor.dev/gvisor/runsc/boot"
)

// Relabel implements [sandbox.Sandbox].
func (b *box) Relabel(_ context.Context, labels map[string]string) error {
	if err := b.alive(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.info.Labels = maps.Clone(labels)
	return nil
}

// Pause implements [sandbox.Sandbox]. The engine lives on, without a task to run.
func (b *box) Pause(ctx context.Context) error { return b.setPaused(ctx, true, boot.ContMgrPause) }

// Resume implements [sandbox.Sandbox].
func (b *box) Resume(ctx context.Context) error { return b.setPaused(ctx, false, boot.ContMgrResume) }

// pausePatience is how long an engine may take to stop its tasks or let them go: it takes 1 ms.
const pausePatience = 10 * time.Second

// setPaused asks the engine for a change that is not made yet. The engine counts pauses, and dies of
// a resume too many: so one change at a time, each waited for whatever becomes of ctx. It counts
// before it can fail, so a change that was asked for is made.
func (b *box) setPaused(ctx context.Context, want bool, method string) error {
	b.pausing.Lock()
	defer b.pausing.Unlock()
	return b.setPausedLocked(ctx, want, method)
}

// setPausedLocked is setPaused for whoever holds pausing.
func (b *box) setPausedLocked(ctx context.Context, want bool, method string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := b.alive(); err != nil || b.paused == want {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pausePatience)
	defer cancel()
	b.paused = want
	return b.call(ctx, method, nil, nil)
}

// running is nil while the sandbox lives and is not paused.
func (b *box) running() error {
	if err := b.alive(); err != nil {
		return err
	}
	b.pausing.Lock()
	defer b.pausing.Unlock()
	if b.paused {
		return sandbox.PausedError()
	}
	return nil
}
