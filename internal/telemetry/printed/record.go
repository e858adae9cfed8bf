package printed

import (
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/moorage-dev/moorage/internal/sandbox/journal"
	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
	"github.com/moorage-dev/moorage/internal/telemetry/emf"
)

// batch makes lines of one sandbox into log records.
func (f *Follower) batch(from telemetry.Source, lines []journal.Line) (telemetry.Batch, error) {
	doc := plog.NewLogs()
	records := doc.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	out := telemetry.Lines{
		Source: from, Count: len(lines), First: lines[0].Time.UnixNano(), Last: lines[len(lines)-1].Time.UnixNano(),
		Mark: lines[len(lines)-1].Next,
	}
	var points []telemetry.Point
	for i, l := range lines {
		if l.Time.IsZero() { // a remark of the journal's own, beside the line after it
			l.Time = lines[min(i+1, len(lines)-1)].Time
		}
		record := records.AppendEmpty()
		fill(record, l)
		points = append(points, emf.Parse(from, l.Text, l.Time)...)
		out.First, out.Last = min(out.First, l.Time.UnixNano()), max(out.Last, l.Time.UnixNano())
		if id := telemetry.TraceID(record.TraceID()); id != (telemetry.TraceID{}) && !slices.Contains(out.Traces, id) {
			out.Traces = append(out.Traces, id)
		}
	}
	packed, err := f.Archive.Codec().PackLogs(doc)
	out.Doc = packed
	return telemetry.Batch{Received: time.Now(), Lines: []telemetry.Lines{out}, Points: points}, err
}

func fill(record plog.LogRecord, l journal.Line) {
	record.SetTimestamp(pcommon.NewTimestampFromTime(l.Time))
	record.Body().SetStr(l.Text)
	record.Attributes().PutStr(archive.StreamKey, l.Stream)
	Read(record, l.Text)
}

// Read tells a record what its line says of itself: how bad it is, its request, trace and span.
func Read(record plog.LogRecord, text string) {
	said := parse(text)
	record.SetSeverityText(said.Level)
	if said.RequestID != "" {
		record.Attributes().PutStr(archive.RequestKey, said.RequestID)
	}
	if id, ok := telemetry.ParseTraceID(said.trace()); ok {
		record.SetTraceID(pcommon.TraceID(id))
	}
	var id pcommon.SpanID
	if raw, err := hex.DecodeString(said.span()); err == nil && len(raw) == len(id) {
		copy(id[:], raw)
		record.SetSpanID(id)
	}
}

// line is what a line of JSON may say of itself: the AgentCore SDK's fields, those of OpenTelemetry's
// logging, and what loggers usually write.
type line struct {
	Level     string `json:"level"`
	Severity  string `json:"severity"`
	RequestID string `json:"requestId"`
	TraceID   string `json:"traceId"`
	SpanID    string `json:"spanId"`
	Trace     string `json:"trace_id"`
	Span      string `json:"span_id"`
	OtelTrace string `json:"otelTraceID"`
	OtelSpan  string `json:"otelSpanID"`
}

func (l line) trace() string { return firstOf(l.TraceID, l.Trace, l.OtelTrace) }
func (l line) span() string  { return firstOf(l.SpanID, l.Span, l.OtelSpan) }

func firstOf(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return ""
}

func parse(text string) (l line) {
	if !strings.HasPrefix(text, "{") || json.Unmarshal([]byte(text), &l) != nil {
		return line{}
	}
	l.Level = strings.ToUpper(firstOf(l.Level, l.Severity))
	return l
}
