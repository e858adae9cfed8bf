package store

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/moorage-dev/moorage"
)

const sessionColumns = "id, caller_id, runtime_id, endpoint, owner, version, state, sandbox_id, started_by, start_took, steps, created_at, last_active_at, ended_at, end_reason, " +
	"sleeps, woke_took, cpu, peak_bytes, slept, slept_from, parent_id, forked_at, shares"

func scanSession(r row) (s moorage.Session, err error) {
	var steps string
	var created, active, ended, sleptFrom, forked int64
	err = r.Scan(&s.ID, &s.CallerID, &s.RuntimeID, &s.Endpoint, &s.Owner, &s.Version, &s.State, &s.SandboxID, &s.StartedBy,
		&s.StartTook, &steps, &created, &active, &ended, &s.EndReason,
		&s.Sleeps, &s.WokeTook, &s.CPU, &s.PeakBytes, &s.Slept, &sleptFrom, &s.ParentID, &forked, &s.Shares)
	if err != nil {
		return s, err
	}
	s.CreatedAt, s.LastActiveAt, s.EndedAt = fromNanos(created), fromNanos(active), fromNanos(ended)
	s.SleptFrom, s.ForkedAt = fromNanos(sleptFrom), fromNanos(forked)
	return s, json.Unmarshal([]byte(steps), &s.Steps)
}

// PutSession writes s, new or changed.
func (tx *Tx) PutSession(s moorage.Session) error {
	steps, err := json.Marshal(append([]moorage.Step{}, s.Steps...))
	if err != nil {
		return err
	}
	return tx.exec(`INSERT INTO sessions (`+sessionColumns+`) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)
		ON CONFLICT (id) DO UPDATE SET caller_id = excluded.caller_id, state = excluded.state, sandbox_id = excluded.sandbox_id, started_by = excluded.started_by,
			start_took = excluded.start_took, steps = excluded.steps, last_active_at = excluded.last_active_at, ended_at = excluded.ended_at,
			end_reason = excluded.end_reason, sleeps = excluded.sleeps, woke_took = excluded.woke_took, cpu = excluded.cpu,
			peak_bytes = excluded.peak_bytes, slept = excluded.slept, slept_from = excluded.slept_from, shares = excluded.shares`,
		s.ID, s.CallerID, s.RuntimeID, s.Endpoint, s.Owner, s.Version, s.State, s.SandboxID, s.StartedBy,
		int64(s.StartTook), string(steps), nanos(s.CreatedAt), nanos(s.LastActiveAt), nanos(s.EndedAt), s.EndReason,
		s.Sleeps, int64(s.WokeTook), int64(s.CPU), s.PeakBytes, int64(s.Slept), nanos(s.SleptFrom), s.ParentID, nanos(s.ForkedAt), s.Shares)
}

// Session returns the session with the given internal id, alive or ended, or NotFound.
func (tx *Tx) Session(id string) (moorage.Session, error) {
	r := tx.sql.QueryRowContext(tx.ctx, "SELECT "+sessionColumns+" FROM sessions WHERE id = ?", id)
	return one(r, scanSession, fmt.Sprintf("no session has the id %q", id))
}

// LiveSessions returns every session that has not ended.
func (tx *Tx) LiveSessions() ([]moorage.Session, error) {
	return all(tx, scanSession, "SELECT "+sessionColumns+" FROM sessions WHERE ended_at = 0 ORDER BY created_at")
}

// EndedSessions returns up to limit ended sessions of a runtime, or of all when runtimeID is empty, newest first.
func (tx *Tx) EndedSessions(runtimeID string, limit int) ([]moorage.Session, error) {
	return all(tx, scanSession, "SELECT "+sessionColumns+` FROM sessions WHERE ended_at > 0 AND (? = '' OR runtime_id = ?)
		ORDER BY created_at DESC LIMIT ?`, runtimeID, runtimeID, limit)
}

// ForgetSessions removes the records of sessions that ended before t and returns their sandboxes.
func (tx *Tx) ForgetSessions(t time.Time) ([]string, error) {
	return all(tx, func(r row) (id string, err error) { return id, r.Scan(&id) },
		"DELETE FROM sessions WHERE ended_at > 0 AND ended_at < ? RETURNING sandbox_id", nanos(t))
}

// LatestSession returns the newest session that a caller named so, alive or ended, or NotFound.
func (tx *Tx) LatestSession(callerID string) (moorage.Session, error) {
	r := tx.sql.QueryRowContext(tx.ctx, "SELECT "+sessionColumns+" FROM sessions WHERE caller_id = ? ORDER BY created_at DESC LIMIT 1", callerID)
	return one(r, scanSession, fmt.Sprintf("no session is called %q", callerID))
}
