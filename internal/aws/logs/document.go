package logs

import (
	"encoding/json"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
)

// message is an event's text: a line as it was, everything else as JSON.
func (s *Service) message(e event) string {
	if e.record != nil && isLine(e.record.Log) {
		return e.record.Log.Body().AsString()
	}
	doc, err := json.Marshal(s.document(e))
	if err != nil {
		return ""
	}
	return string(doc)
}

// isLine reports whether a record was printed, or put by PutLogEvents, rather than sent as OTLP.
func isLine(record plog.LogRecord) bool {
	_, printed := record.Attributes().Get(archive.StreamKey)
	_, put := record.Attributes().Get(archive.LogStreamKey)
	return printed || put
}

// document is an event as CloudWatch keeps it. Source: samples of aws/spans and of otel-rt-logs.
func (s *Service) document(e event) map[string]any {
	if e.span != nil {
		return s.spanDocument(e.span)
	}
	r := e.record
	if isLine(r.Log) {
		return lineDocument(r)
	}
	doc := map[string]any{
		"resource":     map[string]any{"attributes": s.stamped(r.Resource, r.Source)},
		"scope":        scopeDocument(r.Scope),
		"timeUnixNano": r.Place.Time, "observedTimeUnixNano": int64(r.Log.ObservedTimestamp()),
		"severityNumber": int(r.Log.SeverityNumber()), "severityText": r.Log.SeverityText(), "body": r.Log.Body().AsRaw(),
		"attributes": session(r.Log.Attributes().AsRaw(), r.Source), "flags": int(r.Log.Flags()),
	}
	addIDs(doc, r.Log)
	if name := r.Log.EventName(); name != "" {
		doc["eventName"] = name
	}
	return doc
}

func addIDs(doc map[string]any, record plog.LogRecord) {
	for key, id := range map[string]string{"traceId": hexOf(record.TraceID()), "spanId": hexOf(record.SpanID())} {
		if id != "" {
			doc[key] = id
		}
	}
}

// lineDocument are the fields of a line: those of its JSON, if it is some, and what is known of it beside.
func lineDocument(r *archive.Record) map[string]any {
	doc := map[string]any{}
	if text := r.Log.Body().AsString(); strings.HasPrefix(strings.TrimLeft(text, " "), "{") {
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.UseNumber()
		if decoder.Decode(&doc) != nil {
			doc = map[string]any{}
		}
	}
	addIDs(doc, r.Log)
	if _, own := doc["sessionId"]; !own && r.Source.Caller != "" {
		doc["sessionId"] = r.Source.Caller
	}
	if id, ok := r.Log.Attributes().Get(archive.RequestKey); ok {
		doc["requestId"] = id.AsString()
	}
	return doc
}

func (s *Service) spanDocument(sp *archive.SourcedSpan) map[string]any {
	span := sp.Span
	status := map[string]any{"code": strings.ToUpper(span.Status().Code().String())}
	if message := span.Status().Message(); message != "" {
		status["message"] = message
	}
	events := []any{}
	for _, e := range span.Events().All() {
		events = append(events, map[string]any{"timeUnixNano": int64(e.Timestamp()), "name": e.Name(), "attributes": e.Attributes().AsRaw()})
	}
	doc := map[string]any{
		"resource": map[string]any{"attributes": s.stamped(sp.Resource, sp.Source)},
		"scope":    scopeDocument(sp.Scope),
		"traceId":  hexOf(span.TraceID()), "spanId": hexOf(span.SpanID()), "flags": int(span.Flags()), "name": span.Name(),
		"kind": strings.ToUpper(span.Kind().String()), "startTimeUnixNano": int64(span.StartTimestamp()), "endTimeUnixNano": int64(span.EndTimestamp()),
		"durationNano": int64(span.EndTimestamp()) - int64(span.StartTimestamp()), "attributes": session(span.Attributes().AsRaw(), sp.Source),
		"events": events, "status": status,
	}
	if parent := hexOf(span.ParentSpanID()); parent != "" {
		doc["parentSpanId"] = parent
	}
	return doc
}

func scopeDocument(scope pcommon.InstrumentationScope) map[string]any {
	out := map[string]any{"name": scope.Name()}
	if scope.Version() != "" {
		out["version"] = scope.Version()
	}
	return out
}

// stamped are the attributes of a resource with what the platform knows of a runtime's sandbox, whatever
// the resource says of itself.
func (s *Service) stamped(resource pcommon.Map, from telemetry.Source) map[string]any {
	out := resource.AsRaw()
	if from.Endpoint == "" {
		return out
	}
	arn := moorage.RuntimeARN(s.Region, s.Account, from.Runtime).String()
	out["cloud.resource_id"] = arn + "/runtime-endpoint/" + from.Endpoint + ":" + from.Endpoint
	out["aws.log.group.names"] = runtimePrefix + from.Runtime + "-" + from.Endpoint
	for key, value := range map[string]string{
		"aws.service.type": "gen_ai_agent", "cloud.provider": "aws", "cloud.platform": "aws_bedrock_agentcore", "cloud.region": s.Region,
		"service.name": strings.SplitN(from.Runtime, "-", 2)[0] + "." + from.Endpoint, "deployment.environment.name": "bedrock-agentcore:default",
	} {
		if _, own := out[key]; !own {
			out[key] = value
		}
	}
	return out
}

// session puts the caller's session id among attributes, and takes out what gives a key away.
func session(attributes map[string]any, from telemetry.Source) map[string]any {
	if from.Caller != "" {
		attributes["session.id"] = from.Caller
	}
	delete(attributes, "aws.auth.account.access_key")
	return attributes
}
