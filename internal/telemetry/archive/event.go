package archive

import (
	"fmt"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

// EventGroup is the log group into which the archive writes what happened to it, into its EventStream.
const (
	EventGroup  = "/moorage/events"
	EventStream = "default"
)

// event keeps a remark about the archive itself, among the log records. The writer alone calls it.
func (w *writer) event(format string, args ...any) {
	now := w.Now()
	doc := plog.NewLogs()
	record := doc.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	record.SetTimestamp(pcommon.NewTimestampFromTime(now))
	record.SetSeverityText("WARN")
	record.Body().SetStr(fmt.Sprintf(format, args...))
	record.Attributes().PutStr(LogStreamKey, EventStream)
	packed, err := w.codec.PackLogs(doc)
	if err != nil {
		w.Log.Error("pack an event", "err", err)
		return
	}
	lines := telemetry.Lines{Source: telemetry.Source{Group: EventGroup}, Doc: packed, Count: 1, First: now.UnixNano(), Last: now.UnixNano()}
	_ = w.keep([]*entry{{batch: telemetry.Batch{Received: now, Lines: []telemetry.Lines{lines}}}}) // it logs its failure
}

// forgotten says that a partition went, and why.
func (w *writer) forgotten(began time.Time, bytes int64, why string) {
	w.event("telemetry from %s on, %d bytes, is removed: %s", began.UTC().Format(time.RFC3339), bytes, why)
}
