// Package xray answers as X-Ray does, from the telemetry archive. Types and constraints are generated;
// see api.gen.go.
//
// A trace is the segments of its spans: a segment for each root, subsegments below. What toolkits turn on
// before traces can be seen at AWS is on here from the start, and says so.
package xray

import (
	"context"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
)

// Service is what the operations work on.
type Service struct {
	Archive         *archive.Archive
	Region, Account string
}

// Serve adds the operations to svc.
func (s *Service) Serve(svc *wire.Service) {
	wire.Handle(svc, BatchGetTraces, s.batchGetTraces)
	wire.Handle(svc, GetTraceSummaries, s.getTraceSummaries)
	wire.Handle(svc, GetTraceSegmentDestination, func(context.Context, *GetTraceSegmentDestinationInput) (*GetTraceSegmentDestinationOutput, error) {
		return &GetTraceSegmentDestinationOutput{Destination: TraceSegmentDestinationCloudWatchLogs, Status: TraceSegmentDestinationStatusActive}, nil
	})
	wire.Handle(svc, UpdateTraceSegmentDestination, func(_ context.Context, in *UpdateTraceSegmentDestinationInput) (*UpdateTraceSegmentDestinationOutput, error) {
		return &UpdateTraceSegmentDestinationOutput{Destination: in.Destination, Status: TraceSegmentDestinationStatusActive}, nil
	})
	wire.Handle(svc, GetIndexingRules, func(context.Context, *GetIndexingRulesInput) (*GetIndexingRulesOutput, error) {
		return &GetIndexingRulesOutput{IndexingRules: []IndexingRule{everything("Default")}}, nil
	})
	wire.Handle(svc, UpdateIndexingRule, func(_ context.Context, in *UpdateIndexingRuleInput) (*UpdateIndexingRuleOutput, error) {
		return &UpdateIndexingRuleOutput{IndexingRule: new(everything(in.Name))}, nil
	})
}

// everything is a rule by which all spans are indexed, as they are.
func everything(name string) IndexingRule {
	return IndexingRule{Name: &name, ModifiedAt: new(time.Unix(0, 0).UTC()), Rule: &IndexingRuleValue{
		Probabilistic: &ProbabilisticRuleValue{DesiredSamplingPercentage: 100, ActualSamplingPercentage: new(100.0)},
	}}
}

func (s *Service) batchGetTraces(ctx context.Context, in *BatchGetTracesInput) (*BatchGetTracesOutput, error) {
	out := &BatchGetTracesOutput{Traces: []Trace{}, UnprocessedTraceIds: []string{}}
	for _, text := range in.TraceIds {
		id, ok := telemetry.ParseTraceID(text)
		if !ok {
			return nil, wrong("%q is not a trace id: 1-6745f1d3-0123456789abcdef01234567", text)
		}
		t, err := s.Archive.Trace(ctx, id)
		if moorage.CodeOf(err) == moorage.NotFound {
			out.UnprocessedTraceIds = append(out.UnprocessedTraceIds, text)
			continue
		}
		if err != nil {
			return nil, err
		}
		one := Trace{Id: new(idOf(t.TraceID)), Duration: new(t.DurationMs / 1e3), LimitExceeded: new(false)}
		for _, span := range t.Spans {
			doc, err := json.Marshal(segment(t, span))
			if err != nil {
				return nil, err
			}
			one.Segments = append(one.Segments, Segment{Id: new(span.SpanID), Document: new(string(doc))})
		}
		out.Traces = append(out.Traces, one)
	}
	return out, nil
}

func wrong(format string, args ...any) error {
	return &moorage.Error{Code: moorage.Invalid, Exception: "InvalidRequestException", Message: moorage.Errorf(moorage.Invalid, format, args...).Message}
}

// idOf writes a trace's id as X-Ray does.
func idOf(hex string) string { return "1-" + hex[:8] + "-" + hex[8:] }

// segment is a span as a segment document. Source: X-Ray developer guide, segment documents.
func segment(t telemetry.Trace, s telemetry.Span) map[string]any {
	end := s.Start.Add(time.Duration(s.DurationMs * float64(time.Millisecond)))
	doc := map[string]any{
		"id": s.SpanID, "trace_id": idOf(t.TraceID), "name": s.Name, "start_time": seconds(s.Start), "end_time": seconds(end),
		"annotations": map[string]any{"kind": s.Kind, "session_id": t.CallerSessionID}, "metadata": map[string]any{"attributes": s.Attributes},
	}
	if s.Depth > 0 {
		doc["type"], doc["parent_id"] = "subsegment", s.ParentID
	}
	if s.Kind == telemetry.Service {
		doc["origin"] = "AWS::BedrockAgentCore::Runtime"
	}
	if s.Error == "" {
		return doc
	}
	error, fault, throttle := failure(s.Attributes["error_type"])
	doc["error"], doc["fault"], doc["throttle"] = error, fault, throttle
	doc["cause"] = map[string]any{"exceptions": []any{map[string]any{"id": s.SpanID, "message": s.Error, "type": "Error"}}}
	return doc
}

// failure says in X-Ray's terms whose a failure is.
func failure(kind any) (error, fault, throttle bool) {
	return kind == "user" || kind == "throttle", kind != "user" && kind != "throttle", kind == "throttle"
}

func seconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }

// pageSize is how many traces are listed at once.
const pageSize = 100

func (s *Service) getTraceSummaries(ctx context.Context, in *GetTraceSummariesInput) (*GetTraceSummariesOutput, error) {
	if !in.StartTime.Before(in.EndTime) {
		return nil, wrong("StartTime must be before EndTime")
	}
	fits := func(telemetry.TraceSummary) bool { return true }
	if in.FilterExpression != nil {
		var err error
		if fits, err = filterOf(*in.FilterExpression); err != nil {
			return nil, err
		}
	}
	q := archive.Query{Since: in.StartTime, Until: in.EndTime, Limit: pageSize}
	if in.NextToken != nil {
		q.After = *in.NextToken
	}
	found, next, err := s.Archive.Traces(ctx, q)
	if err != nil {
		return nil, err
	}
	out := &GetTraceSummariesOutput{TraceSummaries: []TraceSummary{}, ApproximateTime: new(time.Now().UTC()), TracesProcessedCount: new(int64(len(found)))}
	if next != "" {
		out.NextToken = &next
	}
	for _, t := range found {
		if fits(t) {
			out.TraceSummaries = append(out.TraceSummaries, s.summary(t))
		}
	}
	return out, nil
}

func (s *Service) summary(t telemetry.TraceSummary) TraceSummary {
	failed := t.Errors > 0
	out := TraceSummary{
		Id: new(idOf(t.TraceID)), StartTime: &t.Start, Duration: new(t.DurationMs / 1e3), ResponseTime: new(t.DurationMs / 1e3),
		HasFault: &failed, HasError: new(false), HasThrottle: new(false), IsPartial: new(!t.Rooted), Revision: new(int32(t.Spans)),
		ServiceIds: []ServiceId{{Name: &t.Runtime, Names: []string{t.Runtime}, AccountId: &s.Account, Type: new("AWS::BedrockAgentCore::Runtime")}},
		Annotations: map[string][]ValueWithServiceIds{
			"session_id": {{AnnotationValue: &AnnotationValue{StringValue: &t.CallerSessionID}}},
		},
	}
	if t.Endpoint != "" {
		out.ResourceARNs = []ResourceARNDetail{{ARN: new(moorage.RuntimeARN(s.Region, s.Account, t.Runtime).String())}}
	}
	return out
}

var (
	conjunction = regexp.MustCompile(`(?i)\s+AND\s+`)
	timed       = regexp.MustCompile(`^(?i:responsetime|duration)\s*(<=|>=|<|>|=)\s*([0-9.]+)$`)
	annotated   = regexp.MustCompile(`^annotation[.\[]"?session[_.]id"?\]?\s*=\s*"([^"]*)"$`)
	service     = regexp.MustCompile(`^service\(\s*"([^"]*)"\s*\)$`)
)

// filterOf reads the filter expressions that are offered: fault, error, ok, responsetime and duration
// compared with seconds, annotation.session_id = "…", service("…"), with AND between them.
func filterOf(text string) (func(telemetry.TraceSummary) bool, error) {
	var all []func(telemetry.TraceSummary) bool
	for _, term := range conjunction.Split(strings.TrimSpace(text), -1) {
		fits, err := termOf(term)
		if err != nil {
			return nil, err
		}
		all = append(all, fits)
	}
	return func(t telemetry.TraceSummary) bool {
		for _, fits := range all {
			if !fits(t) {
				return false
			}
		}
		return true
	}, nil
}

func termOf(term string) (func(telemetry.TraceSummary) bool, error) {
	switch strings.ToLower(term) {
	case "fault", "error", "fault = true", "error = true":
		return func(t telemetry.TraceSummary) bool { return t.Errors > 0 }, nil
	case "ok", "!fault", "!error":
		return func(t telemetry.TraceSummary) bool { return t.Errors == 0 }, nil
	}
	if m := annotated.FindStringSubmatch(term); m != nil {
		return func(t telemetry.TraceSummary) bool { return t.CallerSessionID == m[1] || t.SessionID == m[1] }, nil
	}
	if m := service.FindStringSubmatch(term); m != nil {
		return func(t telemetry.TraceSummary) bool {
			return t.Runtime == m[1] || strings.HasPrefix(t.Runtime, m[1]+"-")
		}, nil
	}
	m := timed.FindStringSubmatch(term)
	if m == nil {
		return nil, wrong(`the filter expression has %q, which is not offered: there are fault, error, ok, responsetime > 1, annotation.session_id = "…" and service("…"), with AND between them`, term)
	}
	limit, err := strconv.ParseFloat(m[2], 64)
	if err != nil {
		return nil, wrong("%q is no number of seconds", m[2])
	}
	return func(t telemetry.TraceSummary) bool {
		took := t.DurationMs / 1e3
		return map[string]bool{"<": took < limit, "<=": took <= limit, ">": took > limit, ">=": took >= limit, "=": took == limit}[m[1]]
	}, nil
}
