// Package otel gives an agent's calls OpenTelemetry spans.
//
// [Start] sends spans to where the platform has said, by the OTEL_… variables of the OpenTelemetry
// specification. [Trace] puts a span around each call, in the caller's trace and under the session's
// id; spans that the agent starts from the call's context go below it.
//
// It is a module of its own, so that agents without it do not carry OpenTelemetry, and it is outside
// the workspace, so that its dependencies' versions do not become the server's: test it with GOWORK=off.
// Its name is that of OpenTelemetry's own package; import one of the two under another.
package otel

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime/debug"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/moorage-dev/moorage/agent"
)

const scope = "github.com/moorage-dev/moorage/agent/otel"

// Start makes OpenTelemetry's global tracer and propagator ones that send OTLP over HTTP. The caller
// calls flush before the program ends, which sends what is left. Where neither
// OTEL_EXPORTER_OTLP_ENDPOINT nor OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set, nothing is recorded or sent.
func Start(ctx context.Context) (flush func(context.Context) error, err error) {
	otel.SetTextMapPropagator(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}))
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" {
		return func(context.Context) error { return nil }, nil
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("open OTLP exporter: %w", err)
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithIDGenerator(ids{}))
	otel.SetTracerProvider(provider)
	return provider.Shutdown, nil
}

// ids are drawn from the kernel. OpenTelemetry's own come from math/rand, which clones of a program share.
type ids struct{}

func (ids) NewIDs(ctx context.Context) (id oteltrace.TraceID, span oteltrace.SpanID) {
	for !id.IsValid() {
		rand.Read(id[:]) // never fails
	}
	return id, ids{}.NewSpanID(ctx, id)
}

func (ids) NewSpanID(context.Context, oteltrace.TraceID) (span oteltrace.SpanID) {
	for !span.IsValid() {
		rand.Read(span[:])
	}
	return span
}

// Trace puts a server span around each call to entrypoint. A call whose trace is not sampled gets none
// that is recorded. An answer of 500 and above is the span's error, as is a panic, which goes on.
func Trace(entrypoint http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := otel.GetTextMapPropagator().Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		request := agent.RequestOf(ctx)
		ctx, span := otel.Tracer(scope).Start(ctx, r.Method+" "+r.URL.Path, oteltrace.WithSpanKind(oteltrace.SpanKindServer),
			oteltrace.WithAttributes(
				attribute.String("http.request.method", r.Method),
				attribute.String("url.path", r.URL.Path),
				attribute.String("session.id", request.SessionID),
				attribute.String("aws.request_id", request.RequestID),
			))
		answer := &answerWriter{ResponseWriter: w, status: http.StatusOK}
		defer end(span, answer)
		entrypoint.ServeHTTP(answer, r.WithContext(ctx))
	})
}

// end ends the span with how the call went.
func end(span oteltrace.Span, answer *answerWriter) {
	defer span.End()
	cause := recover()
	if cause != nil {
		span.RecordError(asError(cause), oteltrace.WithAttributes(attribute.String("exception.stacktrace", string(debug.Stack()))))
		span.SetStatus(codes.Error, "panic")
		panic(cause)
	}
	span.SetAttributes(attribute.Int("http.response.status_code", answer.status))
	if answer.status >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, http.StatusText(answer.status))
	}
}

func asError(cause any) error {
	if err, ok := cause.(error); ok {
		return err
	}
	return errors.New(fmt.Sprint(cause))
}

// answerWriter remembers the status.
type answerWriter struct {
	http.ResponseWriter
	status int
}

func (a *answerWriter) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

// Flush is here for handlers that ask for an http.Flusher.
func (a *answerWriter) Flush() { http.NewResponseController(a.ResponseWriter).Flush() }

// Unwrap is for http.ResponseController.
func (a *answerWriter) Unwrap() http.ResponseWriter { return a.ResponseWriter }
