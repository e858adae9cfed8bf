package otlp_test

import (
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/status"

	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
)

// The AWS distro moves messages off the span into log records: they are shown on the span again.
func TestLogs_belongToTheirSpans(t *testing.T) {
	s := newStation(t)
	spans := newSheet()
	spans.add(1, 1, 0, "chat", 0, 100, map[string]any{"gen_ai.operation.name": "chat", "session.id": "one"})
	s.send(t, spans.Traces)

	logs := plog.NewLogs()
	record := logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	record.SetTimestamp(pcommon.NewTimestampFromTime(time.Now()))
	record.SetTraceID(traceID(1))
	record.SetSpanID(spanID(1))
	record.Attributes().PutStr("event.name", "strands.telemetry.tracer")
	record.Attributes().PutStr("session.id", "one")
	err := record.Body().SetEmptyMap().FromRaw(map[string]any{
		"input":  map[string]any{"messages": []any{map[string]any{"role": "user", "content": map[string]any{"content": `[{"text":"hello"}]`}}}},
		"output": map[string]any{"messages": []any{map[string]any{"role": "assistant", "content": map[string]any{"message": `[{"text":"good day"}]`, "finish_reason": "end_turn"}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := plogotlp.NewExportRequestFromLogs(logs).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	if code, answer, _ := s.post(t, "/v1/logs", "application/x-protobuf", "", raw); code != http.StatusOK {
		t.Fatalf("%d %q", code, answer)
	}
	whole := s.trace(t, 1)
	if len(whole.Logs) != 1 || whole.Logs[0].SpanID != spanID(1).String() {
		t.Fatalf("the trace's logs are %+v", whole.Logs)
	}
	span := whole.Spans[0]
	if len(span.Input) != 1 || span.Input[0].Parts[0].Text != "hello" || len(span.Output) != 1 || span.Output[0].Parts[0].Text != "good day" {
		t.Errorf("the span's messages are %+v and %+v", span.Input, span.Output)
	}
	found, err := s.Logs(t.Context(), archive.LogQuery{Session: "one", Text: "GOOD DAY"})
	if err != nil || len(found) != 1 || found[0].ID != whole.Logs[0].ID {
		t.Errorf("search found %+v, %v", found, err)
	}
}

// A real gRPC client delivers what the HTTP inlet takes.
func TestInlet_speaksGRPC(t *testing.T) {
	s := newStation(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	srv := &http.Server{Handler: s.inlet, Protocols: protocols, BaseContext: func(net.Listener) context.Context {
		return telemetry.WithSource(context.Background(), telemetry.Source{Session: "s1", Sandbox: "box"})
	}}
	ended := make(chan struct{})
	go func() { defer close(ended); srv.Serve(l) }()
	t.Cleanup(func() { srv.Close(); <-ended })
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	client := ptraceotlp.NewGRPCClient(conn)
	for n, options := range [][]grpc.CallOption{nil, {grpc.UseCompressor(gzip.Name)}} {
		spans := newSheet()
		spans.add(uint64(n+1), 1, 0, "x", 0, 1, nil)
		if _, err := client.Export(t.Context(), ptraceotlp.NewExportRequestFromTraces(spans.Traces), options...); err != nil {
			t.Fatal(err)
		}
		if got := s.trace(t, uint64(n+1)); got.SessionID != "s1" {
			t.Errorf("the trace is %+v", got.TraceSummary)
		}
	}
	spans := newSheet()
	for range 3 {
		spans.add(9, 1, 0, "x", 0, 1, map[string]any{"large": string(make([]byte, 2<<20))})
	}
	if _, err := client.Export(t.Context(), ptraceotlp.NewExportRequestFromTraces(spans.Traces)); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a message that is too large: %v", err)
	}
}
