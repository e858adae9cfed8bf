// Package calls makes the service span of every data-plane call: what the platform saw of it.
//
// The span is the parent of whatever the agent reports. It takes up the trace that the caller is in, or
// begins one, and hands that on to the agent in every form that its tracing may read: traceparent,
// X-Amzn-Trace-Id, and the session as baggage, from which the AWS distro copies it to the agent's spans.
//
// A call waits for no disk: finished spans are written every [Delay], and a killed server loses those of
// that time. When they come faster than they are written, they are counted and dropped.
package calls

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/lazy"
	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/document"
	"github.com/moorage-dev/moorage/internal/telemetry/genai"
)

// Delay is how long a finished span waits for others, and maxFinished how many do.
const (
	Delay       = 200 * time.Millisecond
	maxFinished = 16 << 10
)

// Recorder writes spans. A nil one records nothing, and its spans propagate nothing.
type Recorder struct {
	keep            func(context.Context, telemetry.Batch) error
	codec           *document.Codec
	region, account string
	log             *slog.Logger

	// Vend says where the application logs of an endpoint go; nil, and none, is nowhere. It is set before the first call.
	Vend func(telemetry.Source) []Vended

	finished chan *Span
	rounds   *lazy.Ticker // of the writer
	waiting  atomic.Int64 // bytes of payloads
	dropped  atomic.Int64
	meter    meter
	current  sync.Map // of sessions: the span of the call that came last and is not over
}

// New makes a recorder; Run has to run for anything to be kept.
func New(keep func(context.Context, telemetry.Batch) error, codec *document.Codec, region, account string, log *slog.Logger) *Recorder {
	return &Recorder{keep: keep, codec: codec, region: region, account: account, log: log, finished: make(chan *Span, maxFinished), rounds: lazy.NewTicker(Delay)}
}

// Dropped is how many spans came faster than they were written.
func (r *Recorder) Dropped() int64 { return r.dropped.Load() }

// Call is what a span says of a call.
type Call struct {
	Operation string // InvokeAgentRuntime, …
	RequestID string
	Header    http.Header // of the caller's request
	Source    telemetry.Source
	Owner     string // who calls
	Address   string // where the call came from
}

// Span is a call in progress. End it once; more ends change nothing.
type Span struct {
	recorder *Recorder
	call     Call
	context  traceContext
	id       telemetry.SpanID
	began    time.Time
	took     time.Duration
	started  *moorage.Session // which the call waited for; nil when it was there
	words    *Words           // nil when nobody wants them
	err      error
	ended    atomic.Bool
}

// Begin begins the span of a call.
func (r *Recorder) Begin(c Call) *Span {
	if r == nil {
		return nil
	}
	now := time.Now()
	return &Span{recorder: r, call: c, context: contextOf(c.Header, now), id: newSpanID(), began: now}
}

// Join says which session the call is in.
func (s *Span) Join(session string) {
	if s != nil {
		s.call.Source.Session = session
		s.recorder.current.Store(session, s)
	}
}

// End finishes the span. Err is what the caller is told, or nil.
func (s *Span) End(err error) {
	if s == nil || s.ended.Swap(true) {
		return
	}
	s.took, s.err, s.call.Header = time.Since(s.began), err, nil
	s.recorder.current.CompareAndDelete(s.call.Source.Session, s)
	select {
	case s.recorder.finished <- s:
		s.recorder.rounds.Wake()
	default:
		s.recorder.dropped.Add(1)
		if s.words != nil {
			s.words.take()
		}
	}
}

// Run writes finished spans until ctx ends, and those that are left then.
func (r *Recorder) Run(ctx context.Context) {
	keep := context.WithoutCancel(ctx)
	r.rounds.Run(ctx, func() time.Duration { return r.write(keep) })
	r.write(keep)
}

// write writes what is there, and returns when to come back for what could not be written.
func (r *Recorder) write(ctx context.Context) (next time.Duration) {
	if err := r.flush(ctx); err != nil {
		r.log.Error("keep the spans of calls", "err", err)
		return Delay
	}
	return 0
}

// maxFlush is how many spans make one batch: who reads one of them unpacks as many.
const maxFlush = 512

func (r *Recorder) flush(ctx context.Context) error {
	if points := r.meter.take(); len(points) > 0 {
		if err := r.keep(ctx, telemetry.Batch{Received: time.Now(), Points: points}); err != nil {
			return err
		}
	}
	for left := len(r.finished); left > 0; left -= maxFlush { // what finishes meanwhile waits for others, too
		n := min(left, maxFlush)
		batch, err := r.batch(n)
		if err == nil {
			err = r.keep(ctx, batch)
		}
		if err != nil {
			r.dropped.Add(int64(n))
			return err
		}
	}
	return nil
}

// batch takes n finished spans.
func (r *Recorder) batch(n int) (telemetry.Batch, error) {
	b := telemetry.Batch{Received: time.Now()}
	begun, waited := newSheaf(n), r.codec.Packer()
	var told []*Span
	for range n {
		s := <-r.finished
		if s.words != nil {
			told = append(told, s)
		}
		if s.context.begun && s.started == nil {
			begun.add(s)
			continue
		}
		if err := waited.AddTraces(s.chunk()); err != nil {
			return b, err
		}
	}
	b.Packs = waited.Packs()
	if len(told) > 0 {
		var err error
		if b.Lines, err = r.vended(told); err != nil {
			return b, err
		}
	}
	if len(begun.Begun) == 0 {
		return b, nil
	}
	var err error
	begun.Doc, err = r.codec.PackTraces(begun.spans)
	b.Calls = []telemetry.Calls{begun.Calls}
	return b, err
}

// chunk writes a span as a message of its own.
func (s *Span) chunk() (telemetry.Chunk, ptrace.Traces) {
	doc := ptrace.NewTraces()
	resource, spans := platform(doc)
	span := spans.AppendEmpty()
	s.fill(span)
	facts := []telemetry.Fact{genai.DrawFrom(s.call.Source, span, genai.Platform)}
	facts = append(facts, s.fillStart(resource)...)
	return telemetry.Chunk{Trace: s.context.trace, Source: s.call.Source, Facts: facts}, doc
}

// fill writes the attributes of the span. Source: AgentCore developer guide, runtime spans; the caller
// beside them is ours.
func (s *Span) fill(span ptrace.Span) {
	span.SetTraceID(pcommon.TraceID(s.context.trace))
	span.SetSpanID(pcommon.SpanID(s.id))
	span.SetParentSpanID(pcommon.SpanID(s.context.parent))
	span.SetName(s.call.Operation)
	span.SetKind(ptrace.SpanKindServer)
	span.SetStartTimestamp(pcommon.NewTimestampFromTime(s.began))
	span.SetEndTimestamp(pcommon.NewTimestampFromTime(s.began.Add(s.took)))
	from, arn := s.call.Source, moorage.RuntimeARN(s.recorder.region, s.recorder.account, s.call.Source.Runtime).String()
	a := span.Attributes()
	a.EnsureCapacity(15)
	for _, each := range [...]struct{ key, text string }{
		{"aws.operation.name", s.call.Operation}, {"aws.resource.arn", arn}, {"aws.request_id", s.call.RequestID}, {"aws.agent.id", from.Runtime},
		{"aws.endpoint.name", from.Endpoint}, {"aws.account.id", s.recorder.account}, {"aws.region", s.recorder.region},
		{"aws.resource.type", "AWS::BedrockAgentCore::Runtime"}, {"aws.xray.origin", "AWS::BedrockAgentCore::Runtime"},
		{"session.id", from.Caller}, {"enduser.id", s.call.Owner}, {"client.address", s.call.Address}, {"moorage.version", from.Version},
	} {
		if each.text != "" {
			a.PutStr(each.key, each.text)
		}
	}
	a.PutInt("latency_ms", s.took.Milliseconds())
	if s.err != nil {
		a.PutStr("error_type", string(FaultOf(s.err)))
		span.Status().SetCode(ptrace.StatusCodeError)
		span.Status().SetMessage(s.err.Error())
	}
}

// FaultOf says whose a failure is: the statuses 429 and 402 are throttles, the other 4xx the user's, and
// 5xx the system's. Source: AgentCore developer guide, runtime metrics.
func FaultOf(err error) telemetry.Fault {
	switch moorage.CodeOf(err) {
	case "":
		return telemetry.NoFault
	case moorage.Throttled, moorage.Quota:
		return telemetry.Throttle
	case moorage.Internal, moorage.Unavailable:
		return telemetry.SystemFault
	}
	return telemetry.UserFault
}
