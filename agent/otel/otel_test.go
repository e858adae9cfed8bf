package otel_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	global "go.opentelemetry.io/otel"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/moorage-dev/moorage/agent"
	"github.com/moorage-dev/moorage/agent/otel"
)

// collect is an OTLP receiver.
func collect(t *testing.T) (url string, spans chan *tracepb.Span) {
	spans = make(chan *tracepb.Span, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		var in collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(raw, &in)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		for _, resource := range in.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				for _, span := range scope.Spans {
					spans <- span
				}
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(server.Close)
	return server.URL, spans
}

func TestTrace_spansJoinTheCallersTraceAndReachTheCollector(t *testing.T) {
	url, received := collect(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
	flush, err := otel.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	handle := func(ctx context.Context, what string) (string, error) {
		_, span := global.Tracer("test").Start(ctx, "think")
		defer span.End()
		switch what {
		case "fail":
			return "", errors.New("no idea")
		case "panic":
			panic("out of order")
		}
		return "ok", nil
	}
	s := &agent.Server{Entrypoint: otel.Trace(agent.Handle(handle)), Log: slog.New(slog.DiscardHandler)}
	for i, payload := range []string{`"think"`, `"fail"`, `"panic"`, `"unsampled"`} {
		r := httptest.NewRequest("POST", "/invocations", strings.NewReader(payload))
		r.Header.Set("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", "session")
		r.Header.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0"+string("1110"[i]))
		s.ServeHTTP(httptest.NewRecorder(), r)
	}
	if err := flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(received)
	var calls, thoughts int
	statuses := map[tracepb.Status_StatusCode]int{}
	for span := range received {
		if id := string(span.TraceId); id != "\x0a\xf7\x65\x19\x16\xcd\x43\xdd\x84\x48\xeb\x21\x1c\x80\x31\x9c" {
			t.Errorf("%s is in trace %x", span.Name, id)
		}
		switch span.Name {
		case "POST /invocations":
			calls++
			statuses[span.Status.GetCode()]++
			if !strings.Contains(span.String(), `key:"session.id"`) || string(span.ParentSpanId) != "\xb7\xad\x6b\x71\x69\x20\x33\x31" {
				t.Errorf("span %v", span)
			}
		case "think":
			thoughts++
		}
	}
	if calls != 3 || thoughts != 3 || statuses[tracepb.Status_STATUS_CODE_ERROR] != 2 {
		t.Errorf("%d calls, %d thoughts, statuses %v; want 3, 3 and two errors", calls, thoughts, statuses)
	}
}

func TestStart_withoutACollectorIsQuiet(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	flush, err := otel.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := flush(t.Context()); err != nil {
		t.Error(err)
	}
}

func ExampleTrace() {
	flush, err := otel.Start(context.Background())
	if err != nil {
		slog.Error("telemetry is off", "error", err)
		return
	}
	defer flush(context.Background())
	server := &agent.Server{Entrypoint: otel.Trace(agent.Handle(func(ctx context.Context, prompt string) (string, error) {
		return "You said: " + prompt, nil // spans started from ctx go below the call's
	}))}
	_ = server.Run // in main: server.Run(ctx)
	// Output:
}
