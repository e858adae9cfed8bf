package logs

import (
	"cmp"
	"container/heap"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"iter"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
)

// event is something in a log group: a log record, or a span.
type event struct {
	record *archive.Record
	span   *archive.SourcedSpan
}

// group is what a group's name stands for.
type group struct {
	name    string
	from    func(telemetry.Source) bool
	runtime *string   // of all its sources, where that is one
	lines   bool      // log records belong to it
	spans   string    // the stream that spans are in; "" where they do not belong to it
	since   time.Time // what is older is past the group's retention; zero where it has none
}

func newGroup(name string) group {
	g := group{name: name, lines: true, from: func(s telemetry.Source) bool { return groupName(s) == name }}
	if runtime, _, ok := runtimeOf(name); ok {
		g.runtime, g.spans = &runtime, spanStream
	} else if name == allSpans {
		return group{name: name, from: func(telemetry.Source) bool { return true }, spans: "default"}
	} else if service, ok := strings.CutPrefix(name, otlpPrefix); ok {
		g.runtime, g.spans = &service, spanStream
	}
	return g
}

// kept is from when on something that is asked for from a time on is there.
func (g group) kept(since time.Time) time.Time {
	if g.since.After(since) {
		return g.since
	}
	return since
}

// GroupName is the group that a source's records are in.
func GroupName(s telemetry.Source) string { return groupName(s) }

func groupName(s telemetry.Source) string {
	switch {
	case s.Group != "":
		return s.Group
	case s.Endpoint != "":
		return runtimePrefix + s.Runtime + "-" + s.Endpoint
	}
	return otlpPrefix + s.Runtime
}

// group is where an event is.
func (e event) group() string {
	if e.span != nil {
		return groupName(e.span.Source)
	}
	return groupName(e.record.Source)
}

// stream is the log stream of an event in a group.
func (e event) stream(g group) string {
	if e.span != nil {
		return g.spans
	}
	attributes := e.record.Log.Attributes()
	if name, ok := attributes.Get(archive.LogStreamKey); ok {
		return name.AsString()
	}
	if _, ok := attributes.Get(archive.StreamKey); ok {
		return printedStream(e.time(), e.record.Source)
	}
	return otelStream
}

func printedStream(day time.Time, from telemetry.Source) string {
	name := from.Session
	if name == "" {
		name = from.Sandbox
	}
	return day.UTC().Format("2006/01/02/") + printedMark + name
}

func (e event) time() time.Time { return time.Unix(0, e.at()) }

func (e event) at() int64 {
	if e.span != nil {
		return int64(e.span.Span.EndTimestamp())
	}
	return e.record.Place.Time
}

// ingested is when an event came in, as far as that is told.
func (e event) ingested() time.Time {
	if e.record != nil && e.record.Log.ObservedTimestamp() != 0 {
		return e.record.Log.ObservedTimestamp().AsTime()
	}
	return e.time()
}

// id names an event for as long as it is kept.
func (e event) id() string {
	if e.span != nil {
		return e.span.Span.TraceID().String() + e.span.Span.SpanID().String()
	}
	return e.record.ID
}

// token is where an event is among others, in a form to hand out.
func (e event) token() string {
	where := ""
	if e.span != nil {
		where = fmt.Sprintf("s %d %s", e.at(), e.id())
	} else {
		p := e.record.Place
		where = fmt.Sprintf("r %d %d %d %d", p.Time, p.Partition, p.Block, p.N)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(where))
}

// position is a token that was read.
type position struct {
	place *archive.Place
	at    int64
	id    string
}

func readToken(token string) (p position, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	var kind string
	if err == nil {
		_, err = fmt.Sscan(string(raw[:min(len(raw), 1)]), &kind)
	}
	switch {
	case err == nil && kind == "r":
		p.place = &archive.Place{}
		_, err = fmt.Sscanf(string(raw), "r %d %d %d %d", &p.place.Time, &p.place.Partition, &p.place.Block, &p.place.N)
	case err == nil && kind == "s":
		_, err = fmt.Sscanf(string(raw), "s %d %s", &p.at, &p.id)
	case err == nil:
		err = fmt.Errorf("unknown kind")
	}
	if err != nil {
		return p, wrong("The specified nextToken is invalid: pass on the one of the answer before")
	}
	return p, nil
}

// search says which events of a group to read.
type search struct {
	since, until time.Time // from, before; zero is open
	streams      []string  // none is all lines
	prefix       string    // of the stream's name
	after        *position
	newest       bool // first
	match        func(message string) bool
}

// asksSpans reports whether the stream of spans is among those asked for.
func (q *search) asksSpans(g group) bool {
	if g.spans == "" {
		return false
	}
	if len(q.streams) == 0 && q.prefix == "" {
		return !g.lines
	}
	return q.asks(g.spans)
}

func (q *search) asks(stream string) bool {
	if q.prefix != "" && !strings.HasPrefix(stream, q.prefix) {
		return false
	}
	if len(q.streams) == 0 {
		return true
	}
	for _, name := range q.streams {
		if name == stream {
			return true
		}
	}
	return false
}

// events yields what is asked for, by time.
func (s *Service) events(ctx context.Context, g group, q search) iter.Seq2[event, error] {
	return func(yield func(event, error) bool) {
		all := s.lines(ctx, g, &q)
		if q.asksSpans(g) {
			all = s.spansInOrder(ctx, g, &q)
		}
		for e, err := range all {
			if err == nil && (!q.asks(e.stream(g)) || q.match != nil && !q.match(s.message(e))) {
				continue
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

func (s *Service) lines(ctx context.Context, g group, q *search) iter.Seq2[event, error] {
	return func(yield func(event, error) bool) {
		wanted := archive.RecordQuery{From: g.from, Runtime: g.runtime, Since: g.kept(q.since), Until: q.until, Newest: q.newest}
		if q.after != nil {
			wanted.After = q.after.place
		}
		for record, err := range s.Archive.Records(ctx, wanted) {
			if !yield(event{record: &record}, err) || err != nil {
				return
			}
		}
	}
}

// maxSpans is how many spans are put in order at once: as many as any answer holds.
const maxSpans = 10_001

// spansInOrder reads all spans of the time and keeps the first.
func (s *Service) spansInOrder(ctx context.Context, g group, q *search) iter.Seq2[event, error] {
	return func(yield func(event, error) bool) {
		kept := &spanHeap{newest: q.newest}
		for e, err := range s.spans(ctx, g, archive.SpanQuery{Since: q.since, Until: q.until}) {
			if err != nil {
				yield(e, err)
				return
			}
			if q.after != nil && !kept.before(q.after.at, q.after.id, e.at(), e.id()) {
				continue
			}
			if heap.Push(kept, e); kept.Len() > maxSpans {
				heap.Pop(kept)
			}
		}
		ordered := make([]event, kept.Len())
		for i := len(ordered) - 1; i >= 0; i-- {
			ordered[i] = heap.Pop(kept).(event)
		}
		for _, e := range ordered {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (s *Service) spans(ctx context.Context, g group, q archive.SpanQuery) iter.Seq2[event, error] {
	q.From, q.Since = g.from, g.kept(q.Since)
	if g.runtime != nil {
		q.Runtime = *g.runtime
	}
	return func(yield func(event, error) bool) {
		for span, err := range s.Archive.Spans(ctx, q) {
			if !yield(event{span: &span}, err) || err != nil {
				return
			}
		}
	}
}

// spanHeap has the last of the kept on top.
type spanHeap struct {
	events []event
	newest bool
}

// before reports whether one span comes before another in the order of reading.
func (h *spanHeap) before(at int64, id string, otherAt int64, other string) bool {
	order := cmp.Or(cmp.Compare(at, otherAt), cmp.Compare(id, other))
	return order < 0 != h.newest && order != 0
}

func (h *spanHeap) Len() int      { return len(h.events) }
func (h *spanHeap) Swap(i, j int) { h.events[i], h.events[j] = h.events[j], h.events[i] }
func (h *spanHeap) Push(e any)    { h.events = append(h.events, e.(event)) }
func (h *spanHeap) Less(i, j int) bool {
	a, b := h.events[i], h.events[j]
	return h.before(b.at(), b.id(), a.at(), a.id())
}

func (h *spanHeap) Pop() any {
	last := h.events[len(h.events)-1]
	h.events = h.events[:len(h.events)-1]
	return last
}

func hexOf[T pcommon.TraceID | pcommon.SpanID](id T) string {
	switch id := any(id).(type) {
	case pcommon.TraceID:
		if !id.IsEmpty() {
			return hex.EncodeToString(id[:])
		}
	case pcommon.SpanID:
		if !id.IsEmpty() {
			return hex.EncodeToString(id[:])
		}
	}
	return ""
}
