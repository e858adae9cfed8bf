package archive

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

// Sessions lists sessions that sent telemetry, the last active first, and where the next page begins.
// Of a Query, Failed, Name and Span do not apply; Since and Until are about when a session was last active.
func (a *Archive) Sessions(ctx context.Context, q Query) (page []telemetry.SessionSummary, next string, err error) {
	where, args := q.conditions("last")
	if q.After != "" {
		at, key, err := q.after()
		if err != nil {
			return nil, "", err
		}
		where, args = append(where, "(last, session) < (?, ?)"), append(args, at, key)
	}
	text := "SELECT session, last FROM sessions" + and(where) + fmt.Sprintf(" ORDER BY last DESC, session DESC LIMIT %d", q.limit()+1)
	rows, err := a.sessionRows(ctx, text, args...)
	if err != nil {
		return nil, "", err
	}
	slices.SortFunc(rows, func(a, b sessionRow) int {
		return cmp.Or(cmp.Compare(b.last, a.last), cmp.Compare(b.session, a.session))
	})
	if len(rows) > q.limit() {
		rows = rows[:q.limit()]
		next = cursor(rows[len(rows)-1].last, rows[len(rows)-1].session)
	}
	page = []telemetry.SessionSummary{}
	for _, r := range rows {
		s, err := a.session(ctx, r.session)
		if err != nil {
			return nil, "", err
		}
		page = append(page, s)
	}
	return page, next, nil
}

// sessionRow is when a session was last active.
type sessionRow struct {
	session string
	last    int64
}

// sessionRows asks every partition, the newest first. A session that a newer one knows was active there,
// and so is on another page.
func (a *Archive) sessionRows(ctx context.Context, query string, args ...any) (rows []sessionRow, err error) {
	all := a.all()
	for i, p := range slices.Backward(all) {
		var found []sessionRow
		err := each(ctx, p, func(scan func(...any) error) error {
			var r sessionRow
			err := scan(&r.session, &r.last)
			found = append(found, r)
			return err
		}, query, args...)
		if err != nil {
			return nil, err
		}
		for _, r := range found {
			newer, err := knows(ctx, all[i+1:], r.session)
			if err != nil {
				return nil, err
			}
			if !newer {
				rows = append(rows, r)
			}
		}
	}
	return rows, nil
}

// knows reports whether a session was active in one of the partitions.
func knows(ctx context.Context, in []*partition, session string) (known bool, err error) {
	for _, p := range in {
		err := each(ctx, p, func(func(...any) error) error { known = true; return nil }, "SELECT 1 FROM sessions WHERE session = ?", session)
		if known || err != nil {
			return known, err
		}
	}
	return false, nil
}

// session adds up the traces of a session.
func (a *Archive) session(ctx context.Context, id string) (out telemetry.SessionSummary, err error) {
	rows, _, err := a.traceRows(ctx, selectTraces+" WHERE session = ? AND "+meaningful+" ORDER BY start", id)
	if err != nil {
		return out, err
	}
	return summarize(id, rows), nil
}

// summarize adds up traces to their session.
func summarize(id string, rows []*traceRow) telemetry.SessionSummary {
	out := telemetry.SessionSummary{SessionID: id, Traces: len(rows)}
	var lengths []float64
	cost := int64(0)
	for i, r := range rows {
		t := r.summary()
		if i == 0 {
			out.First, out.CallerSessionID, out.Runtime, out.Endpoint = t.Start, t.CallerSessionID, t.Runtime, t.Endpoint
		}
		if t.Start.Before(out.First) {
			out.First = t.Start
		}
		if t.End.After(out.Last) {
			out.Last = t.End
		}
		if t.Errors > 0 {
			out.Errors++
		}
		out.Spans += t.Spans
		out.ModelCalls += t.ModelCalls
		out.ToolCalls += t.ToolCalls
		out.Usage = out.Usage.Add(t.Usage)
		cost += r.cost
		lengths = append(lengths, t.DurationMs)
	}
	out.CostUSD = dollars(cost)
	slices.Sort(lengths)
	out.P50Ms, out.P95Ms = rank(lengths, 50), rank(lengths, 95)
	return out
}

// rank is the nearest-rank percentile of sorted values; 0 of none.
func rank(sorted []float64, percent int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[(len(sorted)*percent+99)/100-1]
}

// Bounds of one session's answer.
const (
	maxSessionTraces = 200
	maxSessionLogs   = 10_000
)

// Session returns everything of a session, in order: its first traces, whole, and its log lines. A
// session that sent nothing has an empty answer.
func (a *Archive) Session(ctx context.Context, id string) (out telemetry.SessionTrace, err error) {
	rows, _, err := a.traceRows(ctx, selectTraces+" WHERE session = ? AND "+meaningful, id)
	if err != nil {
		return out, err
	}
	slices.SortFunc(rows, func(a, b *traceRow) int { return newerTrace(b, a) })
	out = telemetry.SessionTrace{Session: summarize(id, rows), Traces: []telemetry.Trace{}, Logs: []telemetry.Log{}}
	if out.Cut = len(rows) > maxSessionTraces; out.Cut {
		rows = rows[:maxSessionTraces]
	}
	for _, r := range rows {
		t, err := a.Trace(ctx, r.trace)
		if err != nil {
			return out, err
		}
		out.Traces = append(out.Traces, t)
	}
	logs, cut, err := a.sessionLogs(ctx, id)
	out.Logs, out.Cut = append(out.Logs, logs...), out.Cut || cut
	return out, err
}
