package archive

import (
	"cmp"
	"container/heap"
	"context"
	"encoding/json"
	"iter"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

// LogStreamKey is the attribute that names the log stream into which a record was put.
const LogStreamKey = telemetry.LogStreamKey

// Record is a log record as it came.
type Record struct {
	ID       string // as of a telemetry.Log
	Place    Place
	Source   telemetry.Source
	Resource pcommon.Map // attributes
	Scope    pcommon.InstrumentationScope
	Log      plog.LogRecord
}

// Place orders records by time, and those of one moment by where they are on disk. No two have the same.
type Place struct {
	Time      int64 // nanoseconds since 1970
	Partition int64 // when it began, likewise
	Block     int64
	N         int
}

// Compare is negative when p comes before q.
func (p Place) Compare(q Place) int {
	return cmp.Or(cmp.Compare(p.Time, q.Time), cmp.Compare(p.Partition, q.Partition), cmp.Compare(p.Block, q.Block), cmp.Compare(p.N, q.N))
}

// RecordQuery says which records to read. The zero value is all of them.
type RecordQuery struct {
	From    func(telemetry.Source) bool // nil is everybody
	Runtime *string                     // that From agrees to, where it is one alone
	Traces  []telemetry.TraceID         // of one of these; none is of any or no trace
	Since   time.Time                   // written at or after
	Until   time.Time                   // written before
	After   *Place                      // beyond this one in the order of reading
	Newest  bool                        // the newest first, rather than the oldest
}

// Records reads log records in the order of their times. Only blocks that may hold what was asked for are
// unpacked, one after the other, so that a reader who stops early costs little.
func (a *Archive) Records(ctx context.Context, q RecordQuery) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		spots, err := a.spots(ctx, &q)
		if err != nil {
			yield(Record{}, err)
			return
		}
		waiting := &recordHeap{newest: q.Newest}
		for i, s := range spots {
			if err := a.readSpot(ctx, &q, s, waiting); err != nil {
				yield(Record{}, err)
				return
			}
			for waiting.Len() > 0 && (i+1 == len(spots) || !s.after(waiting.records[0].Place.Time, spots[i+1], q.Newest)) {
				if !yield(heap.Pop(waiting).(Record), nil) {
					return
				}
			}
		}
	}
}

// spot is where a block is, and from when to when its records are.
type spot struct {
	*partition
	source      telemetry.Source
	row         int64
	first, last int64
}

// after reports whether a record of that time may come after one of the next block.
func (spot) after(at int64, next spot, newest bool) bool {
	if newest {
		return at < next.last
	}
	return at > next.first
}

// spots returns the blocks that may hold what is asked for, in the order of reading.
func (a *Archive) spots(ctx context.Context, q *RecordQuery) (out []spot, err error) {
	where, args := q.conditions()
	for _, p := range a.all() {
		found, ids := []spot{}, []int64{}
		err := each(ctx, p, func(scan func(...any) error) error {
			var id int64
			s := spot{partition: p}
			err := scan(&s.row, &id, &s.first, &s.last)
			found, ids = append(found, s), append(ids, id)
			return err
		}, "SELECT b.id, b.source, b.first, b.last FROM blocks b"+and(where), args...)
		if err != nil {
			return nil, err
		}
		sources := sourcesOf(ctx, p) // asked when no other question is open: a partition answers few at once
		for i, s := range found {
			if s.source, err = sources(ids[i]); err != nil {
				return nil, err
			}
			if q.From == nil || q.From(s.source) {
				out = append(out, s)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b spot) int {
		if q.Newest {
			return cmp.Compare(b.last, a.last)
		}
		return cmp.Compare(a.first, b.first)
	})
	return out, nil
}

func (q *RecordQuery) conditions() (where []string, args []any) {
	add := func(condition string, arg any) { where, args = append(where, condition), append(args, arg) }
	if q.Runtime != nil {
		add("b.runtime = ?", *q.Runtime)
	}
	if !q.Since.IsZero() {
		add("b.last >= ?", q.Since.UnixNano())
	}
	if !q.Until.IsZero() {
		add("b.first < ?", q.Until.UnixNano())
	}
	if q.After != nil && q.Newest {
		add("b.first <= ?", q.After.Time)
	} else if q.After != nil {
		add("b.last >= ?", q.After.Time)
	}
	if len(q.Traces) > 0 {
		marks, ids := traceList(q.Traces)
		where, args = append(where, "b.id IN (SELECT block FROM block_traces WHERE trace IN "+marks+")"), append(args, ids...)
	}
	return where, args
}

// traceList writes ids as the list of an IN.
func traceList(ids []telemetry.TraceID) (marks string, args []any) {
	for _, id := range ids {
		marks += ",?"
		args = append(args, id[:])
	}
	return "(" + marks[1:] + ")", args
}

// readSpot unpacks a block and adds those of its records that were asked for.
func (a *Archive) readSpot(ctx context.Context, q *RecordQuery, s spot, to *recordHeap) error {
	return each(ctx, s.partition, func(scan func(...any) error) error {
		var doc []byte
		if err := scan(&doc); err != nil {
			return err
		}
		l, err := a.codec.Logs(doc)
		if err != nil {
			return err
		}
		n, began, name := 0, s.began.UnixNano(), s.rowName(s.row)
		for _, resource := range l.ResourceLogs().All() {
			for _, scope := range resource.ScopeLogs().All() {
				for _, record := range scope.LogRecords().All() {
					place := Place{int64(logTime(record)), began, s.row, n}
					if q.takes(place, record) {
						heap.Push(to, Record{name + "-" + strconv.Itoa(n), place, s.source, resource.Resource().Attributes(), scope.Scope(), record})
					}
					n++
				}
			}
		}
		return nil
	}, "SELECT doc FROM blocks WHERE id = ?", s.row)
}

func (q *RecordQuery) takes(at Place, record plog.LogRecord) bool {
	if !q.Since.IsZero() && at.Time < q.Since.UnixNano() || !q.Until.IsZero() && at.Time >= q.Until.UnixNano() {
		return false
	}
	if q.After != nil {
		if order := at.Compare(*q.After); order == 0 || order < 0 != q.Newest {
			return false
		}
	}
	return len(q.Traces) == 0 || slices.Contains(q.Traces, telemetry.TraceID(record.TraceID()))
}

// recordHeap holds records that may not be the next yet.
type recordHeap struct {
	records []Record
	newest  bool
}

func (h *recordHeap) Len() int      { return len(h.records) }
func (h *recordHeap) Swap(i, j int) { h.records[i], h.records[j] = h.records[j], h.records[i] }
func (h *recordHeap) Push(r any)    { h.records = append(h.records, r.(Record)) }
func (h *recordHeap) Less(i, j int) bool {
	order := h.records[i].Place.Compare(h.records[j].Place)
	return order < 0 != h.newest && order != 0
}

func (h *recordHeap) Pop() any {
	last := h.records[len(h.records)-1]
	h.records = h.records[:len(h.records)-1]
	return last
}

// SourceSpan is a source of log records, and from when to when it has some.
type SourceSpan struct {
	Source      telemetry.Source
	First, Last time.Time
	Bytes       int64 // on disk, packed
}

// Sources lists who has log records, those of From. It reads no record.
func (a *Archive) Sources(ctx context.Context, q RecordQuery) ([]SourceSpan, error) {
	known := map[telemetry.Source]*SourceSpan{}
	for _, p := range a.all() {
		where, args := q.conditions()
		err := each(ctx, p, func(scan func(...any) error) error {
			var doc string
			var first, last, bytes int64
			if err := scan(&doc, &first, &last, &bytes); err != nil {
				return err
			}
			var from telemetry.Source
			if err := json.Unmarshal([]byte(doc), &from); err != nil || q.From != nil && !q.From(from) {
				return err
			}
			one := SourceSpan{from, instant(first), instant(last), bytes}
			if before := known[from]; before != nil {
				one.First, one.Last, one.Bytes = instant(min(before.First.UnixNano(), first)), instant(max(before.Last.UnixNano(), last)), before.Bytes+bytes
			}
			known[from] = &one
			return nil
		}, `SELECT s.doc, min(b.first), max(b.last), sum(length(b.doc)) FROM blocks b JOIN sources s ON s.id = b.source`+and(where)+` GROUP BY b.source`, args...)
		if err != nil {
			return nil, err
		}
	}
	out := make([]SourceSpan, 0, len(known))
	for _, s := range known {
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b SourceSpan) int { return a.First.Compare(b.First) })
	return out, nil
}
