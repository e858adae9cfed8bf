package archive

import (
	"context"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/moorage-dev/moorage"
)

// Export returns spans as one OTLP document, each once and as it came. NotFound when there are none.
func (a *Archive) Export(ctx context.Context, q SpanQuery) (ptrace.Traces, error) {
	out := ptrace.NewTraces()
	var last SourcedSpan
	var to ptrace.ScopeSpans
	for s, err := range a.Spans(ctx, q) {
		if err != nil {
			return out, err
		}
		if out.SpanCount() == 0 || s.Resource != last.Resource || s.Scope != last.Scope {
			resource := out.ResourceSpans().AppendEmpty()
			s.Resource.CopyTo(resource.Resource().Attributes())
			to = resource.ScopeSpans().AppendEmpty()
			s.Scope.CopyTo(to.Scope())
		}
		s.Span.CopyTo(to.Spans().AppendEmpty())
		last = s
	}
	if out.SpanCount() == 0 {
		return out, moorage.Errorf(moorage.NotFound, "nothing of this trace or session is kept")
	}
	return out, nil
}
