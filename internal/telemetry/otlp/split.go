package otlp

import (
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/genai"
)

// splitter takes a request apart into chunks: the spans of one trace and source.
type splitter struct {
	inlet   *Inlet
	now     time.Time
	from    telemetry.Source
	inside  bool  // from is known, rather than claimed
	birth   int64 // of a clone, in Unix nanoseconds; what began before is not its own
	chunks  map[chunkKey]*chunk
	order   []*chunk
	refused int64
	pages   map[telemetry.Source]*page

	to     *telemetry.Source // where log records were addressed to; nil for where they come from
	stream string            // likewise
}

type chunkKey struct {
	trace  telemetry.TraceID
	source telemetry.Source
}

// chunk is a chunk in the making.
type chunk struct {
	chunkKey
	spans    ptrace.Traces
	facts    []telemetry.Fact
	resource int // the request's resource and scope that were copied last
	scope    int
}

func (s *splitter) traces(t ptrace.Traces) {
	for r, resource := range t.ResourceSpans().All() {
		trim(resource.Resource().Attributes())
		claim := claimOf(resource.Resource().Attributes())
		for c, scope := range resource.ScopeSpans().All() {
			trim(scope.Scope().Attributes())
			for _, span := range scope.Spans().All() {
				s.span(resource, r, scope, c, span, claim)
			}
		}
	}
}

func (s *splitter) span(resource ptrace.ResourceSpans, r int, scope ptrace.ScopeSpans, c int, span ptrace.Span, claim telemetry.Source) {
	if span.TraceID().IsEmpty() || span.SpanID().IsEmpty() {
		s.refused++
		return
	}
	if began := int64(span.StartTimestamp()); began > 0 && began < s.birth {
		s.inlet.inherited.Add(1)
		return
	}
	trimSpan(span)
	into := s.chunk(chunkKey{telemetry.TraceID(span.TraceID()), s.source(span.Attributes(), claim)})
	fact := genai.Draw(span, scope.Scope().Name())
	into.facts = append(into.facts, s.dated(fact))
	span.MoveTo(into.place(resource, r, scope, c).AppendEmpty())
}

func (s *splitter) chunk(key chunkKey) *chunk {
	c := s.chunks[key]
	if c == nil {
		c = &chunk{chunkKey: key, spans: ptrace.NewTraces(), resource: -1, scope: -1}
		s.chunks[key] = c
		s.order = append(s.order, c)
	}
	return c
}

// place returns where the spans of a resource and scope go, given their places in the request.
func (c *chunk) place(resource ptrace.ResourceSpans, r int, scope ptrace.ScopeSpans, n int) ptrace.SpanSlice {
	all := c.spans.ResourceSpans()
	if c.resource != r {
		to := all.AppendEmpty()
		resource.Resource().CopyTo(to.Resource())
		to.SetSchemaUrl(resource.SchemaUrl())
		c.resource, c.scope = r, -1
	}
	scopes := all.At(all.Len() - 1).ScopeSpans()
	if c.scope != n {
		to := scopes.AppendEmpty()
		scope.Scope().CopyTo(to.Scope())
		to.SetSchemaUrl(scope.SchemaUrl())
		c.scope = n
	}
	return scopes.At(scopes.Len() - 1).Spans()
}

// skew is how far ahead of ours a sender's clock may be before its times are replaced.
const skew = 5 * time.Minute

// dated mends times for sums and lists: none, or ones that have not come yet, become the time of
// arrival. The span itself keeps what it said.
func (s *splitter) dated(f telemetry.Fact) telemetry.Fact {
	now := s.now.UnixNano()
	if length := f.End - f.Start; f.Start <= 0 || f.Start > now+int64(skew) {
		f.Start = now
		f.End = now + min(max(length, 0), int64(24*time.Hour))
	}
	f.End = min(f.End, now+int64(skew))
	f.End = max(f.End, f.Start)
	return f
}

// source is who sent a span: the sandbox that dialled, or what the payload says where nobody dialled
// from inside.
func (s *splitter) source(attributes pcommon.Map, claim telemetry.Source) telemetry.Source {
	claim.Session = sessionOf(attributes, claim.Session)
	if !s.inside {
		return claim
	}
	other := claim.Session != "" && claim.Session != s.from.Session && claim.Session != s.from.Caller
	if other || claim.Runtime != "" && claim.Runtime != s.from.Runtime && claim.Endpoint != "" {
		s.inlet.overruled.Add(1)
	}
	return s.from
}

func (s *splitter) batch() (telemetry.Batch, error) {
	out := telemetry.Batch{Received: s.now}
	for _, c := range s.order {
		doc, err := s.inlet.codec.PackTraces(c.spans)
		if err != nil {
			return out, err
		}
		out.Chunks = append(out.Chunks, telemetry.Chunk{Trace: c.trace, Source: c.source, Doc: doc, Facts: c.facts})
	}
	return out, nil
}
