package calls

import (
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/genai"
)

// sheaf is the spans of calls that began their traces and waited for no start, in one document: they
// are alike, and pack better together than one by one.
type sheaf struct {
	telemetry.Calls
	spans ptrace.Traces
	of    map[telemetry.Source]ptrace.SpanSlice
}

// newSheaf makes a sheaf for so many spans at most.
func newSheaf(most int) *sheaf {
	return &sheaf{Calls: telemetry.Calls{Begun: make([]telemetry.Begun, 0, most)}, spans: ptrace.NewTraces(), of: map[telemetry.Source]ptrace.SpanSlice{}}
}

func (f *sheaf) add(s *Span) {
	from := s.call.Source
	spans, ok := f.of[from]
	if !ok {
		_, spans = platform(f.spans)
		f.of[from] = spans
		f.Sources = append(f.Sources, from)
	}
	span := spans.AppendEmpty()
	s.fill(span)
	f.Begun = append(f.Begun, telemetry.Begun{Trace: s.context.trace, Source: from, Fact: genai.DrawFrom(from, span, genai.Platform)})
}

// platform adds to a document a place for spans of the platform itself.
func platform(doc ptrace.Traces) (resource ptrace.ResourceSpans, spans ptrace.SpanSlice) {
	resource = doc.ResourceSpans().AppendEmpty()
	resource.Resource().Attributes().PutStr("service.name", "moorage")
	scope := resource.ScopeSpans().AppendEmpty()
	scope.Scope().SetName(genai.Platform)
	return resource, scope.Spans()
}
