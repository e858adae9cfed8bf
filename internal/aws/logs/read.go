package logs

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moorage-dev/moorage/internal/aws/logs/insights"
	"github.com/moorage-dev/moorage/internal/aws/logs/pattern"
	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
)

// maxEvents and maxAnswer bound one answer, in events and bytes. Source: AWS, FilterLogEvents.
const (
	maxEvents = 10_000
	maxAnswer = 1 << 20
)

func (s *Service) filterLogEvents(ctx context.Context, in *FilterLogEventsInput) (*FilterLogEventsOutput, error) {
	g, err := s.find(ctx, in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	if len(in.LogStreamNames) > 0 && in.LogStreamNamePrefix != nil {
		return nil, wrong("give logStreamNames or logStreamNamePrefix, not both")
	}
	q := search{since: moment(in.StartTime), until: afterMoment(in.EndTime), streams: in.LogStreamNames, prefix: text(in.LogStreamNamePrefix)}
	if err := q.filter(in.FilterPattern); err != nil {
		return nil, err
	}
	if in.NextToken != nil {
		p, err := readToken(*in.NextToken)
		if err != nil {
			return nil, err
		}
		q.after = &p
	}
	most := maxEvents
	if in.Limit != nil {
		most = int(*in.Limit)
	}
	out := &FilterLogEventsOutput{Events: []FilteredLogEvent{}, SearchedLogStreams: []SearchedLogStream{}}
	last, bytes := event{}, 0
	for e, err := range s.events(ctx, g, q) {
		if err != nil {
			return nil, err
		}
		if len(out.Events) == most || bytes > maxAnswer { // there is one more: the page before it ends here
			out.NextToken = new(last.token())
			break
		}
		message := s.message(e)
		bytes += len(message) + 26 // that AWS counts for each
		last = e
		out.Events = append(out.Events, FilteredLogEvent{
			LogStreamName: new(e.stream(g)), Timestamp: millis(e.time()), IngestionTime: millis(e.ingested()), Message: &message, EventId: new(e.id()),
		})
	}
	return out, nil
}

func (q *search) filter(text *string) error {
	if text == nil || *text == "" {
		return nil
	}
	p, err := pattern.Parse(*text)
	if err != nil {
		return wrong("%s", err.Error())
	}
	q.match = p.Match
	return nil
}

func moment(ms *int64) time.Time {
	if ms == nil {
		return time.Time{}
	}
	return time.UnixMilli(*ms)
}

// afterMoment makes an end that belongs to the time one that does not.
func afterMoment(ms *int64) time.Time {
	if ms == nil {
		return time.Time{}
	}
	return time.UnixMilli(*ms).Add(time.Millisecond)
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// Tokens of GetLogEvents lead onward or back from an event.
const forward, backward = "f/", "b/"

func (s *Service) getLogEvents(ctx context.Context, in *GetLogEventsInput) (*GetLogEventsOutput, error) {
	g, err := s.find(ctx, in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	q := search{since: moment(in.StartTime), until: moment(in.EndTime), streams: []string{in.LogStreamName}}
	q.newest = in.StartFromHead == nil || !*in.StartFromHead
	if in.NextToken != nil {
		token, onward := strings.CutPrefix(*in.NextToken, forward)
		token, back := strings.CutPrefix(token, backward)
		if onward == back {
			return nil, wrong("The specified nextToken is invalid: pass on the one of the answer before")
		}
		q.newest = back
		if token != "" {
			p, err := readToken(token)
			if err != nil {
				return nil, err
			}
			q.after = &p
		}
	}
	most := maxEvents
	if in.Limit != nil {
		most = int(*in.Limit)
	}
	var found []event
	bytes := 0
	for e, err := range s.events(ctx, g, q) {
		if err != nil {
			return nil, err
		}
		found = append(found, e)
		if bytes += len(s.message(e)) + 26; len(found) == most || bytes > maxAnswer {
			break
		}
	}
	if len(found) == 0 {
		if there, err := s.streamThere(ctx, g, in.LogStreamName); err != nil || !there {
			return nil, orMissing(err, "The specified log stream does not exist.")
		}
	}
	if q.newest {
		slices.Reverse(found)
	}
	return s.page(found, in.NextToken), nil
}

func (s *Service) page(found []event, asked *string) *GetLogEventsOutput {
	out := &GetLogEventsOutput{Events: []OutputLogEvent{}, NextForwardToken: asked, NextBackwardToken: asked}
	for _, e := range found {
		out.Events = append(out.Events, OutputLogEvent{Timestamp: millis(e.time()), IngestionTime: millis(e.ingested()), Message: new(s.message(e))})
	}
	if len(found) > 0 {
		out.NextForwardToken, out.NextBackwardToken = new(forward+found[len(found)-1].token()), new(backward+found[0].token())
	} else if asked == nil {
		out.NextForwardToken, out.NextBackwardToken = new(forward), new(backward)
	}
	return out
}

// getLogRecord finds an event by the pointer that a query gave: its group and where it is.
func (s *Service) getLogRecord(ctx context.Context, in *GetLogRecordInput) (*GetLogRecordOutput, error) {
	name, token, _ := strings.Cut(in.LogRecordPointer, " ")
	p, err := readToken(token)
	if err != nil {
		return nil, wrong("the pointer is none that a query gave as @ptr")
	}
	g := newGroup(name)
	q := search{since: time.Unix(0, p.at), until: time.Unix(0, p.at+1), streams: []string{g.spans}}
	if p.place != nil {
		q = search{since: time.Unix(0, p.place.Time), until: time.Unix(0, p.place.Time+1)}
	}
	for e, err := range s.events(ctx, g, q) {
		if err != nil {
			return nil, err
		}
		if e.token() == token {
			return &GetLogRecordOutput{LogRecord: s.flat(g, e)}, nil
		}
	}
	return nil, orMissing(nil, "the event is not there any more")
}

// flat are all fields of an event, by their dotted names.
func (s *Service) flat(g group, e event) map[string]string {
	out := map[string]string{}
	f := fieldsOf{s, g, e, nil}
	for _, name := range systemFields {
		out[name] = f.Field(name).String()
	}
	var add func(prefix string, v any)
	add = func(prefix string, v any) {
		if m, ok := v.(map[string]any); ok {
			for key, inner := range m {
				add(strings.TrimPrefix(prefix+"."+key, "."), inner)
			}
			return
		}
		out[prefix] = valueOf(v).String()
	}
	add("", s.document(e))
	return out
}

var systemFields = []string{"@timestamp", "@message", "@logStream", "@log", "@ptr", "@ingestionTime"}

// fieldsOf lets a query look at an event. What is costly to make is made when it is asked for.
type fieldsOf struct {
	s   *Service
	g   group
	e   event
	doc map[string]any
}

// Field returns a field by its dotted path.
func (f *fieldsOf) Field(path string) insights.Value {
	switch path {
	case "@timestamp":
		return insights.Moment(f.e.time().UnixMilli())
	case "@ingestionTime":
		return insights.Moment(f.e.ingested().UnixMilli())
	case "@message":
		return insights.Text(f.s.message(f.e))
	case "@logStream":
		return insights.Text(f.e.stream(f.g))
	case "@log":
		return insights.Text(f.s.Account + ":" + f.g.name)
	case "@ptr":
		return insights.Text(f.g.name + " " + f.e.token())
	case "traceId":
		if f.e.span != nil {
			return insights.Text(hexOf(f.e.span.Span.TraceID()))
		}
	}
	if f.doc == nil {
		f.doc = f.s.document(f.e)
	}
	v, ok := follow(f.doc, path)
	if !ok {
		return insights.Missing
	}
	return valueOf(v)
}

// follow finds a way through objects whose keys may have dots: the longest key wins.
func follow(doc any, path string) (any, bool) {
	if path == "" {
		return doc, doc != nil
	}
	if list, ok := doc.([]any); ok {
		index, rest, _ := strings.Cut(path, ".")
		n, err := strconv.Atoi(index)
		if err != nil || n < 0 || n >= len(list) {
			return nil, false
		}
		return follow(list[n], rest)
	}
	object, ok := doc.(map[string]any)
	if !ok {
		return nil, false
	}
	if v, ok := object[path]; ok {
		return v, v != nil
	}
	for i := len(path) - 1; i > 0; i-- {
		if path[i] != '.' {
			continue
		}
		if inner, ok := object[path[:i]]; ok {
			if v, ok := follow(inner, path[i+1:]); ok {
				return v, true
			}
		}
	}
	return nil, false
}

func valueOf(v any) insights.Value {
	switch v := v.(type) {
	case nil:
		return insights.Missing
	case string:
		return insights.Text(v)
	case bool:
		return insights.Truth(v)
	case json.Number:
		return insights.Text(v.String())
	case int64:
		return insights.Text(strconv.FormatInt(v, 10))
	case int:
		return insights.Number(float64(v))
	case float64:
		return insights.Number(v)
	}
	doc, err := json.Marshal(v)
	if err != nil {
		return insights.Text(fmt.Sprint(v))
	}
	return insights.Text(string(doc))
}

// tracesIn reads the trace ids of a query; none where one is none.
func tracesIn(q *insights.Query) (out []telemetry.TraceID) {
	for _, text := range q.Traces() {
		id, ok := telemetry.ParseTraceID(text)
		if !ok {
			return nil
		}
		out = append(out, id)
	}
	return out
}

// recordQuery and spanQuery are what a query of a group reads.
func recordQuery(g group, traces []telemetry.TraceID, since, until time.Time) archive.RecordQuery {
	return archive.RecordQuery{From: g.from, Runtime: g.runtime, Traces: traces, Since: g.kept(since), Until: until, Newest: true}
}

func spanQuery(traces []telemetry.TraceID, since, until time.Time) archive.SpanQuery {
	return archive.SpanQuery{Traces: traces, Since: since, Until: until}
}
