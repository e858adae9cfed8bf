package session

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/store"
)

// recordEvery is how far the rows may be behind in when a session was last active.
const recordEvery = 10 * time.Second

// keepRecords writes down from time to time which sessions were active, so that calls need not. It rests while they do.
func (m *Manager) keepRecords() {
	flush := func() time.Duration {
		if err := m.flush(); err != nil {
			m.Log.Error("record sessions", "err", err)
			return recordEvery
		}
		if m.allRest() {
			return 0
		}
		return recordEvery
	}
	m.records.Run(m.serving, flush)
	flush() // what the server leaves behind
}

// allRest reports whether no session does anything that a row would tell.
func (m *Manager) allRest() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.byID {
		if s.rest.away == nil {
			return false
		}
	}
	return true
}

// flushRows is how many rows one transaction writes: others wait for their turn meanwhile.
const flushRows = 200

// flush writes every session that changed since it was last written, and the ends still owed.
func (m *Manager) flush() error {
	errs := []error{m.record()}
	for rows := range slices.Chunk(m.stale(), flushRows) {
		errs = append(errs, m.Store.Update(context.Background(), func(tx *store.Tx) error {
			for _, info := range rows {
				if err := putLive(tx, info); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	return errors.Join(errs...)
}

// putLive writes the row of a session unless that has ended, or was deleted with its runtime, meanwhile.
func putLive(tx *store.Tx, info moorage.Session) error {
	row, err := tx.Session(info.ID)
	if moorage.CodeOf(err) == moorage.NotFound || err == nil && !row.EndedAt.IsZero() {
		return nil
	}
	if err != nil {
		return err
	}
	return tx.PutSession(info)
}

// stale lists the sessions whose rows are behind, and counts them as written.
func (m *Manager) stale() (rows []moorage.Session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for _, s := range m.byID {
		info := m.view(s, now)
		if behind(s.recorded, info) && s.isReady() && !s.stopping {
			s.recorded = info
			rows = append(rows, info)
		}
	}
	return rows
}

// behind reports whether a row says something else than is so. What never changes is not compared.
func behind(row, info moorage.Session) bool {
	return row.State != info.State || row.SandboxID != info.SandboxID || row.StartedBy != info.StartedBy || row.StartTook != info.StartTook ||
		row.Sleeps != info.Sleeps || row.WokeTook != info.WokeTook || row.CPU != info.CPU || row.PeakBytes != info.PeakBytes ||
		!row.LastActiveAt.Equal(info.LastActiveAt)
}

// record writes rows as they are, after the ends that are owed.
func (m *Manager) record(rows ...moorage.Session) error {
	m.mu.Lock()
	owed := m.owed
	m.owed = nil
	m.mu.Unlock()
	if len(owed)+len(rows) == 0 {
		return nil
	}
	err := m.Store.Update(context.Background(), func(tx *store.Tx) error {
		for _, info := range slices.Concat(owed, rows) {
			if err := tx.PutSession(info); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		m.mu.Lock()
		m.owed = append(owed, m.owed...)
		m.mu.Unlock()
	}
	return err
}
