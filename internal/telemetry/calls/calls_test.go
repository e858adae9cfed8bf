package calls_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
	"github.com/moorage-dev/moorage/internal/telemetry/calls"
	"github.com/moorage-dev/moorage/internal/telemetry/genai"
)

// floodDir names the directory that a process of its own keeps calls in, until it is killed.
const floodDir = "MOORAGE_TEST_FLOOD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(floodDir); dir != "" {
		floodUntilKilled(dir)
	}
	os.Exit(m.Run())
}

// floodUntilKilled makes as many calls as the recorder takes, and prints the traces of those that are kept.
func floodUntilKilled(dir string) {
	a, err := archive.Open(context.Background(), archive.Options{Dir: dir, Partition: 1 << 20})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	r := newRecorder(func(ctx context.Context, b telemetry.Batch) error {
		err := a.Append(ctx, b)
		var kept strings.Builder
		for _, c := range b.Calls {
			for _, each := range c.Begun {
				fmt.Fprintln(&kept, each.Trace)
			}
		}
		if err == nil {
			os.Stdout.WriteString(kept.String())
		}
		return err
	}, a)
	go r.Run(context.Background())
	for n := 0; ; n++ {
		call(r, n, nil)
	}
}

func newRecorder(keep func(context.Context, telemetry.Batch) error, a *archive.Archive) *calls.Recorder {
	return calls.New(keep, a.Codec(), "us-east-1", "123456789012", slog.New(slog.DiscardHandler))
}

// call makes a call in one of five sessions and returns its trace.
func call(r *calls.Recorder, n int, err error) string {
	from := telemetry.Source{Runtime: "news-0123456789", Endpoint: "DEFAULT", Version: "1", Caller: "caller"}
	span := r.Begin(calls.Call{Operation: "InvokeAgentRuntime", RequestID: fmt.Sprint("request-", n), Source: from})
	header := http.Header{}
	span.Propagate(header)
	span.Join(fmt.Sprint("session-", n%5))
	span.End(err)
	return strings.Split(header.Get("Traceparent"), "-")[1]
}

func open(t *testing.T, dir string) *archive.Archive {
	t.Helper()
	a, err := archive.Open(t.Context(), archive.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// listed returns all traces of a query by their ids, page by page.
func listed(t *testing.T, a *archive.Archive, q archive.Query) map[string]telemetry.TraceSummary {
	t.Helper()
	out := map[string]telemetry.TraceSummary{}
	for q.Limit = archive.MaxPage; ; {
		page, next, err := a.Traces(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, each := range page {
			out[each.TraceID] = each
		}
		if q.After = next; next == "" {
			return out
		}
	}
}

// whole returns a trace that has to be the one service span of a call.
func whole(t *testing.T, a *archive.Archive, id string) telemetry.Span {
	t.Helper()
	trace, _ := telemetry.ParseTraceID(id)
	got, err := a.Trace(t.Context(), trace)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Spans) != 1 || got.Spans[0].Kind != telemetry.Service {
		t.Fatalf("the trace is %+v", got)
	}
	return got.Spans[0]
}

var errMany = moorage.Errorf(moorage.Throttled, "too many calls")

func TestCalls_aFloodIsListedAndCounted(t *testing.T) {
	a := open(t, t.TempDir())
	r := newRecorder(a.Append, a)
	const many = 1500
	made := map[string]int{}
	for n := range many {
		var err error
		if n%10 == 0 {
			err = errMany
		}
		made[call(r, n, err)] = n
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	r.Run(ctx) // at its end it keeps what there is

	all := listed(t, a, archive.Query{})
	for id, n := range made {
		got, failed := all[id], n%10 == 0
		if got.Spans != 1 || !got.Rooted || got.Name != "InvokeAgentRuntime" || got.SessionID != fmt.Sprint("session-", n%5) || (got.Errors == 1) != failed {
			t.Fatalf("call %d is listed as %+v", n, got)
		}
		if n%50 == 0 {
			s := whole(t, a, id)
			if s.Attributes["aws.request_id"] != fmt.Sprint("request-", n) || s.Error != errMany.Error() {
				t.Errorf("the span of call %d is %+v", n, s)
			}
		}
	}
	if failed := listed(t, a, archive.Query{Failed: true}); len(all) != many || len(failed) != many/10 {
		t.Errorf("%d are listed, %d of them failed", len(all), len(failed))
	}
	sessions, _, err := a.Sessions(t.Context(), archive.Query{})
	if err != nil || len(sessions) != 5 || sessions[0].Traces != many/5 {
		t.Errorf("sessions: %+v, %v", sessions, err)
	}
	for name, want := range map[string]int64{archive.CallsMetric: many, archive.FaultsMetric: many / 10} {
		series, err := a.Metric(t.Context(), archive.MetricQuery{Name: name})
		if err != nil || len(series) != 1 {
			t.Fatalf("%s: %+v, %v", name, series, err)
		}
		count := int64(0)
		for _, p := range series[0].Points {
			count += p.Count
		}
		if count != want {
			t.Errorf("%s counts %d, want %d", name, count, want)
		}
	}
}

// Agents report while the call lasts, and after it.
func TestCalls_areOneTraceWithWhatTheAgentReports(t *testing.T) {
	a := open(t, t.TempDir())
	r := newRecorder(a.Append, a)
	id := call(r, 0, nil)
	report(t, a, id, 1)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	r.Run(ctx)
	report(t, a, id, 2)
	report(t, a, id, 2) // sent again

	got := listed(t, a, archive.Query{})
	if one := got[id]; len(got) != 1 || one.Spans != 3 || one.Name != "InvokeAgentRuntime" || one.ModelCalls != 2 || one.Input != 14 {
		t.Errorf("the list is %+v", got)
	}
	trace, _ := telemetry.ParseTraceID(id)
	whole, err := a.Trace(t.Context(), trace)
	if err != nil || len(whole.Spans) != 3 || whole.Spans[0].Kind != telemetry.Service || whole.Input != 14 || whole.Name != "InvokeAgentRuntime" {
		t.Errorf("the trace is %+v, %v", whole, err)
	}
}

// report sends a model call of seven tokens, as an agent in a call's session does.
func report(t *testing.T, a *archive.Archive, trace string, n byte) {
	t.Helper()
	id, _ := telemetry.ParseTraceID(trace)
	doc := ptrace.NewTraces()
	span := doc.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	span.SetTraceID(pcommon.TraceID(id))
	span.SetSpanID(pcommon.SpanID{n})
	span.SetStartTimestamp(pcommon.NewTimestampFromTime(time.Now()))
	span.SetEndTimestamp(span.StartTimestamp())
	span.Attributes().PutStr("gen_ai.operation.name", "chat")
	span.Attributes().PutInt("gen_ai.usage.input_tokens", 7)
	packer := a.Codec().Packer()
	if err := packer.AddTraces(telemetry.Chunk{Trace: id, Source: telemetry.Source{Session: "session-0", Sandbox: "s"}, Facts: []telemetry.Fact{genai.Draw(span, "")}}, doc); err != nil {
		t.Fatal(err)
	}
	if err := a.Append(t.Context(), telemetry.Batch{Packs: packer.Packs()}); err != nil {
		t.Fatal(err)
	}
}

// What was kept is there when the server was killed, whenever that is.
func TestCalls_nothingKeptIsLostByAKill(t *testing.T) {
	dir := t.TempDir()
	kept := map[string]bool{}
	for round := range 2 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), floodDir+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if kept[lines.Text()] = true; len(kept) > 3000*(round+1) {
				cmd.Process.Kill() // what it had printed before is read still
			}
		}
		cmd.Wait()
	}
	a := open(t, dir)
	all := listed(t, a, archive.Query{})
	n := 0
	for id := range kept {
		if len(id) != 32 {
			continue // the last line was cut off
		}
		if all[id].Spans != 1 {
			t.Fatalf("a call that was kept is listed as %+v", all[id])
		}
		if n++; n%100 == 0 {
			whole(t, a, id)
		}
	}
	if n < 6000 {
		t.Errorf("only %d calls were kept", n)
	}
}
