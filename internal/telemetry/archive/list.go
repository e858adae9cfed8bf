package archive

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/telemetry"
)

// Query says which traces or sessions to list. The zero value is the newest of all.
type Query struct {
	Runtime  string // id
	Endpoint string
	Session  string           // internal id
	Span     telemetry.SpanID // that this one is in: one trace, or none
	Since    time.Time        // that began at or after
	Until    time.Time        // that began before
	Failed   bool             // with a failure in them
	Name     string           // that have this in their name
	Plumbing bool             // also those with nothing but plumbing in them, such as health checks
	Limit    int              // 0 is 50, at most 1,000
	After    string           // the Next of the page before
}

// meaningful traces have more than plumbing in them.
const meaningful = "spans > hidden"

// MaxPage is how many rows a list holds at most.
const MaxPage = 1000

func (q *Query) limit() int {
	if q.Limit <= 0 {
		return 50
	}
	return min(q.Limit, MaxPage)
}

// conditions are the query's as SQL, on a table with the columns of traces; by is the column of time.
func (q *Query) conditions(by string) (where []string, args []any) {
	add := func(condition string, arg any) { where, args = append(where, condition), append(args, arg) }
	if q.Runtime != "" {
		add("runtime = ?", q.Runtime)
	}
	if q.Endpoint != "" {
		add("endpoint = ?", q.Endpoint)
	}
	if q.Session != "" {
		add("session = ?", q.Session)
	}
	if !q.Since.IsZero() {
		add(by+" >= ?", q.Since.UnixNano())
	}
	if !q.Until.IsZero() {
		add(by+" < ?", q.Until.UnixNano())
	}
	return where, args
}

// cursor is where a page ends: the time and key of its last row, newest first.
func cursor(at int64, key string) string { return strconv.FormatInt(at, 10) + "." + key }

func (q *Query) after() (at int64, key string, err error) {
	if q.After == "" {
		return 0, "", nil
	}
	text, key, ok := strings.Cut(q.After, ".")
	if at, err = strconv.ParseInt(text, 10, 64); !ok || err != nil {
		return 0, "", moorage.Errorf(moorage.Invalid, "%q is not where a page ended: pass on the next of the page before", q.After)
	}
	return at, key, nil
}

// Traces lists traces, the newest first, and where the next page begins; "" when there is none.
func (a *Archive) Traces(ctx context.Context, q Query) (page []telemetry.TraceSummary, next string, err error) {
	where, args := q.conditions("start")
	if !q.Plumbing && q.Span.IsZero() {
		where = append(where, meaningful)
	}
	if !q.Span.IsZero() {
		id, found, err := a.traceOf(ctx, q.Span)
		if err != nil || !found {
			return []telemetry.TraceSummary{}, "", err
		}
		where, args = append(where, "trace = ?"), append(args, id[:])
	}
	if q.Failed {
		where = append(where, "errors > 0")
	}
	if q.Name != "" {
		where, args = append(where, "instr(lower(name), lower(?)) > 0"), append(args, q.Name)
	}
	before, key, err := q.after()
	if err != nil {
		return nil, "", err
	}
	if q.After != "" {
		id, _ := telemetry.ParseTraceID(key)
		where, args = append(where, "(start, trace) < (?, ?)"), append(args, before, id[:])
	}
	text := selectTraces + and(where) + fmt.Sprintf(" ORDER BY start DESC, trace DESC LIMIT %d", q.limit()+1)
	rows, most, err := a.traceRows(ctx, text, args...)
	if err != nil {
		return nil, "", err
	}
	slices.SortFunc(rows, newerTrace)
	more := most > q.limit() || len(rows) > q.limit()
	rows = rows[:min(len(rows), q.limit())]
	if more {
		last := rows[len(rows)-1]
		next = cursor(last.newest, last.trace.String())
	}
	if err := a.complete(ctx, rows); err != nil {
		return nil, "", err
	}
	page = []telemetry.TraceSummary{}
	for _, r := range rows {
		if q.After == "" || r.newest <= before { // else its newest part was on an earlier page
			page = append(page, r.summary())
		}
	}
	return page, next, nil
}

func and(where []string) string {
	if len(where) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(where, " AND ")
}

func newerTrace(a, b *traceRow) int {
	return cmp.Or(cmp.Compare(b.newest, a.newest), cmp.Compare(b.trace.String(), a.trace.String()))
}

// traceRow is a trace as one session's part of it, or several, add up to.
type traceRow struct {
	trace telemetry.TraceID
	from  telemetry.Source
	sum
	newest int64               // the latest start among its rows: by which lists are ordered
	in     map[*partition]bool // whose rows it holds
}

const selectTraces = `SELECT trace, session, runtime, endpoint, caller, name, start, finish, root_start, root_end,
	spans, hidden, errors, error, models, tools, input, output, cached, written, reasoning, cost FROM traces`

// traceRows reads rows of all partitions and adds up those of one trace. Most is how many rows one
// partition gave at most.
func (a *Archive) traceRows(ctx context.Context, query string, args ...any) (rows []*traceRow, most int, err error) {
	known := map[telemetry.TraceID]*traceRow{}
	for _, p := range a.all() {
		n := 0
		err := each(ctx, p, func(scan func(...any) error) error {
			n++
			r, err := scanTrace(scan)
			if err != nil {
				return err
			}
			if before := known[r.trace]; before != nil {
				before.merge(r)
				before.in[p] = true
				return nil
			}
			r.in = map[*partition]bool{p: true}
			known[r.trace] = r
			rows = append(rows, r)
			return nil
		}, query, args...)
		if err != nil {
			return nil, 0, err
		}
		most = max(most, n)
	}
	return rows, most, nil
}

func scanTrace(scan func(...any) error) (*traceRow, error) {
	r := &traceRow{}
	var id []byte
	var rootStart, rootEnd *int64
	u := &r.usage
	err := scan(&id, &r.from.Session, &r.from.Runtime, &r.from.Endpoint, &r.from.Caller, &r.name, &r.start, &r.end, &rootStart, &rootEnd,
		&r.spans, &r.hidden, &r.errors, &r.failure, &r.models, &r.tools, &u.Input, &u.Output, &u.Cached, &u.CacheWritten, &u.Reasoning, &r.cost)
	if err != nil {
		return nil, err
	}
	copy(r.trace[:], id)
	r.newest = r.start
	if r.rooted = rootStart != nil && rootEnd != nil; r.rooted {
		r.rootStart, r.rootEnd = *rootStart, *rootEnd
	}
	return r, nil
}

// merge adds another row of the same trace. Its session is the one in which it began.
func (r *traceRow) merge(o *traceRow) {
	earlier := o.start < r.start
	if o.rooted {
		if earlier = !r.rooted || o.rootStart < r.rootStart; earlier {
			r.rootStart = o.rootStart
		}
		r.rootEnd, r.rooted = max(r.rootEnd, o.rootEnd), true
	} else if r.rooted {
		earlier = false
	}
	if earlier {
		r.name, r.from = o.name, o.from
	}
	if r.failure == "" {
		r.failure = o.failure
	}
	r.start, r.end, r.newest = min(r.start, o.start), max(r.end, o.end), max(r.newest, o.newest)
	r.spans, r.hidden, r.errors = r.spans+o.spans, r.hidden+o.hidden, r.errors+o.errors
	r.models, r.tools, r.cost = r.models+o.models, r.tools+o.tools, r.cost+o.cost
	r.usage = r.usage.Add(o.usage)
}

// complete adds to traces what partitions hold whose rows were not among those asked for.
func (a *Archive) complete(ctx context.Context, rows []*traceRow) error {
	for _, p := range a.all() {
		for _, r := range rows {
			if r.in[p] || !p.mayHold(r.start, r.end) {
				continue
			}
			err := each(ctx, p, func(scan func(...any) error) error {
				more, err := scanTrace(scan)
				if err == nil {
					r.merge(more)
				}
				return err
			}, selectTraces+" WHERE trace = ?", r.trace[:])
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *traceRow) summary() telemetry.TraceSummary {
	length := r.end - r.start
	if r.rooted {
		length = r.rootEnd - r.rootStart
	}
	return telemetry.TraceSummary{
		TraceID: hex.EncodeToString(r.trace[:]), SessionID: r.from.Session, CallerSessionID: r.from.Caller, Runtime: r.from.Runtime,
		Endpoint: r.from.Endpoint, Name: r.name, Start: instant(r.start), End: instant(r.end), DurationMs: milliseconds(length),
		Rooted: r.rooted, Spans: r.spans, Hidden: r.hidden, Errors: r.errors, Error: r.failure, ModelCalls: r.models, ToolCalls: r.tools,
		Usage: r.usage, CostUSD: dollars(r.cost),
	}
}

func instant(ns int64) time.Time       { return time.Unix(0, ns).UTC() }
func milliseconds(ns int64) float64    { return float64(ns) / 1e6 }
func dollars(billionths int64) float64 { return float64(billionths) / 1e9 }
