package archive

import (
	"cmp"
	"context"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/genai"
)

// Trace returns a whole trace, with its log lines. NotFound when nothing of it is here.
func (a *Archive) Trace(ctx context.Context, id telemetry.TraceID) (telemetry.Trace, error) {
	chunks, err := a.chunks(ctx, id)
	if err != nil {
		return telemetry.Trace{}, err
	}
	r := newReader(id)
	if err := a.readCalls(ctx, r); err != nil {
		return telemetry.Trace{}, err
	}
	for _, c := range chunks {
		t, err := c.traces()
		if err != nil {
			return telemetry.Trace{}, err
		}
		r.take(c.source, t)
	}
	if len(r.facts) == 0 {
		return telemetry.Trace{}, moorage.Errorf(moorage.NotFound, "no trace has the id %s", id)
	}
	if err := a.readLogs(ctx, r); err != nil {
		return telemetry.Trace{}, err
	}
	out := r.trace(a.Price)
	if out.SessionID != "" {
		if err := a.readPrinted(ctx, r, out.SessionID, out.Start.UnixNano(), out.End.UnixNano()); err != nil {
			return out, err
		}
	}
	slices.SortStableFunc(r.logs, func(a, b telemetry.Log) int { return a.Time.Compare(b.Time) })
	out.Logs = r.logs
	return out, nil
}

// reader puts a trace together.
type reader struct {
	id        telemetry.TraceID
	facts     []telemetry.Fact
	spans     map[telemetry.SpanID]origin
	resources []map[string]any
	logs      []telemetry.Log
	records   map[telemetry.SpanID][]plog.LogRecord
}

// origin is a span as it came.
type origin struct {
	span     ptrace.Span
	scope    string
	resource int
	source   telemetry.Source
}

func newReader(id telemetry.TraceID) *reader {
	return &reader{id: id, spans: map[telemetry.SpanID]origin{}, resources: []map[string]any{}, logs: []telemetry.Log{}, records: map[telemetry.SpanID][]plog.LogRecord{}}
}

func (r *reader) take(source telemetry.Source, t ptrace.Traces) {
	for _, resource := range t.ResourceSpans().All() {
		place := r.resource(resource.Resource().Attributes().AsRaw())
		for _, scope := range resource.ScopeSpans().All() {
			for _, span := range scope.Spans().All() {
				id := telemetry.SpanID(span.SpanID())
				if _, known := r.spans[id]; known {
					continue
				}
				name := scope.Scope().Name()
				r.spans[id] = origin{span, name, place, source}
				r.facts = append(r.facts, genai.DrawFrom(source, span, name))
			}
		}
	}
}

// resource returns the place of a resource in the list, which holds equal ones once.
func (r *reader) resource(attributes map[string]any) int {
	for i, known := range r.resources {
		if reflect.DeepEqual(known, attributes) {
			return i
		}
	}
	r.resources = append(r.resources, attributes)
	return len(r.resources) - 1
}

func (r *reader) trace(price func(string, telemetry.Usage) (int64, bool)) telemetry.Trace {
	order := grow(r.facts)
	known := newOutline()
	known.add(r.facts, price)
	sum := sumOf(r.facts, known.recount())
	row := traceRow{trace: r.id, from: r.spans[first(order).fact.ID].source, sum: sum}
	out := telemetry.Trace{TraceSummary: row.summary(), Resources: r.resources, Spans: make([]telemetry.Span, 0, len(order))}
	out.Hidden = 0
	for _, b := range order {
		span := r.view(b, sum.start)
		if span.Model != nil {
			span.Model.Counted = known.spans[b.fact.ID].counted
			var cost int64
			cost, span.Model.Priced = price(b.fact.Model, b.fact.Usage)
			span.Model.CostUSD = dollars(cost)
		}
		if b.noise {
			out.Hidden++
		}
		out.Spans = append(out.Spans, span)
	}
	return out
}

// first is the branch in whose session a trace began.
func first(order []*branch) *branch {
	return slices.MinFunc(order, func(a, b *branch) int {
		return cmp.Or(cmp.Compare(a.depth, b.depth), cmp.Compare(a.fact.Start, b.fact.Start))
	})
}

// view shows one span.
func (r *reader) view(b *branch, start int64) telemetry.Span {
	f, o := b.fact, r.spans[b.fact.ID]
	s := telemetry.Span{
		SpanID: f.ID.String(), Depth: b.depth, Name: f.Name, Kind: f.Kind, Noise: b.noise, Start: instant(f.Start),
		OffsetMs: milliseconds(f.Start - start), DurationMs: milliseconds(f.End - f.Start), SelfMs: milliseconds(b.alone()),
		Status: strings.ToLower(o.span.Status().Code().String()), Error: f.Error,
		SpanKind: strings.ToLower(o.span.Kind().String()), Scope: o.scope, Resource: o.resource, Attributes: o.span.Attributes().AsRaw(),
	}
	if b.parent != nil {
		s.ParentID = b.parent.fact.ID.String()
	}
	if !f.Parent.IsZero() && s.ParentID != f.Parent.String() {
		s.ReportedID = f.Parent.String()
	}
	for _, e := range o.span.Events().All() {
		s.Events = append(s.Events, telemetry.Event{Name: e.Name(), Time: moment(e.Timestamp()), Attributes: e.Attributes().AsRaw()})
	}
	for _, l := range o.span.Links().All() {
		s.Links = append(s.Links, telemetry.Link{TraceID: l.TraceID().String(), SpanID: l.SpanID().String()})
	}
	read := genai.Read(o.span, f)
	for _, record := range r.records[f.ID] {
		read.ReadLog(record)
	}
	s.Agent, s.Model, s.Tool, s.Input, s.Output = read.Agent, read.Model, read.Tool, read.Input, read.Output
	return s
}

func moment(t pcommon.Timestamp) time.Time { return t.AsTime() }
