package warm

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/moorage-dev/moorage/internal/sandbox"
)

// ahead is a version's engine that is booted and waits for the golden. Its fields belong to Pools.mu.
type ahead struct {
	engine  *ready // nil while there is none
	golden  *golden
	booting bool
}

// engineCost is what an engine without a sandbox in it takes, in bytes.
const engineCost = 16 << 20

func (a ahead) waits() bool { return a.engine != nil }

// count is how many engines there are, one that boots among them: one or none.
func (a ahead) count() int {
	if a.waits() || a.booting {
		return 1
	}
	return 0
}

func (a ahead) bytes() int64 { return int64(a.count()) * engineCost }

// wantsAhead reports whether a version shall have an engine that waits. The caller holds mu.
func (p *Pools) wantsAhead(q *pool, now time.Time) bool {
	g := p.Starter.Goldens.find(q.key)
	return g != nil && (q.ahead.golden == nil || q.ahead.golden == g) && q.demand.want(now, q.set.Floor, maxCeiling) > 0
}

// bootNext boots an engine that is missing. The pools come first. The caller holds mu.
func (p *Pools) bootNext(now time.Time) {
	driver, ok := p.Starter.Driver.(sandbox.Preparer)
	if bytes, n := p.held(); !ok || bytes+engineCost > p.Budget || n >= p.room() {
		return
	}
	for _, q := range p.pools {
		if q.ahead.count() == 0 && q.retry.due(now) && p.wantsAhead(q, now) {
			q.ahead = ahead{golden: p.Starter.Goldens.find(q.key), booting: true}
			p.filling++
			q.work.Go(func() { p.boot(q, driver, q.ahead.golden) })
			return
		}
	}
}

// boot adds the engine.
func (p *Pools) boot(q *pool, driver sandbox.Preparer, g *golden) {
	s, id := p.Starter, sandbox.NewID()
	s.yield(q.ctx)
	box, err := driver.Prepare(q.ctx, g.dir, sandbox.CloneSpec{ID: id, Labels: p.labels(q), LogDir: filepath.Join(s.LogDir, id)})
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.kick()
	p.filling--
	q.ahead.booting = false
	if err != nil {
		s.RemoveJournal(id)
		q.ahead = ahead{}
		if q.ctx.Err() == nil {
			q.retry.failed(time.Now(), firstLine(err.Error()))
			p.Log.Warn("boot an engine ahead", "version", q.key.String(), "err", err)
		}
		return
	}
	ctx, cancel := context.WithCancel(q.ctx)
	r := &ready{agent: newAgent(box, q.version.Config.Protocol), cancel: cancel}
	q.ahead.engine = r
	if q.dropped {
		p.removeAhead(q)
		return
	}
	q.work.Go(func() {
		defer cancel()
		if _, err := box.Wait(ctx); err == nil {
			p.diedAhead(q, r)
		}
	})
}

// diedAhead takes an engine off that ended by itself, unless it was taken meanwhile.
func (p *Pools) diedAhead(q *pool, r *ready) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if q.ahead.engine == r {
		p.removeAhead(q)
		p.kick()
	}
}

// removeAhead ends the engine that waits, in the background. The caller holds mu.
func (p *Pools) removeAhead(q *pool) {
	if r := q.ahead.engine; r != nil {
		q.ahead = ahead{}
		p.remove(q, r)
	}
}

// takeAhead takes the engine that waits; nil when there is none. The caller holds mu.
func (p *Pools) takeAhead(q *pool) *Ready {
	r := q.ahead.engine
	if r == nil {
		return nil
	}
	q.ahead = ahead{}
	r.cancel()
	return &Ready{agent: r.agent, starter: p.Starter, blank: true}
}

// load makes the engine its session's sandbox, and returns once all in that reseeded and its agent answered.
func (r *Ready) load(ctx context.Context, labels map[string]string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, restorePatience, fmt.Errorf("it did not answer within %s", restorePatience))
	defer cancel()
	watch, box := newStopwatch(), r.agent.Sandbox.(sandbox.Prepared)
	err := box.Relabel(ctx, labels)
	if err == nil {
		err = box.Load(ctx)
	}
	watch.lap("restore into an engine that waited")
	if err == nil {
		err = reseed(ctx, box)
	}
	watch.lap("reseed")
	if err == nil {
		err = r.starter.AwaitReady(ctx, r.agent)
	}
	watch.lap("agent answers")
	r.agent.StartedBy, r.agent.StartTook, r.agent.Steps = "restore", watch.total(), watch.steps
	return errors.Join(context.Cause(ctx), err)
}
