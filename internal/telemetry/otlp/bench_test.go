package otlp_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
	"github.com/moorage-dev/moorage/internal/telemetry/calls"
)

// vocabulary is what agents talk about.
var vocabulary = strings.Fields(`the research agent found that a clinic announced a diagnostic platform with ninety four percent accuracy in early
	disease detection across a trial of twelve thousand patients revealed records entity extraction knowledge base confidence score article
	review feedback generation supervisor tool call result model prompt token latency session user request context memory`)

func prose(r *rand.Rand, n int) string {
	var b strings.Builder
	for b.Len() < n {
		b.WriteString(vocabulary[r.IntN(len(vocabulary))])
		b.WriteByte(' ')
	}
	return b.String()
}

// traffic makes export requests of 500 spans: 50 traces of ten spans, two of which are model calls and two
// tool calls, with 1.2 kB of attributes a span on average.
func traffic(tb testing.TB, requests int, seed uint64) [][]byte {
	tb.Helper()
	r := rand.New(rand.NewPCG(seed, 2))
	out := make([][]byte, requests)
	for i := range out {
		s := newSheet()
		s.began = time.Now().Add(-time.Hour)
		for range 50 {
			agentTrace(s, r)
		}
		raw, err := ptraceotlp.NewExportRequestFromTraces(s.Traces).MarshalProto()
		if err != nil {
			tb.Fatal(err)
		}
		out[i] = raw
	}
	return out
}

var steps = []string{"POST /invocations", "invoke_agent supervisor", "execute_event_loop_cycle", "chat", "chat us.amazon.nova-pro-v1:0",
	"execute_tool research", "execute_event_loop_cycle", "chat", "chat us.amazon.nova-pro-v1:0", "execute_tool knowledge_base"}

func agentTrace(s *sheet, r *rand.Rand) {
	trace, first := r.Uint64(), r.Uint64()>>8
	session := fmt.Sprintf("session-%08d-0123456789abcdef", r.IntN(20_000))
	total := 500 + r.IntN(4000)
	for i, name := range steps {
		operation, _, _ := strings.Cut(name, " ")
		a := map[string]any{
			"session.id": session, "gen_ai.operation.name": operation, "aws.local.service": "newsroom.DEFAULT", "telemetry.extended": "true",
			"aws.local.environment": "bedrock-agentcore:default", "aws.request_id": fmt.Sprintf("%016x-%08x", r.Uint64(), r.Uint32()),
			"aws.span.kind": "CLIENT", "aws.region": "us-east-1", "PlatformType": "AWS::BedrockAgentCore", "http.response.status_code": 200,
			"gen_ai.request.model": "us.amazon.nova-pro-v1:0", "gen_ai.event.start_time": fmt.Sprint(r.Uint64()),
		}
		switch operation {
		case "chat":
			a["gen_ai.usage.input_tokens"], a["gen_ai.usage.output_tokens"] = r.IntN(20_000), r.IntN(900)
			a["gen_ai.input.messages"], a["gen_ai.output.messages"] = prose(r, 1500), prose(r, 700)
		case "execute_tool":
			a["gen_ai.tool.call.arguments"], a["gen_ai.tool.call.result"] = prose(r, 200), prose(r, 800)
		}
		parent := uint64(0)
		if i > 0 {
			parent = first + uint64((i-1)/2)
		}
		s.add(trace, first+uint64(i), parent, name, i*total/12, i*total/12+total/(i+1), a)
	}
}

// BenchmarkIngest sends spans to the real endpoint from four clients, each of which waits for its answer:
// for the disk. Set -benchtime to a number of requests of 500 spans.
func BenchmarkIngest(b *testing.B) {
	for _, asked := range []bool{false, true} {
		b.Run(map[bool]string{false: "alone", true: "with queries"}[asked], func(b *testing.B) { ingest(b, asked) })
	}
}

func ingest(b *testing.B, asked bool) {
	requests := traffic(b, b.N, 1)
	dir := b.TempDir()
	s := openStation(b, archive.Options{Dir: dir})
	s.from = nil
	ctx, stop := context.WithCancel(b.Context())
	var asking sync.WaitGroup
	questions := 0
	if asked {
		asking.Go(func() { questions = ask(ctx, b, s) })
	}
	b.ResetTimer()
	var next atomic.Int64
	var sending sync.WaitGroup
	for range 4 {
		sending.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(requests); i = next.Add(1) - 1 {
				deliver(b, s.url, requests[i])
			}
		})
	}
	sending.Wait()
	b.StopTimer()
	stop()
	asking.Wait()
	spans := float64(500 * b.N)
	b.ReportMetric(spans/b.Elapsed().Seconds(), "spans/s")
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(sizeOf(b, dir))/spans, "B/span")
	if asked {
		b.ReportMetric(float64(questions)/b.Elapsed().Seconds(), "queries/s")
	}
}

// ask lists sessions and opens traces, as a console does, until ctx ends.
func ask(ctx context.Context, b *testing.B, s *station) (n int) {
	for ctx.Err() == nil {
		page, _, err := s.Traces(context.WithoutCancel(ctx), archive.Query{})
		if err != nil {
			b.Error(err)
			return n
		}
		if _, _, err := s.Sessions(context.WithoutCancel(ctx), archive.Query{}); err != nil {
			b.Error(err)
			return n
		}
		n += 2
		for _, t := range page[:min(5, len(page))] {
			id, _ := telemetry.ParseTraceID(t.TraceID)
			if _, err := s.Trace(context.WithoutCancel(ctx), id); err != nil {
				b.Error(err)
				return n
			}
			n++
		}
		select { // a console asks now and then
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
	return n
}

func deliver(b *testing.B, url string, body []byte) {
	resp, err := http.Post(url+"/v1/traces", "application/x-protobuf", bytes.NewReader(body))
	if err != nil {
		b.Error(err)
		return
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b.Errorf("status %d", resp.StatusCode)
	}
}

func sizeOf(tb testing.TB, dir string) (n int64) {
	tb.Helper()
	err := filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			n += info.Size()
		}
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// BenchmarkCalls is what the service span of a call costs from its begin to the disk.
func BenchmarkCalls(b *testing.B) {
	s := openStation(b, archive.Options{Dir: b.TempDir()})
	r := calls.New(s.Append, s.Codec(), "us-east-1", "123456789012", slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); r.Run(ctx) }()
	for b.Loop() {
		span := r.Begin(calls.Call{Operation: "InvokeAgentRuntime", RequestID: "request", Source: telemetry.Source{Runtime: "news-0123456789", Endpoint: "DEFAULT", Caller: "caller"}})
		span.Propagate(http.Header{})
		span.Join("s1")
		span.End(nil)
	}
	stop()
	<-ended
	b.ReportMetric(float64(r.Dropped())/float64(b.N), "dropped/op")
}
