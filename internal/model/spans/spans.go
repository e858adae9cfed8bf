// Package spans tells telemetry of every call to a model, so that the tokens, the cost and the words of an
// agent are seen that reports nothing itself, and of what else is done for such a call. Where an agent does report, its trace
// goes on in these spans, and tokens count on the innermost.
//
// Nobody waits for a span: they are kept in the background within [Delay], and counted where there are too many.
package spans

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/moorage-dev/moorage/internal/model"
	"github.com/moorage-dev/moorage/internal/telemetry"
)

// Parent is what a call to a model belongs to: a trace, and the span in it that made the call.
type Parent struct {
	Trace telemetry.TraceID
	Span  telemetry.SpanID
}

type parentKey struct{}

// WithParent says what the calls of a context belong to. Without, each is a trace of its own.
func WithParent(ctx context.Context, p Parent) context.Context {
	return context.WithValue(ctx, parentKey{}, p)
}

// Recorder keeps the spans of calls. Make one with [New]; Run has to run for anything to be kept.
type Recorder struct {
	keep    func(context.Context, ptrace.Traces) error
	log     *slog.Logger
	calls   chan call
	crowded chan struct{} // more wait than is good
	dropped atomic.Int64
}

type call struct {
	ctx            context.Context // says where it came from
	service, scope string
	describe       func(ptrace.Span)
}

// maxWaiting is how many calls wait to be kept.
const maxWaiting = 1024

// New makes a recorder that hands finished spans to keep.
func New(keep func(context.Context, ptrace.Traces) error, log *slog.Logger) *Recorder {
	return &Recorder{keep: keep, log: log, calls: make(chan call, maxWaiting), crowded: make(chan struct{}, 1)}
}

// Dropped is how many calls came faster than their spans were kept.
func (r *Recorder) Dropped() int64 { return r.dropped.Load() }

// Done takes note of a call; it is what [model.Service] tells.
func (r *Recorder) Done(ctx context.Context, record model.Record) {
	r.Add(ctx, func(span ptrace.Span) { describe(span, record) })
}

// Add takes note of something else that was done for who called, such as a search in a knowledge base. Describe, which writes it into
// a span, is called later.
func (r *Recorder) Add(ctx context.Context, describe func(ptrace.Span)) {
	r.AddOf(ctx, "models", Scope, describe)
}

// AddOf takes note of something that a service of the platform did for who called, under a scope of its own.
func (r *Recorder) AddOf(ctx context.Context, service, scope string, describe func(ptrace.Span)) {
	select {
	case r.calls <- call{ctx, service, scope, describe}:
	default:
		r.dropped.Add(1)
	}
	if len(r.calls) > maxWaiting/2 {
		select {
		case r.crowded <- struct{}{}:
		default: // it knows
		}
	}
}

// Delay is how long a span waits for others, which are written with it: a commit costs as much as the call's own work. A server
// that is killed loses what waits.
const Delay = 200 * time.Millisecond

// Run keeps spans until ctx ends, and those that wait then.
func (r *Recorder) Run(ctx context.Context) {
	for {
		var waiting []call
		select {
		case c := <-r.calls:
			waiting = append(waiting, c)
			r.gather(ctx)
		case <-ctx.Done():
		}
		last := ctx.Err() != nil // asked before, so that nothing that is added meanwhile stays behind
		for len(r.calls) > 0 {
			waiting = append(waiting, <-r.calls)
		}
		r.write(waiting)
		if last {
			return
		}
	}
}

// gather waits for more to write, as long as there is room for it.
func (r *Recorder) gather(ctx context.Context) {
	over := time.NewTimer(Delay)
	defer over.Stop()
	select {
	case <-over.C:
	case <-r.crowded:
	case <-ctx.Done():
	}
}

// maxTogether is how many spans make one document: who reads one of them unpacks as many.
const maxTogether = 64

// write keeps the spans of each source together, and all at once, so that they are committed as one.
func (r *Recorder) write(waiting []call) {
	type origin struct {
		source telemetry.Source
		inside bool
	}
	from := map[origin][]call{}
	var work sync.WaitGroup
	keep := func(of origin) {
		calls := from[of]
		delete(from, of)
		work.Go(func() { r.keepAll(calls) })
	}
	for _, c := range waiting {
		var of origin
		of.source, of.inside = telemetry.SourceOf(c.ctx)
		if from[of] = append(from[of], c); len(from[of]) == maxTogether {
			keep(of)
		}
	}
	for of := range from {
		keep(of)
	}
	work.Wait()
}

func (r *Recorder) keepAll(calls []call) {
	out := ptrace.NewTraces()
	for _, c := range calls {
		c.document(out.ResourceSpans().AppendEmpty())
	}
	if err := r.keep(calls[0].ctx, out); err != nil {
		r.dropped.Add(int64(len(calls)))
		r.log.Error("keep the spans of calls to models", "spans", len(calls), "err", err)
	}
}

// Scope names the platform's spans of calls to models.
const Scope = "moorage.model"

// document writes a call as a span. Source: OpenTelemetry semantic conventions for generative AI, inference.
func (c call) document(resource ptrace.ResourceSpans) {
	resource.Resource().Attributes().PutStr("service.name", c.service) // of calls from outside, which nobody else names
	scope := resource.ScopeSpans().AppendEmpty()
	scope.Scope().SetName(c.scope)
	span := scope.Spans().AppendEmpty()
	parent, _ := c.ctx.Value(parentKey{}).(Parent)
	if parent.Trace == (telemetry.TraceID{}) {
		binary.BigEndian.PutUint64(parent.Trace[:8], rand.Uint64()|1)
		binary.BigEndian.PutUint64(parent.Trace[8:], rand.Uint64())
	}
	var id pcommon.SpanID
	binary.BigEndian.PutUint64(id[:], rand.Uint64()|1)
	span.SetTraceID(pcommon.TraceID(parent.Trace))
	span.SetParentSpanID(pcommon.SpanID(parent.Span))
	span.SetSpanID(id)
	c.describe(span)
}

func describe(span ptrace.Span, r model.Record) {
	span.SetName("chat " + r.Request.Model[strings.LastIndexByte(r.Request.Model, '/')+1:]) // of an ARN the model's id
	span.SetKind(ptrace.SpanKindClient)
	span.SetStartTimestamp(pcommon.NewTimestampFromTime(r.Began))
	span.SetEndTimestamp(pcommon.NewTimestampFromTime(r.Began.Add(r.Took)))
	a := span.Attributes()
	a.PutStr("gen_ai.operation.name", "chat")
	a.PutStr("gen_ai.provider.name", "aws.bedrock")
	a.PutStr("gen_ai.request.model", r.Request.Model)
	if r.First > 0 {
		a.PutDouble("gen_ai.response.time_to_first_chunk", r.First.Seconds())
	}
	if r.Tries > 0 {
		a.PutInt("moorage.model.tries", int64(r.Tries))
	}
	if stop := r.Answer.Stop; stop.Reason != "" {
		a.PutStr("gen_ai.response.model", stop.Model)
		a.PutEmptySlice("gen_ai.response.finish_reasons").AppendEmpty().SetStr(string(stop.Reason))
		a.PutInt("gen_ai.usage.input_tokens", int64(stop.Usage.Input))
		a.PutInt("gen_ai.usage.output_tokens", int64(stop.Usage.Output))
		if stop.Usage.CacheRead > 0 {
			a.PutInt("gen_ai.usage.cache_read.input_tokens", int64(stop.Usage.CacheRead))
		}
	}
	put(a, "gen_ai.system_instructions", instructions(r.Request.System))
	put(a, "gen_ai.input.messages", messages(r.Request.Messages))
	put(a, "gen_ai.output.messages", messages([]model.Message{r.Answer.Message}))
	if r.Err != nil {
		span.Status().SetCode(ptrace.StatusCodeError)
		span.Status().SetMessage(r.Err.Error())
	}
}

func put(a pcommon.Map, key string, what any) {
	if doc, err := json.Marshal(what); err == nil && string(doc) != "null" {
		a.PutStr(key, string(doc))
	}
}
