package session

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
)

// Between awake and asleep a session dozes: its sandbox is paused, so that it uses no processor, and keeps
// its memory. The next Acquire resumes it within a millisecond or two.

// errDrowsy is why a session is paused.
var errDrowsy = errors.New("the session is to be paused")

// pauseLimit bounds how long an engine may take to pause or resume: it takes a millisecond.
const pauseLimit = 30 * time.Second

// defaultQuiet is for how long a session has to be quiet before it sleeps, where sessions are not paused.
const defaultQuiet = 30 * time.Second

// quietTime is for how long a session must not have used the processor or the network before it is paused
// or put to sleep.
func (m *Manager) quietTime() time.Duration {
	if m.PauseAfter > 0 {
		return m.PauseAfter
	}
	return min(defaultQuiet, m.SleepAfter)
}

// pausesAt is when an idle session may be paused; zero when it may not. The caller holds mu.
func (m *Manager) pausesAt(s *live) time.Time {
	if m.PauseAfter <= 0 || s.rest.restless {
		return time.Time{}
	}
	return s.restedFrom().Add(m.PauseAfter)
}

// restedFrom is when an idle session came to rest: its last call, or that it was woken or resumed. The caller
// holds Manager.mu.
func (s *live) restedFrom() time.Time {
	since := s.idleSince()
	if s.rest.awakeFrom.After(since) {
		since = s.rest.awakeFrom
	}
	return since
}

// wish looks at what an idle session used since the last look, and says what is to become of it: errTired,
// errDrowsy, or nil when it stays up.
func (m *Manager) wish(ctx context.Context, s *live) error {
	m.mu.Lock()
	pause, sleep, idle := m.pausesAt(s), m.tiredAt(s), s.idle()
	ordered := s.rest.order != nil
	m.mu.Unlock()
	if ordered && idle {
		return errTired
	}
	if pause.IsZero() && sleep.IsZero() || !idle {
		return nil
	}
	stats, err := s.agent.Sandbox.Stats(ctx)
	if err != nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	s.rest.look(stats, now)
	switch {
	case !s.idle() || now.Sub(s.rest.quietFrom) < m.quietTime():
		return nil
	case due(sleep, now):
		return errTired
	case due(pause, now):
		return errDrowsy
	}
	return nil
}

func due(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }

// look compares what a sandbox used with the last look, and remembers since when it has been quiet.
func (r *rest) look(used sandbox.Stats, now time.Time) {
	quiet := used.Outward == 0 && used.EgressBytes == r.used.EgressBytes &&
		used.CPU-r.used.CPU <= pingCost+time.Duration(busyShare*float64(now.Sub(r.usedAt)))
	if !quiet {
		r.quietFrom = now
	}
	r.used, r.usedAt = used, now
}

// up begins the looks anew, for a sandbox that has just come up. The caller holds Manager.mu.
func (r *rest) up(now time.Time) {
	r.awakeFrom, r.used, r.usedAt, r.quietFrom = now, sandbox.Stats{}, now, now
}

// inMemory reports whether the session's sandbox is there, be it paused. The caller holds Manager.mu.
func (s *live) inMemory() bool { return s.rest.away == nil || s.rest.dozing }

// doze keeps a session paused until something happens. It returns nil once the session is up again,
// errTired when it is to be put to sleep, and any other error when it ended.
func (m *Manager) doze(s *live) error {
	if !m.lieBack(s) {
		return nil
	}
	if err := m.pause(s); err != nil {
		m.Log.Warn("pause a session", "session", s.info.ID, "err", err)
		return m.resume(s)
	}
	var watcher sync.WaitGroup
	defer watcher.Wait()
	ctx, stop := context.WithCancel(s.ctx)
	defer stop()
	died := make(chan sandbox.Exit, 1)
	watcher.Go(func() {
		if exit, err := s.agent.Sandbox.Wait(ctx); err == nil {
			died <- exit
		}
	})
	alarm := time.NewTimer(m.dozeFor(s, time.Now()))
	defer alarm.Stop()
	grace, reason := stopGrace, error(nil)
	select {
	case <-s.rest.wanted:
		return m.resume(s)
	case <-s.rest.bedtime:
		return errTired
	case now := <-alarm.C:
		if reason = m.overdue(s, now); reason == nil {
			return errTired
		}
	case exit := <-died:
		grace, reason = 0, m.deathNotice(s, exit)
	case <-s.ctx.Done():
		reason = context.Cause(s.ctx)
	case <-m.serving.Done():
		m.depart(s)
		return errLeaving
	}
	m.endAway(s)
	m.end(s, reason, grace)
	return reason
}

// dozeFor is how long a paused session stays so unless somebody wants it.
func (m *Manager) dozeFor(s *live, now time.Time) time.Duration {
	until := m.restsUntil(s)
	m.mu.Lock()
	defer m.mu.Unlock()
	if tired := m.tiredAt(s); !tired.IsZero() {
		until = earlier(until, tired)
	}
	return until.Sub(now)
}

// lieBack closes the session to leases, if it has none, and reports whether it did.
func (m *Manager) lieBack(s *live) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.occupied() != nil {
		return false
	}
	s.rest.leave()
	s.rest.dozing = true
	return true
}

// pause stops the session's sandbox where it is. One that does not obey is not asked again.
func (m *Manager) pause(s *live) error {
	s.agent.Close()
	ctx, cancel := context.WithTimeout(context.Background(), pauseLimit)
	defer cancel()
	err := s.agent.Sandbox.Pause(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		s.rest.restless = true
		return err
	}
	s.info.State = moorage.Paused
	m.records.Hurry()
	return nil
}

// resume lets a paused session run, and lets in those who wait for it. An error is its end.
func (m *Manager) resume(s *live) error {
	if err := unpause(s.agent.Sandbox); err != nil {
		reason := endError("", "could not be resumed: %s", firstLine(err.Error()))
		m.endAway(s)
		m.end(s, reason, 0)
		return reason
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s.info.State, s.rest.awakeFrom, s.rest.dozing = moorage.Idle, time.Now(), false
	m.stir()
	s.rest.settle(nil)
	return nil
}

// unpause lets the sandbox run. It does nothing to one that does.
func unpause(box sandbox.Sandbox) error {
	ctx, cancel := context.WithTimeout(context.Background(), pauseLimit)
	defer cancel()
	err := box.Resume(ctx)
	if moorage.CodeOf(err) == moorage.Unsupported {
		return nil // an engine that knows no pause never paused it
	}
	return err
}

// endAway closes a session that rests: whoever waits for it gets a new one.
func (m *Manager) endAway(s *live) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s.stopping = true
	s.rest.settle(nil)
}

// depart leaves a session that is in memory to the next server. Whoever waits for it learns that.
func (m *Manager) depart(s *live) {
	s.cancel(errLeaving)
	s.agent.Close() // the sandbox lives on in its shim
	m.mu.Lock()
	defer m.mu.Unlock()
	s.rest.settle(errLeaving)
}
