package archive

import (
	"context"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

// readLogs adds the log records of a trace.
func (a *Archive) readLogs(ctx context.Context, r *reader) error {
	blocks, err := a.collect(ctx, `SELECT b.id, s.doc, b.doc FROM block_traces t JOIN blocks b ON b.id = t.block
		JOIN sources s ON s.id = b.source WHERE t.trace = ? ORDER BY b.id`, r.id[:])
	if err != nil {
		return err
	}
	for _, block := range blocks {
		err := a.records(block, func(id string, record plog.LogRecord) {
			if telemetry.TraceID(record.TraceID()) != r.id {
				return
			}
			r.logs = append(r.logs, logView(block.source, id, record))
			span := telemetry.SpanID(record.SpanID())
			r.records[span] = append(r.records[span], record)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// records calls yield with every record of a block, and its id.
func (a *Archive) records(block stored, yield func(id string, record plog.LogRecord)) error {
	l, err := a.codec.Logs(block.doc)
	if err != nil {
		return err
	}
	n := 0
	for _, resource := range l.ResourceLogs().All() {
		for _, scope := range resource.ScopeLogs().All() {
			for _, record := range scope.LogRecords().All() {
				yield(block.id+"-"+strconv.Itoa(n), record)
				n++
			}
		}
	}
	return nil
}

// Attributes by which lines that an agent printed are told from records that came as OTLP, and the
// request that a line belongs to.
const (
	StreamKey  = "moorage.stream"
	RequestKey = "moorage.request_id"
)

func logView(source telemetry.Source, id string, record plog.LogRecord) telemetry.Log {
	out := telemetry.Log{
		ID: id, Time: moment(logTime(record)), Stream: "otel", Severity: record.SeverityText(), Message: record.Body().AsString(),
		SessionID: source.Session, Runtime: source.Runtime,
	}
	if !record.TraceID().IsEmpty() {
		out.TraceID = record.TraceID().String()
	}
	if !record.SpanID().IsEmpty() {
		out.SpanID = record.SpanID().String()
	}
	if v, ok := record.Attributes().Get(StreamKey); ok {
		out.Stream = v.AsString()
		if v, ok := record.Attributes().Get(RequestKey); ok {
			out.RequestID = v.AsString()
		}
		return out
	}
	if record.Attributes().Len() > 0 {
		out.Attributes = record.Attributes().AsRaw()
	}
	if t := record.Body().Type(); t == pcommon.ValueTypeMap || t == pcommon.ValueTypeSlice {
		out.Body = record.Body().AsRaw()
	}
	return out
}

// logTime is when a record was written, or else when it was seen.
func logTime(record plog.LogRecord) pcommon.Timestamp {
	if record.Timestamp() != 0 {
		return record.Timestamp()
	}
	return record.ObservedTimestamp()
}

// sessionLogs returns the log lines of a session that belong to no trace, by time.
func (a *Archive) sessionLogs(ctx context.Context, session string) (out []telemetry.Log, cut bool, err error) {
	blocks, err := a.collect(ctx, `SELECT b.id, s.doc, b.doc FROM blocks b JOIN sources s ON s.id = b.source
		WHERE b.session = ? ORDER BY b.first, b.id`, session)
	if err != nil {
		return nil, false, err
	}
	for _, block := range blocks {
		err := a.records(block, func(id string, record plog.LogRecord) {
			if record.TraceID().IsEmpty() {
				out = append(out, logView(block.source, id, record))
			}
		})
		if err != nil {
			return nil, false, err
		}
		if len(out) > maxSessionLogs {
			return out[:maxSessionLogs], true, nil
		}
	}
	slices.SortStableFunc(out, func(a, b telemetry.Log) int { return a.Time.Compare(b.Time) })
	return out, false, nil
}

// Mark returns how far the journal of a sandbox is kept, or whatever else has a mark of this key: no mark ever goes back.
func (a *Archive) Mark(ctx context.Context, sandbox string) (next int64, err error) {
	for _, p := range a.all() {
		err := each(ctx, p, func(scan func(...any) error) error {
			var at int64
			err := scan(&at)
			next = max(next, at)
			return err
		}, "SELECT next FROM marks WHERE sandbox = ?", sandbox)
		if err != nil {
			return 0, err
		}
	}
	return next, nil
}

// after is how long after a trace's end a line that names no trace is still taken to be about it: last
// words come when the call has failed already.
const after = time.Second

// readPrinted adds to a trace what its session's sandbox printed while it ran, where the line does not
// say itself what it is about.
func (a *Archive) readPrinted(ctx context.Context, r *reader, session string, from, to int64) error {
	blocks, err := a.collect(ctx, `SELECT b.id, s.doc, b.doc FROM blocks b JOIN sources s ON s.id = b.source
		WHERE b.session = ? AND b.first <= ? AND b.last >= ? ORDER BY b.first, b.id LIMIT 200`, session, to+int64(after), from)
	if err != nil {
		return err
	}
	for _, block := range blocks {
		err := a.records(block, func(id string, record plog.LogRecord) {
			at := int64(logTime(record))
			if record.TraceID().IsEmpty() && from <= at && at <= to+int64(after) && len(r.logs) < maxSessionLogs {
				l := logView(block.source, id, record)
				l.Inferred = true
				r.logs = append(r.logs, l)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}
