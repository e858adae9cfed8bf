package otlp

import (
	"slices"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

// page is the log records of one source in the making.
type page struct {
	logs            plog.Logs
	resource, scope int // the request's that were copied last
	count           int
	first, last     int64
	traces          map[telemetry.TraceID]bool
}

func (s *splitter) logs(l plog.Logs) {
	for r, resource := range l.ResourceLogs().All() {
		trim(resource.Resource().Attributes())
		claim := claimOf(resource.Resource().Attributes())
		for c, scope := range resource.ScopeLogs().All() {
			trim(scope.Scope().Attributes())
			for _, record := range scope.LogRecords().All() {
				s.record(resource, r, scope, c, record, claim)
			}
		}
	}
}

func (s *splitter) record(resource plog.ResourceLogs, r int, scope plog.ScopeLogs, c int, record plog.LogRecord, claim telemetry.Source) {
	trimRecord(record)
	if record.ObservedTimestamp() == 0 {
		record.SetObservedTimestamp(pcommon.NewTimestampFromTime(s.now))
	}
	source := s.addressed(s.source(claimed(record.Attributes(), claim)))
	if s.stream != "" {
		record.Attributes().PutStr(telemetry.LogStreamKey, s.stream)
	}
	p := s.pages[source]
	if p == nil {
		p = &page{logs: plog.NewLogs(), resource: -1, scope: -1, traces: map[telemetry.TraceID]bool{}}
		s.pages[source] = p
	}
	p.note(record)
	record.MoveTo(p.place(resource, r, scope, c).AppendEmpty())
}

func (p *page) note(record plog.LogRecord) {
	at := int64(record.Timestamp())
	if at <= 0 {
		at = int64(record.ObservedTimestamp())
	}
	if p.count == 0 {
		p.first = at
	}
	p.first, p.last = min(p.first, at), max(p.last, at)
	p.count++
	if !record.TraceID().IsEmpty() {
		p.traces[telemetry.TraceID(record.TraceID())] = true
	}
}

// place returns where the records of a resource and scope go, given their places in the request.
func (p *page) place(resource plog.ResourceLogs, r int, scope plog.ScopeLogs, n int) plog.LogRecordSlice {
	all := p.logs.ResourceLogs()
	if p.resource != r {
		to := all.AppendEmpty()
		resource.Resource().CopyTo(to.Resource())
		to.SetSchemaUrl(resource.SchemaUrl())
		p.resource, p.scope = r, -1
	}
	scopes := all.At(all.Len() - 1).ScopeLogs()
	if p.scope != n {
		to := scopes.AppendEmpty()
		scope.Scope().CopyTo(to.Scope())
		to.SetSchemaUrl(scope.SchemaUrl())
		p.scope = n
	}
	return scopes.At(scopes.Len() - 1).LogRecords()
}

func (s *splitter) lines() (out []telemetry.Lines, err error) {
	for source, p := range s.pages {
		doc, err := s.inlet.codec.PackLogs(p.logs)
		if err != nil {
			return nil, err
		}
		lines := telemetry.Lines{Source: source, Doc: doc, Count: p.count, First: p.first, Last: p.last}
		for id := range p.traces {
			lines.Traces = append(lines.Traces, id)
		}
		slices.SortFunc(lines.Traces, func(a, b telemetry.TraceID) int { return slices.Compare(a[:], b[:]) })
		out = append(out, lines)
	}
	return out, nil
}
