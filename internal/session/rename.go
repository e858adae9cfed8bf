package session

import (
	"github.com/moorage-dev/moorage"
)

// Rename gives the session another caller's id, by which it is found from here on; the old one names
// nothing any more. It is for protocols in which the agent chooses the id. What the session stores on
// disk stays where it is. Errors: Conflict when another session of the same owner has that id.
func (l *Lease) Rename(callerID string) error {
	m, s := l.manager, l.session
	before, after, err := m.rename(s, callerID)
	if err != nil {
		return err
	}
	err = m.record(after) // before the old id is free: no two rows of living sessions may share one
	m.mu.Lock()
	delete(m.byKey, keyOf(before))
	m.mu.Unlock()
	l.Session.CallerID = callerID
	return err
}

// rename lets s be found by both ids.
func (m *Manager) rename(s *live, callerID string) (before, after moorage.Session, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.stopping {
		return before, after, moorage.Errorf(moorage.AgentFailed, "the session ended while it was opened")
	}
	before, after = s.info, s.info
	after.CallerID = callerID
	if m.byKey[keyOf(after)] != nil {
		return before, after, moorage.Errorf(moorage.Conflict, "the agent calls its session %q, as it called another one", callerID)
	}
	s.info, m.byKey[keyOf(after)] = after, s
	return before, after, nil
}

// keyOf is by which a living session is found.
func keyOf(s moorage.Session) Key { return Key{s.RuntimeID, s.Endpoint, s.Owner, s.CallerID} }
