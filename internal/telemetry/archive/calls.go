package archive

import (
	"context"
	"database/sql"
	"encoding/json"
	"strings"

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
		t.session(b.Source, b.Fact.End)
		if err := t.measureSpan(ctx, b.Source, b.Fact); err != nil {
			return err
		}
	}
	return t.begin(ctx, row, c.Begun)
}

// manyRows is how many rows of traces one statement writes: each run of one has a price of its own.
const manyRows = 32

// begin writes the rows of traces whose service spans are in one of the calls.
func (t *transaction) begin(ctx context.Context, calls int64, begun []telemetry.Begun) error {
	for len(begun) >= manyRows {
		if err := beginWith(ctx, t.prepared.manyBegun, calls, begun[:manyRows]); err != nil {
			return err
		}
		begun = begun[manyRows:]
	}
	for i := range begun {
		if err := beginWith(ctx, t.prepared.begun, calls, begun[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

func beginWith(ctx context.Context, statement *sql.Stmt, calls int64, begun []telemetry.Begun) error {
	args := make([]any, 0, len(begun)*begunArgs)
	for _, b := range begun {
		f, errors := b.Fact, 0
		if f.Error != "" {
			errors = 1
		}
		args = append(args, b.Trace[:], b.Source.Session, b.Source.Runtime, b.Source.Endpoint, b.Source.Caller, f.Name, f.Start, f.End,
			f.Start, f.End, errors, firstBytes(f.Error, maxError), calls)
	}
	_, err := statement.ExecContext(ctx, args...)
	return err
}

// begunArgs is how many arguments a row of upsertBegun has.
const begunArgs = 13

// upsertBegun writes so many traces of one service span. The agent's spans may have come before it.
func upsertBegun(rows int) string {
	const row = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, 0, ?, ?, 0, 0, 0, 0, 0, 0, 0, 0, ?)"
	return "INSERT INTO traces VALUES " + row + strings.Repeat(", "+row, rows-1) + mergeTrace
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
