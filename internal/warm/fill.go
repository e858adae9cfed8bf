package warm

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/moorage-dev/moorage"
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

// prepare starts a sandbox of q's version, and pauses it once it answered. A failure leaves nothing.
func (p *Pools) prepare(q *pool) (*ready, error) {
	s := p.Starter
	s.yield(q.ctx)
	id := sandbox.NewID()
	labels := map[string]string{labelPool: q.key.String(), labelRecipe: s.recipe(q.version)}
	agent, err := s.start(q.ctx, q.version, id, labels, nil)
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

// settle pauses a sandbox that runs, and marks it as one that a later server may adopt.
func (p *Pools) settle(ctx context.Context, r *ready, labels map[string]string) error {
	r.agent.Close()
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

// Ready is a paused sandbox that was taken from a pool. It belongs to whoever took it, who calls Open
// once.
type Ready struct {
	agent   *Agent
	starter *Starter
}

// Take notes that a session of v starts, and takes a ready sandbox for it; nil when there is none.
func (p *Pools) Take(v moorage.Version) *Ready {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	q := p.pools[poolKey{v.RuntimeID, v.Number}]
	if q == nil || p.closed {
		return nil
	}
	q.demand.asked(time.Now())
	p.kick()
	if len(q.ready) == 0 {
		return nil
	}
	r := q.ready[0]
	q.ready = q.ready[1:]
	r.cancel()
	return &Ready{r.agent, p.Starter}
}

// ID is the sandbox's.
func (r *Ready) ID() string { return r.agent.Sandbox.Info().ID }

// Open lets the sandbox run under its owner's labels, and returns once its agent answered a ping. On
// failure nothing is left of it.
func (r *Ready) Open(ctx context.Context, labels map[string]string) (*Agent, error) {
	defer r.starter.begin()()
	began := time.Now()
	err := r.open(ctx, labels)
	if err != nil {
		return nil, errors.Join(err, r.starter.discard(r.agent))
	}
	r.agent.StartedBy, r.agent.StartTook = "pool", time.Since(began)
	return r.agent, nil
}

func (r *Ready) open(ctx context.Context, labels map[string]string) error {
	if err := Own(ctx, r.agent.Sandbox, labels); err != nil {
		return err
	}
	if err := r.agent.answers(ctx); err != nil {
		return fmt.Errorf("a sandbox from the pool does not answer: %w", err)
	}
	return nil
}

// Own makes a pool's sandbox its session's: it gets the labels and runs. Doing so again changes
// nothing, so a server that was killed while it did can have it done by the next.
func Own(ctx context.Context, box sandbox.Sandbox, labels map[string]string) error {
	if err := box.Relabel(ctx, labels); err != nil {
		return err
	}
	return box.Resume(ctx)
}

// discard ends a sandbox that no session ever used, its journal included.
func (s *Starter) discard(a *Agent) error {
	a.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := a.Sandbox.Stop(ctx, 0)
	s.RemoveJournal(a.Sandbox.Info().ID)
	return err
}

// adopt takes over what an earlier server left in its pools, and removes what it would start
// otherwise now.
func (p *Pools) adopt(ctx context.Context) {
	boxes, err := p.Starter.Driver.List(ctx)
	if err != nil {
		p.Log.Error("find the ready sandboxes of an earlier server", "err", err)
		return
	}
	for _, box := range boxes {
		if box.Info().Labels[labelPool] != "" {
			p.adoptOne(ctx, box)
		}
	}
}

func (p *Pools) adoptOne(ctx context.Context, box sandbox.Sandbox) {
	p.mu.Lock()
	var q *pool
	for key, candidate := range p.pools {
		if key.String() == box.Info().Labels[labelPool] {
			q = candidate
		}
	}
	p.mu.Unlock()
	if q == nil || !p.Starter.wouldStart(q.version, box.Info()) {
		p.clear(box)
		return
	}
	r := &ready{agent: p.Starter.Adopt(box, q.version)}
	if err := p.settle(ctx, r, maps.Clone(box.Info().Labels)); err != nil {
		p.clear(box)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if q.dropped {
		p.remove(q, r)
		return
	}
	p.add(q, r)
}

func (p *Pools) clear(box sandbox.Sandbox) {
	if err := p.Starter.discard(newAgent(box, moorage.Protocol{})); err != nil {
		p.Log.Error("remove a sandbox of an earlier server's pool", "sandbox", box.Info().ID, "err", err)
	}
}

// wouldStart reports whether a ready sandbox is what Start makes of v now: of the same engine, limits
// and environment.
func (s *Starter) wouldStart(v moorage.Version, info sandbox.Info) bool {
	if driver, ok := s.Driver.(interface{ Build() string }); ok && !strings.HasSuffix(info.Engine, " "+driver.Build()) {
		return false
	}
	return info.Labels[labelReady] != "" && info.Labels[labelRecipe] == s.recipe(v)
}

// recipe is a digest of all that a sandbox of v is started from.
func (s *Starter) recipe(v moorage.Version) string {
	spec := s.spec(v, "", nil, nil)
	slices.Sort(spec.Process.Env) // a map's order is not the same twice
	doc, err := json.Marshal(spec)
	if err != nil {
		return "" // strings and numbers do not fail
	}
	sum := sha256.Sum256(doc)
	return hex.EncodeToString(sum[:16])
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
