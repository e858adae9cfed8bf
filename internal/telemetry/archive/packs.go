package archive

import (
	"context"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

// addition is what a chunk adds to its trace.
type addition struct {
	chunk   telemetry.Chunk
	fresh   []telemetry.Fact // spans that were not there
	changes []change
	first   bool // nothing of the trace was there
}

// pack writes a pack, and what its chunks add to the sums. Spans that are there already add nothing, and a pack
// of such alone is not written again.
func (t *transaction) pack(ctx context.Context, p telemetry.Pack) error {
	additions := make([]addition, 0, len(p.Chunks))
	var contents []byte
	for _, c := range p.Chunks {
		a, err := t.addition(ctx, c)
		if err != nil {
			return err
		}
		if len(a.fresh) > 0 {
			additions = append(additions, a)
		}
		source, err := t.source(ctx, c.Source)
		if err != nil {
			return err
		}
		contents = entryOf{c.Trace, source, c.Size, c.Resources}.appendTo(contents)
	}
	if len(additions) == 0 {
		return nil
	}
	done, err := t.prepared.pack.ExecContext(ctx, contents, p.Doc)
	if err != nil {
		return err
	}
	row, err := done.LastInsertId()
	if err != nil {
		return err
	}
	for _, a := range additions {
		if err := t.chunk(ctx, row, a); err != nil {
			return err
		}
	}
	return nil
}

func (t *transaction) addition(ctx context.Context, c telemetry.Chunk) (a addition, err error) {
	known, err := t.outlines.of(ctx, c.Trace)
	if err != nil {
		return a, err
	}
	a = addition{chunk: c, first: len(known.spans) == 0}
	if len(known.spans)+len(c.Facts) > MaxTraceSpans {
		t.Log.Warn("a trace has too many spans; the rest of it is not kept", "trace", c.Trace.String(), "spans", len(known.spans))
		return a, nil
	}
	a.fresh = known.add(c.Facts, t.Price)
	t.outlines.grown(len(a.fresh))
	if len(a.fresh) > 0 {
		a.changes = known.recount()
		t.to.known.add(c.Trace)
	}
	return a, nil
}

// chunk writes what a chunk of a pack adds.
func (t *transaction) chunk(ctx context.Context, pack int64, a addition) error {
	var begins any
	if a.first {
		begins = pack
	} else if _, err := t.prepared.packTrace.ExecContext(ctx, a.chunk.Trace[:], pack); err != nil {
		return err
	}
	sum := sumOf(a.fresh, a.changes)
	t.active.note(a.chunk.Source, sum.end)
	if err := t.trace(ctx, a.chunk, sum, begins); err != nil {
		return err
	}
	return t.measure(ctx, a.chunk.Source, a.fresh, a.changes)
}

// maxError bounds the words of a failure in lists, in bytes.
const maxError = 2000

func (t *transaction) trace(ctx context.Context, c telemetry.Chunk, s sum, begins any) error {
	var rootStart, rootEnd any
	if s.rooted {
		rootStart, rootEnd = s.rootStart, s.rootEnd
	}
	from, u := c.Source, s.usage
	return t.traces.add(ctx, c.Trace[:], from.Session, from.Runtime, from.Endpoint, from.Caller, s.name, s.start, s.end,
		rootStart, rootEnd, s.spans, s.hidden, s.errors, s.failure, s.models, s.tools,
		u.Input, u.Output, u.Cached, u.CacheWritten, u.Reasoning, s.cost, begins)
}
