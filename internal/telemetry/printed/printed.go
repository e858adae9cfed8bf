// Package printed makes log records of what sandboxes print.
//
// A sandbox's journal is bounded and goes with its session; the archive keeps its lines for as long as
// other telemetry, and knows how far it has them, so that a server that was killed goes on where it was:
// no line is lost or kept twice. A line that is JSON, as those of the AgentCore SDK are, says which request,
// trace and span it belongs to; any other belongs to its session alone.
package printed

import (
	"context"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/moorage-dev/moorage/internal/lazy"
	"github.com/moorage-dev/moorage/internal/sandbox/journal"
	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
)

// Every is how often journals are looked at.
const Every = 250 * time.Millisecond

// Bounds of one batch of lines, and of those of one look at a journal: an agent that floods waits, and
// others are read meanwhile.
const (
	maxLines = 256
	maxBytes = 1 << 20
	maxLook  = 2048
)

// Follower reads journals. Its fields are set before Run.
type Follower struct {
	Archive *archive.Archive
	Dir     string // holds a journal for each sandbox
	// Rounds of looks; whoever knows that a sandbox came up, or ended, wakes it.
	Rounds *lazy.Ticker
	// Sandboxes are those whose journals may have grown since the last look: the ones that are awake,
	// and those that ended or fell asleep since about ten seconds. With rest, none will grow before one comes up.
	Sandboxes func() (list []telemetry.Source, rest bool)
	// Ended are sandboxes that ended before this server started, with lines that nobody may have read.
	Ended func(context.Context) ([]telemetry.Source, error)
	Log   *slog.Logger

	at map[string]int64 // where to go on, by sandbox
}

// Run follows the journals until ctx ends, and takes what is there then.
func (f *Follower) Run(ctx context.Context) {
	f.at = map[string]int64{}
	keep := context.WithoutCancel(ctx)
	if ended, err := f.Ended(ctx); err == nil {
		f.look(keep, ended)
	} else {
		f.Log.Error("find what ended sessions printed", "err", err)
	}
	look := func() time.Duration {
		sandboxes, rest := f.Sandboxes()
		f.look(keep, sandboxes)
		if rest {
			return 0
		}
		return Every
	}
	f.Rounds.Run(ctx, look)
	look()
}

// look takes what is new in the journals, and forgets those that are not among them.
func (f *Follower) look(ctx context.Context, sandboxes []telemetry.Source) {
	at := make(map[string]int64, len(sandboxes))
	for _, s := range sandboxes {
		next, err := f.read(ctx, s)
		if err != nil {
			f.Log.Warn("keep what a sandbox prints", "sandbox", s.Sandbox, "err", err)
			continue
		}
		at[s.Sandbox] = next
	}
	f.at = at
}

// read takes what is new in one journal and returns where it goes on.
func (f *Follower) read(ctx context.Context, from telemetry.Source) (at int64, err error) {
	at, known := f.at[from.Sandbox]
	if !known {
		if at, err = f.Archive.Mark(ctx, from.Sandbox); err != nil {
			return 0, err
		}
	}
	lines, err := journal.Since(filepath.Join(f.Dir, from.Sandbox), at, maxLook)
	if err != nil {
		return 0, err
	}
	for len(lines) > 0 {
		n := fitting(lines)
		batch, err := f.batch(from, lines[:n])
		if err != nil {
			return 0, err
		}
		if err := f.Archive.Append(ctx, batch); err != nil {
			return 0, err // read again from the mark
		}
		at, lines = lines[n-1].Next, lines[n:]
	}
	return at, nil
}

// fitting is how many lines make a batch.
func fitting(lines []journal.Line) int {
	bytes := 0
	for n, l := range lines[:min(len(lines), maxLines)] {
		if bytes += len(l.Text); bytes > maxBytes && n > 0 {
			return n
		}
	}
	return min(len(lines), maxLines)
}
