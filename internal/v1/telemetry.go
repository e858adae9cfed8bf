package v1

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
)

// takeTelemetry passes OTLP on. Its errors have the form that OTLP wants, and are answered by the inlet.
func (h *Handler) takeTelemetry(w http.ResponseWriter, r *http.Request) error {
	h.Inlet.ServeHTTP(w, r)
	return nil
}

// LogPage is an answer to GET /v1/logs.
type LogPage struct {
	Logs []telemetry.Log `json:"logs"` // by time; the newest that match
}

func (h *Handler) findLogs(w http.ResponseWriter, r *http.Request) error {
	asked := r.URL.Query()
	q := archive.LogQuery{Runtime: asked.Get("runtime"), Session: asked.Get("session"), Text: asked.Get("text")}
	var err error
	if q.Since, err = timeOf(asked, "since"); err != nil {
		return err
	}
	if q.Until, err = timeOf(asked, "until"); err != nil {
		return err
	}
	if text := asked.Get("trace"); text != "" {
		var ok bool
		if q.Trace, ok = telemetry.ParseTraceID(text); !ok {
			return moorage.Errorf(moorage.Invalid, "%q is not a trace id: 32 hexadecimal digits", text)
		}
	}
	if text := asked.Get("limit"); text != "" {
		if q.Limit, err = strconv.Atoi(text); err != nil || q.Limit < 1 || q.Limit > archive.MaxLogs {
			return moorage.Errorf(moorage.Invalid, "limit must be a number from 1 to %d", archive.MaxLogs)
		}
	}
	found, err := h.Telemetry.Logs(r.Context(), q)
	if err != nil {
		return err
	}
	return writeJSON(w, LogPage{append([]telemetry.Log{}, found...)})
}

// MetricAnswer is an answer to GET /v1/metrics.
type MetricAnswer struct {
	Name   string                   `json:"name"`
	Series []telemetry.MetricSeries `json:"series"`
}

// showMetric answers name, split by what by names (runtime, endpoint and labels, with commas between),
// for series with label.NAME=VALUE.
func (h *Handler) showMetric(w http.ResponseWriter, r *http.Request) error {
	asked := r.URL.Query()
	q := archive.MetricQuery{Name: asked.Get("name"), Runtime: asked.Get("runtime"), Endpoint: asked.Get("endpoint"), Labels: map[string]string{}}
	if by := asked.Get("by"); by != "" {
		q.By = strings.Split(by, ",")
	}
	for key := range asked {
		if name, ok := strings.CutPrefix(key, "label."); ok {
			q.Labels[name] = asked.Get(key)
		}
	}
	var err error
	if q.Since, err = timeOf(asked, "since"); err != nil {
		return err
	}
	if q.Until, err = timeOf(asked, "until"); err != nil {
		return err
	}
	if text := asked.Get("step"); text != "" {
		if q.Step, err = time.ParseDuration(text); err != nil {
			return moorage.Errorf(moorage.Invalid, "step must be a length of time such as 5m")
		}
	}
	series, err := h.Telemetry.Metric(r.Context(), q)
	if err != nil {
		return err
	}
	return writeJSON(w, MetricAnswer{q.Name, series})
}

func (h *Handler) listMetrics(w http.ResponseWriter, r *http.Request) error {
	names, err := h.Telemetry.MetricNames(r.Context(), r.URL.Query().Get("runtime"))
	if err != nil {
		return err
	}
	return writeJSON(w, map[string]any{"metrics": append([]telemetry.MetricName{}, names...)})
}

// heartbeat is how often a tail says that it is still there.
const heartbeat = 15 * time.Second

// tailTelemetry streams what comes in as server-sent events: "trace" and "log", with a telemetry.TailItem
// as data.
func (h *Handler) tailTelemetry(w http.ResponseWriter, r *http.Request) error {
	asked := r.URL.Query()
	q := archive.TailQuery{Runtime: asked.Get("runtime"), Session: asked.Get("session"), Trace: asked.Get("trace")}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := &eventWriter{w: w, flush: http.NewResponseController(w)}
	if out.write(": the tail begins\n\n") != nil {
		return nil // the reader is gone
	}
	ctx, cancel := context.WithCancel(r.Context())
	var beating sync.WaitGroup
	defer beating.Wait()
	defer cancel()
	beating.Go(func() { out.beat(ctx) })
	h.Telemetry.Tail(ctx, q, func(item telemetry.TailItem) bool {
		doc, err := json.Marshal(item)
		return err == nil && out.write("event: "+item.Type+"\ndata: "+string(doc)+"\n\n") == nil
	})
	return nil
}

// eventWriter writes events from several goroutines.
type eventWriter struct {
	mu    sync.Mutex
	w     http.ResponseWriter
	flush *http.ResponseController
}

func (e *eventWriter) write(text string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, err := io.WriteString(e.w, text); err != nil {
		return err
	}
	return e.flush.Flush()
}

func (e *eventWriter) beat(ctx context.Context) {
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if e.write(": still here\n\n") != nil {
				return
			}
		}
	}
}
