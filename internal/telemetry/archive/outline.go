package archive

import (
	"context"

	lru "github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/genai"
)

// MaxTraceSpans is how many spans of one trace are kept. More is refused.
const MaxTraceSpans = 100_000

// outline is what the writer remembers of a trace: its spans, and which model calls it counted.
type outline struct {
	spans map[telemetry.SpanID]node
	calls []telemetry.SpanID // the model calls among them, in order of arrival
}

// node is a span of an outline. Cost and usage are those of a model call.
type node struct {
	parent  telemetry.SpanID
	kind    telemetry.Kind
	counted bool
	model   string
	usage   telemetry.Usage
	cost    int64
	start   int64
}

func newOutline() *outline { return &outline{} }

// add takes in spans that it does not know yet, and returns those.
func (o *outline) add(facts []telemetry.Fact, price func(string, telemetry.Usage) (int64, bool)) (fresh []telemetry.Fact) {
	if len(o.spans) == 0 {
		o.spans, fresh = make(map[telemetry.SpanID]node, len(facts)), make([]telemetry.Fact, 0, len(facts))
	}
	for _, f := range facts {
		if _, known := o.spans[f.ID]; known {
			continue // sent again, since its sender did not see our answer
		}
		n := node{parent: f.Parent, kind: f.Kind, model: f.Model, usage: f.Usage, start: f.Start}
		if f.Kind == telemetry.Model {
			n.cost, _ = price(f.Model, f.Usage)
			o.calls = append(o.calls, f.ID)
		}
		o.spans[f.ID] = n
		fresh = append(fresh, f)
	}
	return fresh
}

// maxClimb bounds how far up the tree an outer model call is looked for.
const maxClimb = 64

// outer returns the model call within which this one was made: the nearest above it without an agent or
// a tool in between. The framework's span of a call and the client library's are one call.
func (o *outline) outer(id telemetry.SpanID) (telemetry.SpanID, bool) {
	at := o.spans[id].parent
	for range maxClimb {
		n, ok := o.spans[at]
		switch {
		case !ok, n.kind == telemetry.Agent, n.kind == telemetry.Tool, n.kind == telemetry.Service:
			return telemetry.SpanID{}, false
		case n.kind == telemetry.Model:
			return at, true
		}
		at = n.parent
	}
	return telemetry.SpanID{}, false
}

// change is what counting anew adds to the sums, for one model call; it may take away.
type change struct {
	sign int64 // 1 or -1
	node
}

// recount decides which model calls count, those within which no other was made, and returns what
// changed since it was asked last.
func (o *outline) recount() (changes []change) {
	outer := map[telemetry.SpanID]bool{}
	for _, id := range o.calls {
		if above, ok := o.outer(id); ok {
			outer[above] = true
		}
	}
	for _, id := range o.calls {
		n := o.spans[id]
		if n.counted == !outer[id] {
			continue
		}
		n.counted = !outer[id]
		o.spans[id] = n
		c := change{1, n}
		if !n.counted {
			c.sign = -1
		}
		changes = append(changes, c)
	}
	return changes
}

// Bounds of the outlines in memory.
const (
	maxOutlines     = 4096
	maxOutlineSpans = 400_000 // in all of them, about 100 bytes each
)

// outlines holds those of the traces that were written last.
type outlines struct {
	archive *Archive
	recent  *lru.LRU[telemetry.TraceID, *outline]
	spans   int // in all of them
}

func newOutlines(a *Archive) *outlines {
	o := &outlines{archive: a}
	recent, err := lru.NewLRU(maxOutlines, func(_ telemetry.TraceID, old *outline) { o.spans -= len(old.spans) })
	if err != nil {
		panic(err) // only a size below 1 is refused
	}
	o.recent = recent
	return o
}

// of returns a trace's outline: the one in memory, or one drawn from what is on disk.
func (o *outlines) of(ctx context.Context, id telemetry.TraceID) (*outline, error) {
	if known, ok := o.recent.Get(id); ok {
		return known, nil
	}
	drawn := newOutline()
	if o.archive.mayHave(id) {
		chunks, err := o.archive.chunks(ctx, id)
		if err != nil {
			return nil, err
		}
		for _, c := range chunks {
			facts, err := c.facts()
			if err != nil {
				return nil, err
			}
			drawn.add(facts, o.archive.Price)
		}
		drawn.recount()
	}
	o.recent.Add(id, drawn)
	o.spans += len(drawn.spans)
	return drawn, nil
}

// grown notes that spans were added to an outline, and lets go of old ones when that is too much.
func (o *outlines) grown(n int) {
	o.spans += n
	for o.spans > maxOutlineSpans && o.recent.Len() > 1 {
		o.recent.RemoveOldest()
	}
}

// clear forgets them all: what a commit that failed had added is not on disk.
func (o *outlines) clear() { o.recent.Purge() }

// facts draws the facts of a chunk again.
func (c chunk) facts() (facts []telemetry.Fact, err error) {
	t, err := c.traces()
	if err != nil {
		return nil, err
	}
	for _, resource := range t.ResourceSpans().All() {
		for _, scope := range resource.ScopeSpans().All() {
			for _, span := range scope.Spans().All() {
				facts = append(facts, genai.DrawFrom(c.source, span, scope.Scope().Name()))
			}
		}
	}
	return facts, nil
}
