package genai_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/document"
	"github.com/moorage-dev/moorage/internal/telemetry/genai"
	"github.com/moorage-dev/moorage/internal/telemetry/otlp"
)

// FuzzInlet sends whatever bytes to every signal, in both forms: each is answered, and what is taken can be
// unpacked again, understood and written as JSON.
func FuzzInlet(f *testing.F) {
	for _, a := range []attributes{
		{"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 12, "gen_ai.input.messages": `[{"role":"user","parts":[{"type":"text","content":"x"}]}]`},
		{"gen_ai.prompt.0.content": "[{", "llm.input_messages.0.message.contents.0.message_content.text": 1},
	} {
		spans := ptrace.NewTraces()
		span := spanOf(f, "chat", a, event{"gen_ai.choice", attributes{"message": `[{"text":"x"}]`}})
		span.SetTraceID([16]byte{1})
		span.SetSpanID([8]byte{1})
		span.CopyTo(spans.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty())
		request := ptraceotlp.NewExportRequestFromTraces(spans)
		protobuf, err := request.MarshalProto()
		if err != nil {
			f.Fatal(err)
		}
		text, err := request.MarshalJSON()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(protobuf, uint8(0))
		f.Add(text, uint8(1))
	}
	f.Add([]byte("\x9e"), uint8('5')) // its refusal was no UTF-8
	f.Add([]byte(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"x"},"traceId":"00000000000000000000000000000001"}]}]}]}`), uint8(3))
	f.Add([]byte(`{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","gauge":{"dataPoints":[{"asDouble":"NaN"}]}}]}]}]}`), uint8(5))
	codec, err := document.NewCodec()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte, way uint8) {
		keep := func(_ context.Context, b telemetry.Batch) error { understand(t, codec, b); return nil }
		inlet := otlp.New(keep, codec, slog.New(slog.DiscardHandler))
		signal := []string{"traces", "logs", "metrics"}[way/2%3]
		media := []string{"application/x-protobuf", "application/json"}[way%2]
		r := httptest.NewRequest("POST", "/v1/"+signal, bytes.NewReader(raw))
		r.Header.Set("Content-Type", media)
		w := httptest.NewRecorder()
		inlet.ServeHTTP(w, r)
		if w.Code != http.StatusOK && w.Code != http.StatusBadRequest && w.Code != http.StatusRequestEntityTooLarge {
			t.Fatalf("%d %q", w.Code, w.Body)
		}
	})
}

func understandChunk(t *testing.T, message []byte, c telemetry.Chunk) {
	spans, err := new(ptrace.ProtoUnmarshaler).UnmarshalTraces(message)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, resource := range spans.ResourceSpans().All() {
		for _, scope := range resource.ScopeSpans().All() {
			for _, span := range scope.Spans().All() {
				drawn, fact := genai.Draw(span, scope.Scope().Name()), c.Facts[n]
				n++
				written(t, genai.Read(span, drawn))
				written(t, span.Attributes().AsRaw())
				if telemetry.TraceID(span.TraceID()) != c.Trace || fact.End < fact.Start || fact.Usage.Input < 0 {
					t.Fatalf("the fact %+v", fact)
				}
				if drawn.Start, drawn.End = fact.Start, fact.End; drawn != fact { // times may have been mended
					t.Fatalf("the fact %+v is drawn again as %+v", fact, drawn)
				}
			}
		}
	}
	if n != len(c.Facts) || spans.ResourceSpans().Len() != c.Resources {
		t.Fatalf("%d spans in %d resources, %d facts", n, spans.ResourceSpans().Len(), len(c.Facts))
	}
}

// understand reads a batch as a reader of it would.
func understand(t *testing.T, codec *document.Codec, b telemetry.Batch) {
	for _, p := range b.Packs {
		raw, err := codec.Spans(p.Doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range p.Chunks {
			understandChunk(t, raw[:c.Size], c)
			raw = raw[c.Size:]
		}
		if len(raw) > 0 {
			t.Fatalf("%d bytes are of no chunk", len(raw))
		}
	}
	for _, l := range b.Lines {
		logs, err := codec.Logs(l.Doc)
		if err != nil || logs.LogRecordCount() != l.Count {
			t.Fatalf("%d lines are %d, %v", l.Count, logs.LogRecordCount(), err)
		}
		for _, resource := range logs.ResourceLogs().All() {
			for _, scope := range resource.ScopeLogs().All() {
				for _, record := range scope.LogRecords().All() {
					readLog(t, record)
				}
			}
		}
	}
	for _, p := range b.Points {
		written(t, p)
	}
}

func readLog(t *testing.T, record plog.LogRecord) {
	var r genai.Reading
	r.ReadLog(record)
	written(t, r)
	written(t, record.Body().AsRaw())
}

func written(t *testing.T, v any) {
	if _, err := json.Marshal(v); err != nil {
		t.Fatal(err)
	}
}
