package calls

import (
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/genai"
)

// startScope is the scope of the spans that say how a session started. They are no calls.
const startScope = "moorage.session"

// Waited says that the call waited for its session to start. The start becomes a child of the call's span,
// and its steps become children of that. A session that was there before the call is passed over.
func (s *Span) Waited(session *moorage.Session) {
	if s != nil && !session.CreatedAt.Before(s.began) && session.StartTook > 0 {
		s.started = session
		s.recorder.Count(s.call.Source, telemetry.SessionsStarted, "Count", 1)
	}
}

// fillStart writes the start that the call waited for, if it did.
func (s *Span) fillStart(to ptrace.ResourceSpans) (facts []telemetry.Fact) {
	if s.started == nil {
		return nil
	}
	scope := to.ScopeSpans().AppendEmpty()
	scope.Scope().SetName(startScope)
	add := func(parent telemetry.SpanID, name string, from time.Time, took time.Duration) telemetry.SpanID {
		span, id := scope.Spans().AppendEmpty(), newSpanID()
		span.SetTraceID(pcommon.TraceID(s.context.trace))
		span.SetSpanID(pcommon.SpanID(id))
		span.SetParentSpanID(pcommon.SpanID(parent))
		span.SetName(name)
		span.SetKind(ptrace.SpanKindInternal)
		span.SetStartTimestamp(pcommon.NewTimestampFromTime(from))
		span.SetEndTimestamp(pcommon.NewTimestampFromTime(from.Add(took)))
		span.Attributes().PutStr("session.id", s.call.Source.Caller)
		facts = append(facts, genai.Draw(span, startScope))
		return id
	}
	from := s.started.CreatedAt
	whole := add(s.id, "start session ("+s.started.StartedBy+")", from, s.started.StartTook)
	for _, step := range s.started.Steps {
		add(whole, step.Name, from, step.Took)
		from = from.Add(step.Took)
	}
	return facts
}
