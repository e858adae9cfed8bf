package session

import (
	"context"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
)

// pingMisses is how many health checks in a row an idle agent may leave unanswered.
const pingMisses = 3

func (m *Manager) pingEvery() time.Duration {
	if m.PingEvery > 0 {
		return m.PingEvery
	}
	return 10 * time.Second
}

// nextCheck is how long until the session has to be looked at: the next ping, or a deadline before it.
func (m *Manager) nextCheck(s *live, now time.Time) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	wait := min(m.pingEvery(), s.info.CreatedAt.Add(s.version.Config.Lifecycle.Max).Sub(now))
	if s.leases == 0 && !s.health.Busy {
		wait = min(wait, s.idleSince().Add(s.version.Config.Lifecycle.Idle).Sub(now))
	}
	return max(wait, time.Millisecond)
}

// idleSince is when the idle clock started. The caller holds Manager.mu.
func (s *live) idleSince() time.Time {
	if s.health.Since.After(s.idleFrom) {
		return s.health.Since
	}
	return s.idleFrom
}

// expired pings the agent and says why the session must end now, or nil.
func (m *Manager) expired(s *live, now time.Time) error {
	if !now.Before(s.info.CreatedAt.Add(s.version.Config.Lifecycle.Max)) {
		return moorage.Errorf(moorage.NotFound, "the session reached its maximum lifetime of %s", s.version.Config.Lifecycle.Max)
	}
	if excess := m.Storage.excess(s.key, s.version); excess != "" {
		return moorage.Errorf(moorage.Quota, "%s", excess)
	}
	health, err := s.agent.Ping(s.ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		return s.missed(err)
	}
	s.misses = 0
	if health.Since.IsZero() {
		health.Since = s.health.Since
		if s.health.Busy && !health.Busy { // the agent does not say when it changed: now, as far as we saw
			health.Since = now
		}
	}
	s.health = health
	if s.leases > 0 || health.Busy {
		s.info.State = moorage.Active
		return nil
	}
	s.info.State = moorage.Idle
	if now.Before(s.idleSince().Add(s.version.Config.Lifecycle.Idle)) {
		return nil
	}
	s.stopping = true
	return moorage.Errorf(moorage.NotFound, "the session was idle for %s", s.version.Config.Lifecycle.Idle)
}

// missed counts an unanswered ping. A single-threaded agent may leave pings unanswered while it
// works on a call, so only an idle one is given up. The caller holds Manager.mu.
func (s *live) missed(err error) error {
	if s.leases > 0 || s.ctx.Err() != nil {
		return nil
	}
	if s.misses++; s.misses < pingMisses {
		return nil
	}
	s.stopping = true
	return moorage.Errorf(moorage.AgentFailed, "the session is unhealthy: %d pings in a row had no answer (%v)", pingMisses, err)
}

// Stop ends the session that key names and returns once nothing of it is left.
func (m *Manager) Stop(ctx context.Context, key Key) error {
	m.mu.Lock()
	s := m.byKey[key]
	m.mu.Unlock()
	if s == nil {
		return moorage.Errorf(moorage.NotFound, "no session %q is active on this endpoint", key.CallerID)
	}
	return m.stop(ctx, s, "stopped by its caller")
}

// StopID ends the session with the given internal id, as Stop does.
func (m *Manager) StopID(ctx context.Context, id, reason string) error {
	m.mu.Lock()
	s := m.byID[id]
	m.mu.Unlock()
	if s == nil {
		return moorage.Errorf(moorage.NotFound, "no live session has the id %q", id)
	}
	return m.stop(ctx, s, reason)
}

// StopWhere ends every session that match says, all at once, and returns once they are gone.
func (m *Manager) StopWhere(ctx context.Context, reason string, match func(moorage.Session) bool) (ended int, err error) {
	m.mu.Lock()
	var hit []*live
	for _, s := range m.byID {
		if match(s.info) {
			hit = append(hit, s)
		}
	}
	m.mu.Unlock()
	for _, s := range hit {
		s.cancel(stopError(reason))
	}
	for _, s := range hit {
		if err := m.stop(ctx, s, reason); err != nil {
			return ended, err
		}
		ended++
	}
	return ended, nil
}

func stopError(reason string) error {
	return &moorage.Error{Code: moorage.AgentFailed, Message: "the session was " + reason, Err: &endReason{reason}}
}

func (m *Manager) stop(ctx context.Context, s *live, reason string) error {
	s.cancel(stopError(reason))
	select {
	case <-s.gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// List returns the sessions that live now, in no order.
func (m *Manager) List() []moorage.Session {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]moorage.Session, 0, len(m.byID))
	for _, s := range m.byID {
		out = append(out, s.info)
	}
	return out
}

// Stats returns what a live session has used so far; zero when it does not live or cannot say.
func (m *Manager) Stats(ctx context.Context, id string) sandbox.Stats {
	m.mu.Lock()
	s := m.byID[id]
	m.mu.Unlock()
	if s == nil || !s.isReady() {
		return sandbox.Stats{}
	}
	stats, err := s.agent.Sandbox.Stats(ctx)
	if err != nil {
		m.Log.Debug("session stats", "session", id, "err", err)
	}
	return stats
}

func (s *live) isReady() bool {
	select {
	case <-s.ready:
		return s.agent != nil
	default:
		return false
	}
}
