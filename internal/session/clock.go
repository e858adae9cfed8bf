package session

import (
	"context"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/warm"
)

// How many health checks in a row may stay unanswered. A single-threaded agent answers none while it
// works, so one with a call or a socket open is never given up, and one that said it is busy late.
const (
	pingMisses = 3
	busyMisses = 30
)

func (m *Manager) pingEvery() time.Duration {
	if m.PingEvery > 0 {
		return m.PingEvery
	}
	return 10 * time.Second
}

// check looks at the session from time to time and returns why it must end, or nil once ctx is done.
func (m *Manager) check(ctx context.Context, s *live) error {
	storage := storageWatch{pause: m.pingEvery()}
	timer := time.NewTimer(m.nextCheck(s, time.Now()))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		if excess := storage.excess(m.Storage, s); excess != "" {
			return endError("was ended: ", "%s", excess)
		}
		health, err := s.agent.Ping(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if reason := m.judge(s, health, err, time.Now()); reason != nil {
			return reason
		}
		if wish := m.wish(ctx, s); wish != nil {
			return wish
		}
		timer.Reset(m.nextCheck(s, time.Now()))
	}
}

// nextCheck is how long until the next ping, or the end of the idle time before it.
func (m *Manager) nextCheck(s *live, now time.Time) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	wait := m.pingEvery()
	if s.leases == 0 && !s.health.Busy {
		wait = min(wait, s.idleUntil().Sub(now))
		for _, at := range []time.Time{m.pausesAt(s), m.tiredAt(s), s.rest.quietFrom.Add(m.quietTime())} {
			if at.After(now) {
				wait = min(wait, at.Sub(now))
			}
		}
	}
	return max(wait, time.Millisecond)
}

// idleUntil is when the idle clock runs out. The caller holds Manager.mu.
func (s *live) idleUntil() time.Time {
	return s.idleSince().Add(s.version.Config.Lifecycle.Idle)
}

// idleSince is when the idle clock started. The caller holds Manager.mu.
func (s *live) idleSince() time.Time {
	since := s.idleFrom
	for _, t := range []time.Time{s.health.Since, s.lastTouch()} {
		if t.After(since) {
			since = t
		}
	}
	return since
}

// lastTouch is when a socket last carried a message; zero when none ever did.
func (s *live) lastTouch() time.Time {
	if n := s.touched.Load(); n != 0 {
		return time.Unix(0, n)
	}
	return time.Time{}
}

// judge takes in the outcome of a ping and says why the session must end, or nil.
func (m *Manager) judge(s *live, health warm.Health, failure error, now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if failure == nil {
		s.heard(health, now)
	} else if reason := s.missed(failure); reason != nil {
		s.stopping = true
		return reason
	}
	if s.leases > 0 || s.health.Busy {
		s.info.State = moorage.Active
		return nil
	}
	s.info.State = moorage.Idle
	if now.Before(s.idleUntil()) {
		return nil
	}
	s.stopping = true
	return idleError(s)
}

// heard takes in an agent's word. The caller holds Manager.mu.
func (s *live) heard(health warm.Health, now time.Time) {
	s.misses = 0
	if health.Since.IsZero() {
		health.Since = s.health.Since
		if s.health.Busy && !health.Busy { // the agent does not say when it changed: now, as far as we saw
			health.Since = now
		}
	}
	s.health = health
}

// missed counts an unanswered ping and says when there were too many. The caller holds Manager.mu.
func (s *live) missed(err error) error {
	s.misses++
	allowed := pingMisses
	if s.health.Busy {
		allowed = busyMisses
	}
	if s.leases+s.sockets > 0 || s.misses < allowed {
		return nil
	}
	return endError("is ", "unhealthy: %d pings in a row had no answer (%v)", s.misses, err)
}
