package archive

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/telemetry"
)

// writer is the one goroutine that writes.
type writer struct {
	*Archive
	outlines *outlines
	to       *partition
	prepared statements
	sources  *sourceIDs // of the partition that is written
	minutes  *minutes
	active   activities
}

// run commits what queues up until the queue is closed and empty.
func (w *writer) run() {
	for entries := w.queue.take(); len(entries) > 0; entries = w.queue.take() {
		if err := w.keep(entries); err != nil && len(entries) > 1 { // one of them may spoil it for the others
			for _, e := range entries {
				e.done <- w.keep([]*entry{e})
			}
		} else {
			for _, e := range entries {
				e.done <- err
			}
		}
		w.rotate(context.Background())
	}
	w.prepared.close()
	if err := w.to.seal(); err != nil {
		w.Log.Error("close telemetry", "err", err)
	}
}

// keep commits entries, all or none, and shows them to who watches.
func (w *writer) keep(entries []*entry) error {
	err := w.commit(context.Background(), entries)
	if err == nil {
		w.publish(entries)
		w.follow(entries)
		return nil
	}
	w.Log.Error("keep telemetry", "err", err)
	w.outlines.clear()
	w.minutes = newMinutes()
	w.active.clear()
	w.active.torn = true
	if err := w.sources.load(context.Background(), w.to); err != nil {
		w.Log.Error("find the sources of telemetry", "err", err)
	}
	return &moorage.Error{Code: moorage.Unavailable, Message: "telemetry cannot be kept right now", Err: err}
}

// begin goes on with the newest partition, or makes the first.
func (w *writer) begin(ctx context.Context) error {
	newest := w.current()
	if newest == nil {
		return w.next(ctx)
	}
	if err := newest.unseal(ctx); err != nil {
		return err
	}
	return w.writeTo(ctx, newest)
}

// next begins another partition.
func (w *writer) next(ctx context.Context) error {
	p, err := newPartition(ctx, w.Dir, w.Now())
	if err != nil {
		return fmt.Errorf("begin a telemetry partition: %w", err)
	}
	if err := w.writeTo(ctx, p); err != nil {
		return errors.Join(err, p.remove())
	}
	w.join(p)
	return nil
}

func (w *writer) writeTo(ctx context.Context, p *partition) (err error) {
	if w.prepared, err = prepare(ctx, p.conn); err != nil {
		return err
	}
	w.to, w.sources, w.minutes = p, newSourceIDs(), newMinutes()
	return w.sources.load(ctx, p)
}

// commit writes entries in one transaction.
func (w *writer) commit(ctx context.Context, entries []*entry) error {
	return w.atomically(ctx, func() error { return w.write(ctx, entries) })
}

func (w *writer) atomically(ctx context.Context, write func() error) error {
	if _, err := w.to.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err := write(); err != nil {
		_, undone := w.to.conn.ExecContext(ctx, "ROLLBACK")
		return errors.Join(err, undone)
	}
	_, err := w.to.conn.ExecContext(ctx, "COMMIT")
	return err
}

func (w *writer) write(ctx context.Context, entries []*entry) error {
	t := &transaction{writer: w, sources: rows{one: w.prepared.source, many: w.prepared.manySources, width: sourceArgs}, traces: rows{one: w.prepared.trace, many: w.prepared.manyTraces, width: traceArgs}}
	for _, e := range entries {
		for _, p := range e.batch.Packs {
			if err := t.pack(ctx, p); err != nil {
				return err
			}
		}
		for _, c := range e.batch.Calls {
			if err := t.calls(ctx, c); err != nil {
				return err
			}
		}
		for _, l := range e.batch.Lines {
			if err := t.lines(ctx, l); err != nil {
				return err
			}
		}
		for _, p := range e.batch.Points {
			if err := t.point(ctx, p); err != nil {
				return err
			}
		}
		for _, u := range e.batch.Used {
			if _, err := t.prepared.used.ExecContext(ctx, u.Session, u.First, u.Last, u.Doc); err != nil {
				return err
			}
		}
		for _, m := range e.batch.Marks {
			if _, err := t.prepared.mark.ExecContext(ctx, m.Key, m.Next); err != nil {
				return err
			}
		}
	}
	err := errors.Join(t.sources.flush(ctx), t.traces.flush(ctx), t.writeMinutes(ctx))
	if err == nil && w.active.due(w.Now(), w.queue.empty()) {
		err = w.writeActive(ctx)
	}
	return err
}

// transaction is one commit in the making.
type transaction struct {
	*writer
	sources, traces rows
}

func (t *transaction) lines(ctx context.Context, l telemetry.Lines) error {
	source, err := t.source(ctx, l.Source)
	if err != nil {
		return err
	}
	done, err := t.prepared.block.ExecContext(ctx, source, l.Source.Runtime, l.Source.Session, l.First, l.Last, l.Count, l.Doc)
	if err != nil {
		return err
	}
	block, err := done.LastInsertId()
	if err != nil {
		return err
	}
	if l.Mark > 0 {
		if _, err := t.prepared.mark.ExecContext(ctx, l.Source.Sandbox, l.Mark); err != nil {
			return err
		}
	}
	for _, trace := range l.Traces {
		if _, err := t.prepared.blockTrace.ExecContext(ctx, trace[:], block); err != nil {
			return err
		}
	}
	return nil
}

// statements are prepared on the one connection to the partition that is written.
type statements struct {
	source, manySources, pack, packTrace, block, blockTrace, mark, used, series, minute, findMinute *sql.Stmt
	trace, manyTraces, session, manySessions, calls, begun, manyBegun                               *sql.Stmt
	all                                                                                             []*sql.Stmt
}

func prepare(ctx context.Context, conn *sql.Conn) (s statements, err error) {
	for to, text := range map[**sql.Stmt]string{
		&s.source:       insertSources(1),
		&s.manySources:  insertSources(manyRows),
		&s.pack:         `INSERT INTO packs (chunks, doc) VALUES (?, ?)`,
		&s.packTrace:    `INSERT OR IGNORE INTO pack_traces (trace, pack) VALUES (?, ?)`,
		&s.block:        `INSERT INTO blocks (source, runtime, session, first, last, lines, doc) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		&s.blockTrace:   `INSERT OR IGNORE INTO block_traces (trace, block) VALUES (?, ?)`,
		&s.mark:         `INSERT OR REPLACE INTO marks VALUES (?, ?)`,
		&s.used:         `INSERT OR REPLACE INTO used VALUES (?, ?, ?, ?)`,
		&s.series:       `INSERT INTO series (runtime, endpoint, name, unit, labels) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET unit = unit RETURNING id`,
		&s.minute:       `INSERT OR REPLACE INTO minutes (minute, series, count, errors, sum, lowest, high, sketch) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		&s.findMinute:   `SELECT count, errors, sum, lowest, high, sketch FROM minutes WHERE minute = ? AND series = ?`,
		&s.calls:        `INSERT INTO calls (sources, doc) VALUES (?, ?)`,
		&s.begun:        upsertBegun(1),
		&s.manyBegun:    upsertBegun(manyRows),
		&s.trace:        upsertTraces(1),
		&s.manyTraces:   upsertTraces(manyRows),
		&s.session:      upsertSessions(1),
		&s.manySessions: upsertSessions(manyRows),
	} {
		if *to, err = conn.PrepareContext(ctx, text); err != nil {
			return s, err
		}
		s.all = append(s.all, *to)
	}
	return s, nil
}

func (s statements) close() {
	for _, each := range s.all {
		each.Close()
	}
}

// traceColumns are those that are written.
const traceColumns = `INSERT INTO traces (trace, session, runtime, endpoint, caller, name, start, finish, root_start, root_end,
	spans, hidden, errors, error, models, tools, input, output, cached, written, reasoning, cost, calls, pack) VALUES `

// How many arguments a row has.
const (
	traceArgs   = 23
	sessionArgs = 4
	sourceArgs  = 2
)

func insertSources(rows int) string {
	return "INSERT INTO sources (id, doc) VALUES " + repeated("(?, ?)", rows)
}

func upsertTraces(rows int) string {
	return traceColumns + repeated("(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, ?)", rows) + mergeTrace
}

func upsertSessions(rows int) string {
	return "INSERT INTO sessions VALUES " + repeated("(?, ?, ?, ?)", rows) + mergeSession
}

func repeated(row string, rows int) string { return row + strings.Repeat(", "+row, rows-1) }

// A trace is called after its earliest root, or until one comes after whatever came first.
const mergeTrace = `
ON CONFLICT (trace, session) DO UPDATE SET
	name = CASE WHEN excluded.root_start < ifnull(root_start, 9223372036854775807) THEN excluded.name ELSE name END,
	start = min(start, excluded.start), finish = max(finish, excluded.finish),
	root_start = min(ifnull(root_start, excluded.root_start), ifnull(excluded.root_start, root_start)),
	root_end = max(ifnull(root_end, excluded.root_end), ifnull(excluded.root_end, root_end)),
	spans = spans + excluded.spans, hidden = hidden + excluded.hidden, errors = errors + excluded.errors,
	error = CASE WHEN error = '' THEN excluded.error ELSE error END,
	models = models + excluded.models, tools = tools + excluded.tools,
	input = input + excluded.input, output = output + excluded.output, cached = cached + excluded.cached,
	written = written + excluded.written, reasoning = reasoning + excluded.reasoning, cost = cost + excluded.cost,
	calls = ifnull(calls, excluded.calls), pack = ifnull(pack, excluded.pack)`

const mergeSession = `
ON CONFLICT (session) DO UPDATE SET last = max(last, excluded.last)`

// mendSessions writes what is not written of sessions.
const mendSessions = `INSERT INTO sessions SELECT session, max(runtime), max(endpoint), max(finish) FROM traces WHERE session <> '' GROUP BY session` + mergeSession
