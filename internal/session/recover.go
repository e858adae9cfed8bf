package session

import (
	"context"
	"fmt"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/store"
	"github.com/moorage-dev/moorage/internal/warm"
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
	rows, versions, err := m.left(ctx)
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.start()
	m.mu.Unlock()
	for _, row := range rows {
		v, known := versions[row.ID]
		if box := byID[row.SandboxID]; box != nil && known {
			m.adopt(row, v, box)
			delete(byID, row.SandboxID)
			continue
		}
		if known && m.adoptAsleep(row, v) {
			continue
		}
		if box := m.standing(ctx, row.SandboxID); box != nil && known { // it woke in this moment
			m.adopt(row, v, box)
			continue
		}
		m.bury(ctx, row, known)
	}
	for id, box := range byID {
		m.removeOrphan(ctx, id, box)
	}
	m.clearBeds()
	return nil
}

// left reads the sessions that an earlier server left, and their versions by session.
func (m *Manager) left(ctx context.Context) (rows []moorage.Session, versions map[string]moorage.Version, err error) {
	versions = map[string]moorage.Version{}
	err = m.Store.View(ctx, func(tx *store.Tx) (err error) {
		if rows, err = tx.LiveSessions(); err != nil {
			return err
		}
		for _, r := range rows {
			v, err := tx.Version(r.RuntimeID, r.Version)
			if moorage.CodeOf(err) == moorage.NotFound {
				continue
			}
			if err != nil {
				return err
			}
			versions[r.ID] = v
		}
		return nil
	})
	return rows, versions, err
}

// adopt makes a row and its sandbox a live session. A sandbox that was still starting is waited for:
// nobody has heard from its agent yet.
func (m *Manager) adopt(row moorage.Session, v moorage.Version, box sandbox.Sandbox) {
	s := newLive(Key{row.RuntimeID, row.Endpoint, row.Owner, row.CallerID}, v, row)
	s.recorded = row
	agent := m.Warm.Adopt(box, v)
	agent.StartedBy, agent.StartTook, agent.Steps = row.StartedBy, row.StartTook, row.Steps
	m.mu.Lock()
	m.byKey[s.key], m.byID[row.ID] = s, s
	m.mu.Unlock()
	if row.State != moorage.Starting {
		if err := unpause(box); err != nil {
			m.Log.Error("resume a session", "session", row.ID, "err", err) // its health checks will tell
		}
		m.open(s, agent)
		m.mu.Lock()
		s.idleFrom = idleAfterRestart(row, time.Now())
		m.mu.Unlock()
	}
	m.work.Go(func() {
		defer close(s.gone)
		if row.State == moorage.Starting && !m.finishStart(s, agent) {
			return
		}
		m.watch(s)
	})
	m.Log.Info("session recovered", "session", row.ID, "runtime", row.RuntimeID)
}

// idleAfterRestart is where the idle clock goes on. A session that was active was so until we cut its
// calls. For an idle one the time while no server ran counts; its row may be recordEvery behind, and
// no session is ended early for that.
func idleAfterRestart(row moorage.Session, now time.Time) time.Time {
	last := row.LastActiveAt.Add(recordEvery)
	if row.State == moorage.Active || last.After(now) {
		return now
	}
	return last
}

// finishStart ends a start that an earlier server began, and reports whether the agent is up.
func (m *Manager) finishStart(s *live, agent *warm.Agent) bool {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	defer context.AfterFunc(m.serving, cancel)()
	err := m.own(ctx, s, agent.Sandbox)
	if err == nil {
		err = m.Warm.AwaitReady(ctx, agent)
	}
	if err != nil {
		// The shim ends a start whose server was killed: that is no fault of the agent's.
		m.dispose(agent, 0)
		m.abandon(s, m.startError(ctx, s, err))
		return false
	}
	agent.StartedBy, agent.StartTook = "cold", time.Since(s.info.CreatedAt)
	m.open(s, agent)
	return true
}

// bury records the end of a session that cannot go on.
func (m *Manager) bury(ctx context.Context, row moorage.Session, known bool) {
	row.State, row.EndedAt, row.EndReason = moorage.Stopped, time.Now(), "its version was deleted"
	if known {
		row.EndReason = m.obituary(ctx, row.SandboxID)
	}
	if err := m.record(row); err != nil {
		m.mu.Lock()
		m.owed = append(m.owed, row)
		m.mu.Unlock()
		m.Log.Error("record the end of a session", "session", row.ID, "err", err)
	}
	m.Log.Info("session ended", "session", row.ID, "runtime", row.RuntimeID, "reason", row.EndReason)
}

// finder is a driver that remembers sandboxes which ended while nobody asked.
type finder interface {
	Lookup(ctx context.Context, id string) (sandbox.Sandbox, error)
}

// standing finds a sandbox that is alive, and waits for one that is just coming up. It is nil when there is none.
func (m *Manager) standing(ctx context.Context, sandboxID string) sandbox.Sandbox {
	driver, ok := m.Warm.Driver.(finder)
	if !ok {
		return nil
	}
	if _, err := driver.Lookup(ctx, sandboxID); err != nil {
		return nil
	}
	boxes, err := m.Warm.Driver.List(ctx) // Lookup knows those that ended, too
	if err != nil {
		return nil
	}
	for _, box := range boxes {
		if box.Info().ID == sandboxID {
			return box
		}
	}
	return nil
}

// obituary says how a sandbox ended while no server ran, as far as the driver remembers, and lets
// the driver forget it.
func (m *Manager) obituary(ctx context.Context, sandboxID string) string {
	const unknown = "its sandbox was gone when the server came back"
	driver, ok := m.Warm.Driver.(finder)
	if !ok {
		return unknown
	}
	box, err := driver.Lookup(ctx, sandboxID)
	if err != nil {
		return unknown
	}
	defer m.removeOrphan(ctx, sandboxID, box)
	ctx, cancel := context.WithTimeout(ctx, time.Second) // it has ended: this is an answer from memory
	defer cancel()
	exit, err := box.Wait(ctx)
	if err != nil {
		return unknown
	}
	return exit.Cause + " while no server ran"
}

// removeOrphan removes a sandbox that was a session's; builds and trial starts are the control room's.
func (m *Manager) removeOrphan(ctx context.Context, id string, box sandbox.Sandbox) {
	if box.Info().Labels[labelSession] == "" {
		return
	}
	m.Log.Warn("remove a sandbox that no session knows", "sandbox", id)
	if err := box.Stop(ctx, 0); err != nil { // no reason to keep the others waiting
		m.Log.Error("remove sandbox", "sandbox", id, "err", err)
	}
}

// Forget removes the records and journals of sessions that ended before t, and session storage that
// no session used for storageAge.
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
	return m.Storage.sweep(time.Now().Add(-storageAge))
}
