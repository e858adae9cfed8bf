package otlp

import (
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/genai"
)

// splitter takes a request apart into chunks: the spans of one trace and source. Spans stay the bytes that they
// came as, unless there is something to mend about them.
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
	names   map[string]string // that facts have in common, each once

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
	facts     []telemetry.Fact
	resources []*resourcePart
}

// resourcePart is what a chunk has of a resource, and scopePart of one of its scopes.
type resourcePart struct {
	head   *head
	scopes []*scopePart
}

type scopePart struct {
	head  *head
	spans [][]byte // messages
	size  int      // of all of them, as fields
}

// head is what a resource or scope says beside what is in it.
type head struct {
	fields []byte // of its message
	claim  telemetry.Source
	name   string
}

// errBroken refuses what is no message, or one in which no reader finds its way.
var errBroken = moorage.Errorf(moorage.Invalid, "the body is not an OTLP export request")

// traces takes spans from an export request.
func (s *splitter) traces(request []byte) error {
	plain, err := ordinary(request)
	if err != nil {
		return err
	}
	if !plain { // have it written anew, by who knows all that OTLP ever was
		r := ptraceotlp.NewExportRequest()
		if err := decode(request, false, r.UnmarshalProto, nil); err != nil {
			return err
		}
		if request, err = r.MarshalProto(); err != nil {
			return err
		}
	}
	w := wire{rest: request}
	for w.next() {
		if err := s.resource(w.value); err != nil {
			return err
		}
	}
	return nil
}

// ordinary reports whether a request has nothing in it, above its spans, but what OTLP has today.
func ordinary(request []byte) (bool, error) {
	for w := (wire{rest: request}); ; {
		if !w.next() {
			return true, brokenIf(w.broken)
		}
		if !w.is(1, lengthy) {
			return false, nil
		}
		for r := (wire{rest: w.value}); ; {
			if !r.next() {
				if r.broken {
					return false, errBroken
				}
				break
			}
			if r.kind != lengthy || r.number > 3 {
				return false, nil
			}
		}
	}
}

func brokenIf(broken bool) error {
	if broken {
		return errBroken
	}
	return nil
}

func (s *splitter) resource(message []byte) error {
	fields, scopes, err := parts(message)
	if err != nil {
		return err
	}
	doc, err := unmarshalResource(fields)
	if err != nil {
		return err
	}
	attributes := doc.ResourceSpans().At(0).Resource().Attributes()
	trim(attributes)
	of := &head{claim: claimOf(attributes)}
	if of.fields, err = marshalResource(doc); err != nil {
		return err
	}
	for _, scope := range scopes {
		if err := s.scope(of, scope); err != nil {
			return err
		}
	}
	return nil
}

// parts parts the fields with the number 2, scopes or spans, from the others.
func parts(message []byte) (others []byte, inside [][]byte, err error) {
	w := wire{rest: message}
	for w.next() {
		if w.is(2, lengthy) {
			inside = append(inside, w.value)
		} else {
			others = append(others, w.whole...)
		}
	}
	return others, inside, brokenIf(w.broken)
}

func (s *splitter) scope(resource *head, message []byte) error {
	fields, spans, err := parts(message)
	if err != nil {
		return err
	}
	of := &head{}
	if len(fields) > 0 {
		doc, err := unmarshalScope(fields)
		if err != nil {
			return err
		}
		scope := doc.ResourceSpans().At(0).ScopeSpans().At(0).Scope()
		trim(scope.Attributes())
		of.name = scope.Name()
		if of.fields, err = marshalScope(doc); err != nil {
			return err
		}
	}
	for _, span := range spans {
		if err := s.span(resource, of, span); err != nil {
			return err
		}
	}
	return nil
}

func (s *splitter) span(resource, scope *head, message []byte) error {
	p, ok := readPlain(message)
	if !ok {
		return s.mended(resource, scope, message)
	}
	if !s.takes(p.trace, p.fact.ID, p.fact.Start) {
		return nil
	}
	p.scan.Complete(&p.fact, scope.name)
	p.fact.Name, p.fact.Model, p.fact.Tool = s.own(p.fact.Name), s.own(p.fact.Model), s.own(p.fact.Tool)
	s.place(p.trace, s.own(short(p.session)), resource, scope, message, p.fact)
	return nil
}

// mended takes in a span that is not plain.
func (s *splitter) mended(resource, scope *head, message []byte) error {
	doc, err := unmarshalSpan(message)
	if err != nil {
		return err
	}
	span := doc.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0)
	if !s.takes(telemetry.TraceID(span.TraceID()), telemetry.SpanID(span.SpanID()), int64(span.StartTimestamp())) {
		return nil
	}
	trimSpan(span)
	fact := genai.Draw(span, scope.name)
	if message, err = marshalSpan(doc); err != nil {
		return err
	}
	s.place(telemetry.TraceID(span.TraceID()), sessionOf(span.Attributes(), ""), resource, scope, message, fact)
	return nil
}

// takes reports whether a span is taken: it has ids, and began in the life of its sandbox.
func (s *splitter) takes(trace telemetry.TraceID, id telemetry.SpanID, began int64) bool {
	switch {
	case trace == telemetry.TraceID{} || id.IsZero():
		s.refused++
	case began > 0 && began < s.birth:
		s.inlet.inherited.Add(1)
	default:
		return true
	}
	return false
}

// own is a string that does not point into the request: names are few, and each is copied once.
func (s *splitter) own(text string) string {
	if text == "" {
		return ""
	}
	if known, ok := s.names[text]; ok {
		return known
	}
	if s.names == nil {
		s.names = map[string]string{}
	}
	text = strings.Clone(text)
	s.names[text] = text
	return text
}

func (s *splitter) place(trace telemetry.TraceID, session string, resource, scope *head, message []byte, f telemetry.Fact) {
	claim := resource.claim
	if session != "" {
		claim.Session = session
	}
	key := chunkKey{trace, s.source(claim)}
	c := s.chunks[key]
	if c == nil {
		c = &chunk{chunkKey: key}
		s.chunks[key] = c
		s.order = append(s.order, c)
	}
	c.facts = append(c.facts, s.dated(f))
	c.add(resource, scope, message)
}

func (c *chunk) add(resource, scope *head, message []byte) {
	if n := len(c.resources); n == 0 || c.resources[n-1].head != resource {
		c.resources = append(c.resources, &resourcePart{head: resource})
	}
	r := c.resources[len(c.resources)-1]
	if n := len(r.scopes); n == 0 || r.scopes[n-1].head != scope {
		r.scopes = append(r.scopes, &scopePart{head: scope})
	}
	into := r.scopes[len(r.scopes)-1]
	into.spans = append(into.spans, message)
	into.size += lengthOf(len(message))
}

// appendTo writes a chunk as a TracesData message.
func (c *chunk) appendTo(to []byte) []byte {
	for _, r := range c.resources {
		to = appendHead(to, 1, r.size())
		to = append(to, r.head.fields...)
		for _, scope := range r.scopes {
			to = appendHead(to, 2, len(scope.head.fields)+scope.size)
			to = append(to, scope.head.fields...)
			for _, span := range scope.spans {
				to = append(appendHead(to, 2, len(span)), span...)
			}
		}
	}
	return to
}

func (r *resourcePart) size() int {
	n := len(r.head.fields)
	for _, scope := range r.scopes {
		n += lengthOf(len(scope.head.fields) + scope.size)
	}
	return n
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

// source is who sent something: the sandbox that dialled, or what the payload says where nobody dialled
// from inside.
func (s *splitter) source(claim telemetry.Source) telemetry.Source {
	if !s.inside {
		return claim
	}
	other := claim.Session != "" && claim.Session != s.from.Session && claim.Session != s.from.Caller
	if other || claim.Runtime != "" && claim.Runtime != s.from.Runtime && claim.Endpoint != "" {
		s.inlet.overruled.Add(1)
	}
	return s.from
}

func (s *splitter) batch() telemetry.Batch {
	packer := s.inlet.codec.Packer()
	for _, c := range s.order {
		packer.Add(telemetry.Chunk{Trace: c.trace, Source: c.source, Resources: len(c.resources), Facts: slices.Clip(c.facts)}, c.appendTo)
	}
	return telemetry.Batch{Received: s.now, Packs: packer.Packs()}
}

// The messages within messages of spans, by themselves: what OTLP's own library reads and writes is a whole
// TracesData.

func unmarshalResource(fields []byte) (ptrace.Traces, error) {
	return unmarshalTraces(append(appendHead(nil, 1, len(fields)), fields...))
}

func unmarshalScope(fields []byte) (ptrace.Traces, error) {
	return unmarshalResource(append(appendHead(nil, 2, len(fields)), fields...))
}

func unmarshalSpan(message []byte) (ptrace.Traces, error) {
	return unmarshalScope(append(appendHead(nil, 2, len(message)), message...))
}

func unmarshalTraces(raw []byte) (t ptrace.Traces, err error) {
	return t, decode(raw, false, func(raw []byte) error {
		t, err = new(ptrace.ProtoUnmarshaler).UnmarshalTraces(raw)
		return err
	}, nil)
}

func marshalResource(t ptrace.Traces) ([]byte, error) {
	raw, err := new(ptrace.ProtoMarshaler).MarshalTraces(t)
	return inner(raw, 1), err
}

func marshalScope(t ptrace.Traces) ([]byte, error) {
	raw, err := marshalResource(t)
	return inner(raw, 2), err
}

func marshalSpan(t ptrace.Traces) ([]byte, error) {
	raw, err := marshalScope(t)
	return inner(raw, 2), err
}

// inner returns the first field with a number.
func inner(message []byte, number uint64) []byte {
	w := wire{rest: message}
	for w.next() {
		if w.is(number, lengthy) {
			return w.value
		}
	}
	return nil
}
