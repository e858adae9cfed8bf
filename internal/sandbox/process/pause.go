package process

import (
	"context"
	"maps"

	"github.com/moorage-dev/moorage/internal/sandbox"
	"golang.org/x/sys/unix"
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

// Pause implements [sandbox.Sandbox]. A process that left the agent's process group runs on.
func (b *box) Pause(ctx context.Context) error { return b.setPaused(ctx, true, unix.SIGSTOP) }

// Resume implements [sandbox.Sandbox].
func (b *box) Resume(ctx context.Context) error { return b.setPaused(ctx, false, unix.SIGCONT) }

func (b *box) setPaused(ctx context.Context, want bool, signal unix.Signal) error {
	b.pausing.Lock()
	defer b.pausing.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := b.alive(); err != nil || b.paused == want {
		return err
	}
	if err := unix.Kill(-b.cmd.Process.Pid, signal); err != nil {
		return err
	}
	b.paused = want
	return nil
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
