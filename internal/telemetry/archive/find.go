package archive

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/telemetry"
)

// findFor is how long the trace of a span is looked for. No index has the ids of spans, which would take more of the
// disk than the spans' sums: their packs are read, the newest first, a hundred thousand spans in about a third of a second.
const findFor = 5 * time.Second

// traceOf finds the trace that a span is in, if there is one. Errors: NotFound when it is not in what was looked through,
// and there is more.
func (a *Archive) traceOf(ctx context.Context, span telemetry.SpanID) (id telemetry.TraceID, found bool, err error) {
	within, cancel := context.WithTimeout(ctx, findFor)
	defer cancel()
	f := finder{Archive: a, span: span}
	for _, p := range slices.Backward(a.all()) {
		err := each(within, p, f.inPack, `SELECT chunks, doc FROM packs ORDER BY id DESC`)
		if err == nil {
			err = each(within, p, f.inCalls, `SELECT doc FROM calls ORDER BY id DESC`)
		}
		switch {
		case errors.Is(err, errEnough):
			return f.trace, true, nil
		case err != nil && within.Err() != nil && ctx.Err() == nil:
			return id, false, moorage.Errorf(moorage.NotFound, "no span of those since %s has the id %s, and what is older was not looked through: ask for its trace", p.began.UTC().Format(time.RFC3339), span)
		case err != nil:
			return id, false, err
		}
	}
	return id, false, nil
}

// finder looks for a span in what is stored. Its methods return errEnough once they have it.
type finder struct {
	*Archive
	span  telemetry.SpanID
	trace telemetry.TraceID // found
}

func (f *finder) inPack(scan func(...any) error) error {
	var contents, doc []byte
	if err := scan(&contents, &doc); err != nil {
		return err
	}
	raw, err := f.codec.Spans(doc)
	if err != nil || !bytes.Contains(raw, f.span[:]) {
		return err
	}
	entries, err := readEntries(contents)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.size > len(raw) {
			return errContents
		}
		c := chunk{message: raw[:e.size:e.size]}
		raw = raw[e.size:]
		if !bytes.Contains(c.message, f.span[:]) {
			continue
		}
		t, err := c.traces()
		if err != nil {
			return err
		}
		if err := f.in(t); err != nil {
			return err
		}
	}
	return nil
}

func (f *finder) inCalls(scan func(...any) error) error {
	var doc []byte
	if err := scan(&doc); err != nil {
		return err
	}
	t, err := f.codec.Traces(doc)
	if err != nil {
		return err
	}
	return f.in(t)
}

// in looks at spans themselves: others may only name the one that is looked for.
func (f *finder) in(t ptrace.Traces) error {
	for _, resource := range t.ResourceSpans().All() {
		for _, scope := range resource.ScopeSpans().All() {
			for _, span := range scope.Spans().All() {
				if telemetry.SpanID(span.SpanID()) == f.span {
					f.trace = telemetry.TraceID(span.TraceID())
					return errEnough
				}
			}
		}
	}
	return nil
}
