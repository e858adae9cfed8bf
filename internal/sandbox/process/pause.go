package process

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

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
	if !want {
		return nil
	}
	return awaitStopped(ctx, b.cmd.Process.Pid)
}

// awaitStopped waits until every thread of a process that was sent SIGSTOP has taken it: the signal
// is on its way when kill returns, and a thread may answer a request before it arrives.
func awaitStopped(ctx context.Context, pid int) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !stopped(pid) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// stopped reports whether no thread of a process runs: each is stopped, or gone.
func stopped(pid int) bool {
	stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, name := range stats {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		_, state, _ := strings.Cut(string(stat), ") ") // the name before it may hold anything
		if state = strings.TrimSpace(state); state != "" && !strings.ContainsAny(state[:1], "TtZX") {
			return false
		}
	}
	return true
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
