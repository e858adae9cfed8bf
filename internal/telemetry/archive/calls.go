package archive

import (
	"context"
	"encoding/json"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

// calls writes service spans, and what each adds to the sums.
func (t *transaction) calls(ctx context.Context, c telemetry.Calls) error {
	sources, err := json.Marshal(c.Sources)
	if err != nil {
		return err
	}
	done, err := t.prepared.calls.ExecContext(ctx, string(sources), c.Doc)
	if err != nil {
		return err
	}
	row, err := done.LastInsertId()
	if err != nil {
		return err
	}
	for _, b := range c.Begun {
		t.active.note(b.Source, b.Fact.End)
		if err := t.measureSpan(ctx, b.Source, b.Fact); err != nil {
			return err
		}
	}
	return t.begin(ctx, row, c.Begun)
}

// begin writes the rows of traces whose service spans are in one of the calls.
func (t *transaction) begin(ctx context.Context, calls int64, begun []telemetry.Begun) error {
	all := rows{one: t.prepared.begun, many: t.prepared.manyBegun, width: begunArgs}
	var from boxedSource
	row := any(calls)
	for i := range begun {
		b := &begun[i]
		f, errors := &b.Fact, 0
		if f.Error != "" {
			errors = 1
		}
		if i == 0 || b.Source != begun[i-1].Source {
			from = boxedSource{b.Source.Session, b.Source.Runtime, b.Source.Endpoint, b.Source.Caller}
		}
		start, end := any(f.Start), any(f.End)
		err := all.add(ctx, b.Trace[:], from.session, from.runtime, from.endpoint, from.caller, f.Name, start, end,
			start, end, errors, firstBytes(f.Error, maxError), row)
		if err != nil {
			return err
		}
	}
	return all.flush(ctx)
}

// boxedSource is what rows say of a source, as arguments: the calls of a batch are often of one session, and each argument that is made
// is an allocation.
type boxedSource struct{ session, runtime, endpoint, caller any }

// begunArgs is how many arguments a row of upsertBegun has.
const begunArgs = 13

// upsertBegun writes so many traces of one service span. The agent's spans may have come before it.
func upsertBegun(rows int) string {
	return traceColumns + repeated("(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, 0, ?, ?, 0, 0, 0, 0, 0, 0, 0, 0, ?, NULL)", rows) + mergeTrace
}

// readCalls adds to a trace the service span with which a call began it.
func (a *Archive) readCalls(ctx context.Context, r *reader) error {
	for _, p := range a.all() {
		err := each(ctx, p, func(scan func(...any) error) error {
			var text string
			var doc []byte
			if err := scan(&text, &doc); err != nil {
				return err
			}
			var sources []telemetry.Source
			if err := json.Unmarshal([]byte(text), &sources); err != nil {
				return err
			}
			spans, err := a.codec.Traces(doc)
			if err != nil {
				return err
			}
			r.takeCall(sources, spans)
			return nil
		}, `SELECT c.sources, c.doc FROM traces t JOIN calls c ON c.id = t.calls WHERE t.trace = ?`, r.id[:])
		if err != nil {
			return err
		}
	}
	return nil
}

// takeCall takes what is of the trace from a document of many.
func (r *reader) takeCall(sources []telemetry.Source, all ptrace.Traces) {
	for i, resource := range all.ResourceSpans().All() {
		spans := resource.ScopeSpans().At(0).Spans()
		spans.RemoveIf(func(s ptrace.Span) bool { return telemetry.TraceID(s.TraceID()) != r.id })
		if spans.Len() > 0 && i < len(sources) {
			one := ptrace.NewTraces()
			resource.MoveTo(one.ResourceSpans().AppendEmpty())
			r.take(sources[i], one)
		}
	}
}
