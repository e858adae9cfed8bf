package invoke_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/moorage-dev/moorage/internal/session/sessiontest"
	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
	"github.com/moorage-dev/moorage/internal/telemetry/calls"
)

// recorded is a door whose calls are on record in an archive.
func recorded(t *testing.T) (*door, *archive.Archive) {
	t.Helper()
	d := newDoor(t)
	a, err := archive.Open(t.Context(), archive.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	d.Calls = calls.New(a.Append, a.Codec(), region, account, slog.New(slog.NewTextHandler(t.Output(), nil)))
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); d.Calls.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		<-ended
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return d, a
}

// span waits for the service span of the one call of a trace.
func span(t *testing.T, a *archive.Archive, id string) telemetry.Span {
	t.Helper()
	trace, ok := telemetry.ParseTraceID(id)
	if !ok {
		t.Fatalf("%q is no trace id", id)
	}
	var found telemetry.Trace
	sessiontest.Eventually(t, "the span of the call is there", func() bool {
		var err error
		found, err = a.Trace(t.Context(), trace)
		return err == nil
	})
	services := slices.DeleteFunc(found.Spans, func(s telemetry.Span) bool { return s.Kind != telemetry.Service })
	if len(services) != 1 {
		t.Fatalf("the trace is %+v", found)
	}
	return services[0]
}

func TestSpan_tellsTheStartThatACallWaitedFor(t *testing.T) {
	d, a := recorded(t)
	names := func(id string) (names []string) {
		span(t, a, id)
		trace, _ := telemetry.ParseTraceID(id)
		found, err := a.Trace(t.Context(), trace)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range found.Spans {
			names = append(names, fmt.Sprint(s.Depth, " ", s.Name))
		}
		return names
	}
	const first, second = "69203c2a5f6b8f1d2c3e4a5b6c7d8e91", "69203c2a5f6b8f1d2c3e4a5b6c7d8e92"
	for _, trace := range []string{first, second} {
		d.say(t, "echo hello", http.Header{"Traceparent": {"00-" + trace + "-00f067aa0ba902b7-01"}})
	}
	want := []string{"0 InvokeAgentRuntime", "1 start session (cold)", "2 wait for its turn", "2 create sandbox", "2 agent answers"}
	if got := names(first); !slices.Equal(got, want) {
		t.Errorf("the first call's trace is %q", got)
	}
	if got := names(second); !slices.Equal(got, want[:1]) {
		t.Errorf("the second call's trace is %q", got)
	}
}

func TestSpan_isTheParentOfWhatTheAgentDoes(t *testing.T) {
	d, a := recorded(t)
	const trace = "69203c2a5f6b8f1d2c3e4a5b6c7d8e9f"
	header := http.Header{"Traceparent": {"00-" + trace + "-00f067aa0ba902b7-01"}, "Baggage": {"session.id=forged, team=news"}}
	var got http.Header
	if err := json.Unmarshal([]byte(d.say(t, "headers", header)), &got); err != nil {
		t.Fatal(err)
	}
	s := span(t, a, trace)
	if want := "00-" + trace + "-" + s.SpanID + "-01"; got.Get("Traceparent") != want {
		t.Errorf("the agent got traceparent %q, want %q", got.Get("Traceparent"), want)
	}
	if want := "Root=1-69203c2a-5f6b8f1d2c3e4a5b6c7d8e9f;Parent=" + s.SpanID + ";Sampled=1"; got.Get("X-Amzn-Trace-Id") != want {
		t.Errorf("the agent got %q, want %q", got.Get("X-Amzn-Trace-Id"), want)
	}
	if want := "team=news,session.id=" + sessionID; strings.Join(got["Baggage"], "|") != want {
		t.Errorf("the agent got baggage %q, want %q", got["Baggage"], want)
	}
	if s.ReportedID != "00f067aa0ba902b7" || s.Depth != 0 || s.Attributes["session.id"] != sessionID || s.Attributes["aws.request_id"] != "request-1" {
		t.Errorf("the span is %+v", s)
	}
	if s.Attributes["aws.operation.name"] != "InvokeAgentRuntime" || s.Attributes["aws.endpoint.name"] != "DEFAULT" || s.Error != "" {
		t.Errorf("the span is %+v", s)
	}
}

func TestSpan_saysWhyACallFailed(t *testing.T) {
	d, a := recorded(t)
	const trace = "69203c2a5f6b8f1d2c3e4a5b6c7d8e90"
	_, err := d.call(t.Context(), "status 500", http.Header{"X-Amzn-Trace-Id": {"Root=1-69203c2a-5f6b8f1d2c3e4a5b6c7d8e90"}})
	if err == nil {
		t.Fatal("the call succeeded")
	}
	s := span(t, a, trace)
	if s.Error != err.Error() || s.Attributes["error_type"] != "user" || s.Status != "error" {
		t.Errorf("the span is %+v", s)
	}
}
