package archive

import (
	"context"
	"time"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

// activity is when a session was last active.
type activity struct {
	from telemetry.Source
	last int64
}

// activities are those that are not written yet. While much comes in they are written now and then, not with every
// commit: most of the log would be theirs. What a kill leaves unwritten is found in the traces.
type activities struct {
	sessions map[string]activity
	written  time.Time
	torn     bool // some went with a commit that failed
}

// behind is how long sessions may be behind their traces.
const behind = 500 * time.Millisecond

// note notes when a session was active.
func (a *activities) note(from telemetry.Source, at int64) {
	if from.Session == "" {
		return
	}
	if a.sessions == nil {
		a.sessions = map[string]activity{}
	}
	known, ok := a.sessions[from.Session]
	if !ok {
		known.from = from
	}
	known.last = max(known.last, at)
	a.sessions[from.Session] = known
}

// due reports whether they have to be written with the commit that is made: the last for now does not leave any.
func (a *activities) due(now time.Time, last bool) bool {
	return (len(a.sessions) > 0 || a.torn) && (last || now.Sub(a.written) >= behind)
}

func (a *activities) clear() { clear(a.sessions) }

// writeActive writes all of them.
func (w *writer) writeActive(ctx context.Context) error {
	if w.active.torn {
		if _, err := w.to.conn.ExecContext(ctx, mendSessions); err != nil {
			return err
		}
		w.active.torn = false
	}
	all := rows{one: w.prepared.session, many: w.prepared.manySessions, width: sessionArgs}
	for session, s := range w.active.sessions {
		if err := all.add(ctx, session, s.from.Runtime, s.from.Endpoint, s.last); err != nil {
			return err
		}
	}
	w.active.clear()
	w.active.written = w.Now()
	return all.flush(ctx)
}
