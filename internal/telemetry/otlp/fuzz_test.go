package otlp_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
	"github.com/moorage-dev/moorage/internal/telemetry/otlp"
)

// FuzzInlet sends whatever bytes to every signal, in both forms: each is answered, and what is taken can be
// listed, read whole and written as JSON.
func FuzzInlet(f *testing.F) {
	spans := newSheet()
	modelCall(spans)
	spans.add(3, 1, 1, "own parent", 10, 5, map[string]any{"gen_ai.prompt.0.content": "[{", "llm.input_messages.0.message.contents.x.y": 1})
	request := ptraceotlp.NewExportRequestFromTraces(spans.Traces)
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
	f.Add([]byte(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"x"},"traceId":"00000000000000000000000000000001"}]}]}]}`), uint8(3))
	f.Add([]byte(`{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","gauge":{"dataPoints":[{"asDouble":"NaN"}]}}]}]}]}`), uint8(5))
	a, err := archive.Open(f.Context(), archive.Options{Dir: f.TempDir()})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { a.Close() })
	inlet := otlp.New(a.Append, a.Codec(), slog.New(slog.DiscardHandler))
	f.Fuzz(func(t *testing.T, raw []byte, way uint8) {
		signal := []string{"traces", "logs", "metrics"}[way/2%3]
		media := []string{"application/x-protobuf", "application/json"}[way%2]
		r := httptest.NewRequest("POST", "/v1/"+signal, bytes.NewReader(raw))
		r.Header.Set("Content-Type", media)
		w := httptest.NewRecorder()
		inlet.ServeHTTP(w, r)
		if w.Code != http.StatusOK && w.Code != http.StatusBadRequest && w.Code != http.StatusRequestEntityTooLarge {
			t.Fatalf("%d %q", w.Code, w.Body)
		}
		page, _, err := a.Traces(t.Context(), archive.Query{Limit: 5, Plumbing: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, each := range page {
			id, _ := telemetry.ParseTraceID(each.TraceID)
			whole, err := a.Trace(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := json.Marshal(whole); err != nil {
				t.Fatal(err)
			}
		}
	})
}
