package archive

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

// SourcedSpan is a span as it came.
type SourcedSpan struct {
	Source   telemetry.Source
	Resource pcommon.Map // attributes
	Scope    pcommon.InstrumentationScope
	Span     ptrace.Span
}

// SpanQuery says which spans to read. The zero value is all of them.
type SpanQuery struct {
	From    func(telemetry.Source) bool // nil is everybody
	Runtime string                      // that From agrees to, where it is one alone
	Session string                      // of traces in which this session has a part; internal id
	Traces  []telemetry.TraceID         // none is all
	Since   time.Time                   // that ended at or after
	Until   time.Time                   // that ended before
}

// Spans reads spans, each once, in no order.
func (a *Archive) Spans(ctx context.Context, q SpanQuery) iter.Seq2[SourcedSpan, error] {
	return func(yield func(SourcedSpan, error) bool) {
		seen := map[spanKey]bool{}
		where, args := q.conditions()
		calls := "(SELECT calls FROM traces" + and(where) + ")"
		for _, p := range a.all() {
			packs, err := q.packs(ctx, p)
			if err == nil {
				err = a.eachChunk(ctx, p, packs, func(c chunk) (bool, error) {
					t, err := c.traces()
					if err != nil {
						return false, err
					}
					for _, resource := range t.ResourceSpans().All() {
						if !q.yieldFrom(c.source, resource, seen, yield) {
							return false, errStopped
						}
					}
					return true, nil
				})
			}
			if err == nil {
				err = a.eachCalls(ctx, p, &q, seen, yield, `SELECT sources, doc FROM calls WHERE id IN `+calls, args)
			}
			if errors.Is(err, errStopped) {
				return
			}
			if err != nil {
				yield(SourcedSpan{}, err)
				return
			}
		}
	}
}

// packs lists where spans may be that are asked for.
func (q *SpanQuery) packs(ctx context.Context, p *partition) ([]packOf, error) {
	where, args := q.conditions()
	if len(where) == 0 {
		return packsOf(ctx, p, func(entryOf) bool { return true }, "")
	}
	wanted := map[telemetry.TraceID]bool{}
	err := each(ctx, p, func(scan func(...any) error) error {
		var id []byte
		err := scan(&id)
		if err == nil {
			wanted[telemetry.TraceID(id)] = true
		}
		return err
	}, "SELECT trace FROM traces"+and(where), args...)
	if err != nil || len(wanted) == 0 {
		return nil, err
	}
	traces := "FROM traces" + and(where)
	return packsOf(ctx, p, func(e entryOf) bool { return wanted[e.trace] },
		"WHERE id IN (SELECT pack "+traces+" UNION SELECT pack FROM pack_traces WHERE trace IN (SELECT trace "+traces+"))", append(args, args...)...)
}

// errStopped says that the reader wants no more.
var errStopped = errors.New("the reader stopped")

type spanKey struct {
	trace telemetry.TraceID
	span  telemetry.SpanID
}

func (a *Archive) eachCalls(ctx context.Context, p *partition, q *SpanQuery, seen map[spanKey]bool, yield func(SourcedSpan, error) bool, query string, args []any) error {
	return each(ctx, p, func(scan func(...any) error) error {
		var text string
		var doc []byte
		if err := scan(&text, &doc); err != nil {
			return err
		}
		var sources []telemetry.Source
		if err := json.Unmarshal([]byte(text), &sources); err != nil {
			return err
		}
		t, err := a.codec.Traces(doc)
		if err != nil {
			return err
		}
		for i, resource := range t.ResourceSpans().All() {
			if !q.yieldFrom(sources[i], resource, seen, yield) {
				return errStopped
			}
		}
		return nil
	}, query, args...)
}

func (q *SpanQuery) yieldFrom(from telemetry.Source, resource ptrace.ResourceSpans, seen map[spanKey]bool, yield func(SourcedSpan, error) bool) bool {
	for _, scope := range resource.ScopeSpans().All() {
		for _, span := range scope.Spans().All() {
			key := spanKey{telemetry.TraceID(span.TraceID()), telemetry.SpanID(span.SpanID())}
			if seen[key] || !q.takes(from, span) {
				continue
			}
			seen[key] = true
			if !yield(SourcedSpan{from, resource.Resource().Attributes(), scope.Scope(), span}, nil) {
				return false
			}
		}
	}
	return true
}

func (q *SpanQuery) takes(from telemetry.Source, span ptrace.Span) bool {
	at := int64(span.EndTimestamp())
	if !q.Since.IsZero() && at < q.Since.UnixNano() || !q.Until.IsZero() && at >= q.Until.UnixNano() {
		return false
	}
	if q.From != nil && !q.From(from) {
		return false
	}
	if len(q.Traces) == 0 {
		return true
	}
	for _, id := range q.Traces {
		if id == telemetry.TraceID(span.TraceID()) {
			return true
		}
	}
	return false
}

// conditions are about rows of traces.
func (q *SpanQuery) conditions() (where []string, args []any) {
	add := func(condition string, arg any) { where, args = append(where, condition), append(args, arg) }
	if len(q.Traces) > 0 {
		marks, ids := traceList(q.Traces)
		where, args = append(where, "trace IN "+marks), append(args, ids...)
	}
	if q.Runtime != "" {
		add("runtime = ?", q.Runtime)
	}
	if q.Session != "" {
		add("session = ?", q.Session)
	}
	if !q.Since.IsZero() {
		add("finish >= ?", q.Since.UnixNano())
	}
	if !q.Until.IsZero() {
		add("start < ?", q.Until.UnixNano())
	}
	return where, args
}
