package session

import (
	"context"

	"github.com/moorage-dev/moorage"
)

// Stop ends the session that key names and returns once nothing of it is left. NotFound when there
// is none.
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

// StopWhere ends every session that match says, all at once, and returns once they are gone. Those
// that it began to end do so even when ctx ends first.
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
		m.dismiss(s, reason)
	}
	for _, s := range hit {
		if err := m.stop(ctx, s, reason); err != nil {
			return ended, err
		}
		ended++
	}
	return ended, nil
}

func (m *Manager) stop(ctx context.Context, s *live, reason string) error {
	m.dismiss(s, reason)
	select {
	case <-s.gone:
		return nil
	case <-ctx.Done():
		return &moorage.Error{Code: moorage.Busy, Message: "Session operation in progress, please retry", Err: ctx.Err()}
	}
}

// dismiss has the session end. Who asks for it from here on waits for the next one.
func (m *Manager) dismiss(s *live, reason string) {
	m.mu.Lock()
	s.stopping = true
	m.mu.Unlock()
	s.cancel(endError("was ", "%s", reason))
}
