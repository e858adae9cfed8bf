package archive

import (
	"context"
	"slices"
	"time"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

// usedTable is beside schema.sql: partitions of this format that were begun before it came have none until they are
// written again.
const usedTable = `CREATE TABLE IF NOT EXISTS used (
	session TEXT NOT NULL,
	first   INTEGER NOT NULL, -- ns
	last    INTEGER NOT NULL, -- ns
	doc     BLOB NOT NULL,
	PRIMARY KEY (session, first)
) WITHOUT ROWID`

// Used returns what a session took of the machine in stretches that a time from since until until is in, oldest first:
// the newest so many. A zero until is no bound.
func (a *Archive) Used(ctx context.Context, session string, since, until time.Time, limit int) (out []telemetry.Used, err error) {
	if until.IsZero() {
		until = a.Now().Add(24 * time.Hour)
	}
	for _, p := range slices.Backward(a.all()) {
		there := false
		err := each(ctx, p, func(func(...any) error) error { there = true; return nil }, `SELECT 1 FROM sqlite_schema WHERE name = 'used'`)
		if err == nil && there {
			err = each(ctx, p, func(scan func(...any) error) error {
				u := telemetry.Used{Session: session}
				err := scan(&u.First, &u.Last, &u.Doc)
				out = append(out, u)
				return err
			}, `SELECT first, last, doc FROM used WHERE session = ? AND first <= ? AND last >= ? ORDER BY first DESC LIMIT ?`, session, until.UnixNano(), unixNano(since), limit-len(out))
		}
		if err != nil {
			return nil, err
		}
		if len(out) >= limit {
			break
		}
	}
	slices.Reverse(out)
	return out, nil
}

// unixNano is 0 for the zero time, whose nanoseconds no integer holds.
func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}
