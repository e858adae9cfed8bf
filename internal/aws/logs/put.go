package logs

import (
	"context"
	"slices"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/store"
	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
	"github.com/moorage-dev/moorage/internal/telemetry/emf"
	"github.com/moorage-dev/moorage/internal/telemetry/printed"
)

// Bounds of what is put at once, and of when it may have happened. Source: AWS, PutLogEvents.
const (
	maxBatch      = 1 << 20 // bytes, 26 for each event beside its message
	oldestEvent   = 14 * 24 * time.Hour
	newestEvent   = 2 * time.Hour
	sequenceToken = "0" // AWS ignores them since 2023, and old clients pass them on
)

// putLogEvents keeps events. What is acknowledged is on disk.
func (s *Service) putLogEvents(ctx context.Context, in *PutLogEventsInput) (*PutLogEventsOutput, error) {
	from, err := s.putBy(ctx, in)
	if err != nil {
		return nil, err
	}
	bytes := 0
	for _, e := range in.LogEvents {
		bytes += len(e.Message) + 26
	}
	if bytes > maxBatch {
		return nil, wrong("the events have %d bytes; at most %d are put at once", bytes, maxBatch)
	}
	events, rejected := timely(in.LogEvents, time.Now())
	out := &PutLogEventsOutput{NextSequenceToken: new(sequenceToken), RejectedLogEventsInfo: rejected}
	if len(events) == 0 {
		return out, nil
	}
	batch, err := s.batch(from, in.LogStreamName, events)
	if err != nil {
		return nil, err
	}
	return out, s.Archive.Append(ctx, batch)
}

// putBy finds who puts events, and where. A sandbox is what it is, whatever group it names.
func (s *Service) putBy(ctx context.Context, in *PutLogEventsInput) (telemetry.Source, error) {
	g, err := s.find(ctx, &in.LogGroupName, nil)
	if err != nil {
		return telemetry.Source{}, err
	}
	runtime, endpoint, ofRuntime := runtimeOf(g.name)
	from, inside := telemetry.SourceOf(ctx)
	switch {
	case g.name == allSpans:
		return from, wrong("spans come as OTLP, at /v1/traces")
	case inside && ofRuntime && (from.Runtime != runtime || from.Endpoint != endpoint):
		return from, moorage.Errorf(moorage.Denied, "%s is the log group of another runtime", g.name)
	case inside && !ofRuntime:
		from.Group = g.name
	case !inside && ofRuntime:
		from = telemetry.Source{Runtime: runtime, Endpoint: endpoint}
	case !inside:
		from = telemetry.Source{Group: g.name}
	}
	if there, err := s.streamThere(ctx, g, in.LogStreamName); err != nil || there {
		return from, err
	}
	if !ofRuntime {
		return from, orMissing(nil, "The specified log stream does not exist.")
	}
	return from, s.Store.Update(ctx, func(tx *store.Tx) error { // as AWS has them from the start
		_, err := putStream(tx, g.name, in.LogStreamName)
		return err
	})
}

// timely leaves out events that are too old or too new. They are in the order of their times, or put so.
func timely(in []InputLogEvent, now time.Time) (out []InputLogEvent, rejected *RejectedLogEventsInfo) {
	in = slices.Clone(in)
	slices.SortStableFunc(in, func(a, b InputLogEvent) int { return time.UnixMilli(a.Timestamp).Compare(time.UnixMilli(b.Timestamp)) })
	for i, e := range in {
		switch at := time.UnixMilli(e.Timestamp); {
		case at.Before(now.Add(-oldestEvent)):
			if rejected == nil {
				rejected = &RejectedLogEventsInfo{}
			}
			rejected.TooOldLogEventEndIndex = new(int32(i + 1))
		case at.After(now.Add(newestEvent)):
			if rejected == nil {
				rejected = &RejectedLogEventsInfo{}
			}
			if rejected.TooNewLogEventStartIndex == nil {
				rejected.TooNewLogEventStartIndex = new(int32(i))
			}
		default:
			out = append(out, e)
		}
	}
	return out, rejected
}

func (s *Service) batch(from telemetry.Source, stream string, events []InputLogEvent) (telemetry.Batch, error) {
	doc := plog.NewLogs()
	records := doc.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	now := time.Now()
	first, last := time.UnixMilli(events[0].Timestamp), time.UnixMilli(events[len(events)-1].Timestamp)
	out := telemetry.Lines{Source: from, Count: len(events), First: first.UnixNano(), Last: last.UnixNano()}
	var points []telemetry.Point
	for _, e := range events {
		points = append(points, emf.Parse(from, e.Message, time.UnixMilli(e.Timestamp))...)
		record := records.AppendEmpty()
		record.SetTimestamp(pcommon.NewTimestampFromTime(time.UnixMilli(e.Timestamp)))
		record.SetObservedTimestamp(pcommon.NewTimestampFromTime(now))
		record.Body().SetStr(e.Message)
		record.Attributes().PutStr(archive.LogStreamKey, stream)
		printed.Read(record, e.Message)
		if id := telemetry.TraceID(record.TraceID()); id != (telemetry.TraceID{}) && !slices.Contains(out.Traces, id) {
			out.Traces = append(out.Traces, id)
		}
	}
	var err error
	out.Doc, err = s.Archive.Codec().PackLogs(doc)
	return telemetry.Batch{Received: now, Lines: []telemetry.Lines{out}, Points: points}, err
}
