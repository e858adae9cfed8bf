package warm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/moorage-dev/moorage/internal/sandbox"
)

// Labels of a pool's sandbox. A session's sandbox has none of them.
const (
	labelPool   = "pool"   // RUNTIME/VERSION
	labelRecipe = "recipe" // what it was started from
	labelReady  = "ready"  // set once it answered and was paused
)

// A fill waits for sessions that are starting: until none did for yieldQuiet looks in a row, but no
// longer than yieldLimit.
const (
	yieldLimit = 2 * time.Second
	yieldPause = 5 * time.Millisecond
	yieldQuiet = 4
)

// retry puts a version off whose sandboxes do not come up or do not stay: each failure in a row
// doubles the pause.
type retry struct {
	failures int
	at       time.Time
	problem  string
}

const maxRetry = 5 * time.Minute

func (r *retry) due(now time.Time) bool { return !now.Before(r.at) }

func (r *retry) failed(now time.Time, problem string) {
	r.at = now.Add(min(time.Second<<min(r.failures, 16), maxRetry))
	r.failures++
	r.problem = problem
}

// fill adds one sandbox to a pool.
func (p *Pools) fill(q *pool) {
	began := time.Now()
	r, err := p.prepare(q)
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.kick()
	q.filling--
	p.filling--
	now := time.Now()
	switch {
	case err != nil && q.ctx.Err() == nil:
		q.retry.failed(now, firstLine(err.Error()))
		p.Log.Warn("fill a pool", "version", q.key.String(), "err", err)
	case err != nil:
	case q.dropped:
		p.remove(q, r)
	default:
		q.retry, q.cost = retry{}, r.bytes
		q.demand.refilled(now, now.Sub(began))
		p.add(q, r)
		if len(q.ready) >= p.want(q, now) {
			q.demand.missing = nil // the pool is as it shall be: nobody waits for a replacement
		}
	}
}

// freeze makes the golden of a pool's version.
func (p *Pools) freeze(ctx context.Context, q *pool, g *golden, w WarmUp) {
	s := p.Starter
	s.keep(ctx, q.key, g, func() error { return s.makeGolden(ctx, q.version, p.labels(q), w) })
	p.mu.Lock()
	defer p.mu.Unlock()
	p.filling--
	p.freezing = false
	p.kick()
}

// prepare starts a sandbox of q's version, and pauses it once it answered. A failure leaves nothing.
func (p *Pools) prepare(q *pool) (*ready, error) {
	s := p.Starter
	s.yield(q.ctx)
	id := sandbox.NewID()
	labels := p.labels(q)
	agent, err := s.bringUp(q.ctx, q.version, id, labels, nil)
	if err != nil {
		s.RemoveJournal(id)
		return nil, err
	}
	r := &ready{agent: agent}
	if err := p.settle(q.ctx, r, labels); err != nil {
		return nil, errors.Join(err, s.discard(agent))
	}
	return r, nil
}

// labels are those of a sandbox that is got ready.
func (p *Pools) labels(q *pool) map[string]string {
	return map[string]string{labelPool: q.key.String(), labelRecipe: p.Starter.recipe(q.version)}
}

// settle pauses a sandbox that runs, and marks it as one that a later server may adopt.
func (p *Pools) settle(ctx context.Context, r *ready, labels map[string]string) error {
	r.agent.client.pause()
	box := r.agent.Sandbox
	if err := box.Pause(ctx); err != nil {
		return fmt.Errorf("pause: %w", err)
	}
	stats, err := box.Stats(ctx)
	if err != nil {
		return fmt.Errorf("measure: %w", err)
	}
	if r.bytes = stats.MemoryBytes; r.bytes == 0 { // this machine does not count
		r.bytes = guessedCost
	}
	labels[labelReady] = "true"
	return box.Relabel(ctx, labels)
}

// add takes a ready sandbox into its pool, and watches it. The caller holds mu.
func (p *Pools) add(q *pool, r *ready) {
	ctx, cancel := context.WithCancel(q.ctx)
	r.cancel = cancel
	q.ready = append(q.ready, r)
	q.work.Go(func() {
		defer cancel()
		if exit, err := r.agent.Sandbox.Wait(ctx); err == nil {
			p.died(q, r, exit)
		}
	})
}

// died takes a sandbox off its pool that ended by itself, unless it was taken meanwhile.
func (p *Pools) died(q *pool, r *ready, exit sandbox.Exit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(q.ready, r)
	if i < 0 {
		return
	}
	q.ready = slices.Delete(q.ready, i, i+1)
	q.retry.failed(time.Now(), "a ready sandbox ended: it "+exit.Cause)
	p.Log.Warn("a ready sandbox ended", "version", q.key.String(), "sandbox", r.agent.Sandbox.Info().ID, "cause", exit.Cause)
	p.remove(q, r)
	p.kick()
}

// remove ends a sandbox that was in a pool, in the background. The caller holds mu.
func (p *Pools) remove(q *pool, r *ready) {
	if r.cancel != nil {
		r.cancel()
	}
	q.work.Go(func() {
		if err := p.Starter.discard(r.agent); err != nil {
			p.Log.Error("remove a ready sandbox", "sandbox", r.agent.Sandbox.Info().ID, "err", err)
		}
	})
}

// yield lets sessions that are starting go first.
func (s *Starter) yield(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, yieldLimit)
	defer cancel()
	tick := time.NewTicker(yieldPause)
	defer tick.Stop()
	for quiet := 0; quiet < yieldQuiet; quiet++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if s.starting.Load() > 0 {
			quiet = 0
		}
	}
}

// begin counts a session's start until the returned function is called.
func (s *Starter) begin() (end func()) {
	s.starting.Add(1)
	return func() { s.starting.Add(-1) }
}

// availableMemory is what the machine can give without swapping, in bytes; 0 when it does not say.
func availableMemory() int64 {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var kib int64
		if n, _ := fmt.Sscanf(lines.Text(), "MemAvailable: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	return 0
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
