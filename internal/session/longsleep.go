package session

import "time"

// longSleep is for how long a session may sleep whatever its clocks say; 0 when they count. The caller does
// not hold mu: whoever answers may be waiting for it.
func (m *Manager) longSleep(s *live) time.Duration {
	if m.LongSleep == nil {
		return 0
	}
	return m.LongSleep(s.key.RuntimeID)
}

// lifeEnds is when a session reaches its maximum lifetime if it stays awake.
func (m *Manager) lifeEnds(s *live) time.Time {
	long := m.longSleep(s)
	m.mu.Lock()
	defer m.mu.Unlock()
	end := s.info.CreatedAt.Add(s.version.Config.Lifecycle.Max)
	if long > 0 {
		end = end.Add(s.info.Slept)
	}
	return end
}

// idleEnds is when the idle clock of a session that rests runs out.
func (m *Manager) idleEnds(s *live) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return s.idleUntil()
}

// restsUntil is when a session that is paused must end if nobody wants it, and overdue says why then.
func (m *Manager) restsUntil(s *live) time.Time { return earlier(m.idleEnds(s), m.lifeEnds(s)) }

// overdue says why a session that is paused must end, or nil.
func (m *Manager) overdue(s *live, now time.Time) error {
	switch {
	case !now.Before(m.lifeEnds(s)):
		return lifetimeError(s)
	case !now.Before(m.idleEnds(s)):
		return idleError(s)
	}
	return nil
}

// sleepsUntil is when a session that sleeps must end if nobody wakes it, and overslept says why then.
func (m *Manager) sleepsUntil(s *live) time.Time {
	if long := m.longSleep(s); long > 0 {
		m.mu.Lock()
		defer m.mu.Unlock()
		return s.info.SleptFrom.Add(long)
	}
	return m.restsUntil(s)
}

func (m *Manager) overslept(s *live, now time.Time) error {
	switch long := m.longSleep(s); {
	case now.Before(m.sleepsUntil(s)):
		return nil
	case long > 0:
		return endError("", "slept for %s", long)
	}
	return m.overdue(s, now)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
