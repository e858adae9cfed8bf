package session

import (
	"context"
	"fmt"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/store"
)

// Recover takes up where an earlier server left off. Rows whose sandbox lives become live sessions
// again; rows without one are ended, with the reason; sandboxes without a row were never
// acknowledged to anyone and are removed. Call it once, before the first Acquire.
func (m *Manager) Recover(ctx context.Context) error {
	boxes, err := m.Warm.Driver.List(ctx)
	if err != nil {
		return fmt.Errorf("list sandboxes: %w", err)
	}
	byID := map[string]sandbox.Sandbox{}
	for _, b := range boxes {
		byID[b.Info().ID] = b
	}
	var rows []moorage.Session
	versions := map[string]moorage.Version{}
	err = m.Store.View(ctx, func(tx *store.Tx) (err error) {
		if rows, err = tx.LiveSessions(); err != nil {
			return err
		}
		for _, r := range rows {
			v, err := tx.Version(r.RuntimeID, r.Version)
			if err != nil && moorage.CodeOf(err) != moorage.NotFound {
				return err
			}
			versions[r.ID] = v
		}
		return nil
	})
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.start()
	m.mu.Unlock()
	for _, row := range rows {
		m.recoverOne(row, versions[row.ID], byID[row.SandboxID])
		delete(byID, row.SandboxID)
	}
	for id, box := range byID {
		if box.Info().Labels[labelSession] == "" {
			continue // not a session's: a build or a trial start of the control room
		}
		m.Log.Warn("remove a sandbox that no session knows", "sandbox", id)
		if err := box.Stop(ctx, 0); err != nil {
			return fmt.Errorf("remove sandbox %s: %w", id, err)
		}
	}
	return nil
}

func (m *Manager) recoverOne(row moorage.Session, v moorage.Version, box sandbox.Sandbox) {
	key := Key{row.RuntimeID, row.Endpoint, row.Owner, row.CallerID}
	s := newLive(key, v, row)
	m.mu.Lock()
	m.byKey[key], m.byID[row.ID] = s, s
	m.mu.Unlock()
	if box == nil {
		close(s.gone)
		s.err = moorage.Errorf(moorage.NotFound, "the session's sandbox was gone when the server came back")
		close(s.ready)
		m.forget(s, "its sandbox was gone when the server came back")
		return
	}
	s.agent = m.Warm.Adopt(box, v)
	s.agent.StartedBy, s.agent.StartTook = row.StartedBy, row.StartTook
	s.idleFrom = time.Now()
	s.info.State = moorage.Idle
	close(s.ready)
	m.work.Go(func() {
		defer close(s.gone)
		m.watch(s)
	})
	m.Log.Info("session recovered", "session", row.ID, "runtime", row.RuntimeID)
}

// Forget removes the records and journals of sessions that ended before t.
func (m *Manager) Forget(ctx context.Context, t time.Time) error {
	var sandboxes []string
	err := m.Store.Update(ctx, func(tx *store.Tx) (err error) {
		sandboxes, err = tx.ForgetSessions(t)
		return err
	})
	if err != nil {
		return err
	}
	for _, id := range sandboxes {
		m.Warm.RemoveJournal(id)
	}
	return nil
}
