package server

import (
	"cmp"
	"context"
	"crypto/subtle"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/identity/iam"
	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
)

// scrape answers Prometheus at /metrics, to who knows an access key and its secret as user and password.
// Counters count from the start of this server, to the minute; quantiles are over the last five.
type scrape struct {
	*house
	began time.Time

	mu     sync.Mutex
	sealed map[string][]archive.Total // of partitions that are full
}

func (s *scrape) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	key, err := s.people.AccessKey(r.Context(), user)
	if subtle.ConstantTimeCompare([]byte(password), []byte(key.Secret)) != 1 || err != nil {
		w.Header().Set("WWW-Authenticate", `Basic realm="Moorage: an access key and its secret"`)
		wire.WriteError(w, r, moorage.Errorf(moorage.Unauthenticated, "metrics are for who has an access key: give it as user, and its secret as password"))
		return
	}
	c := moorage.Caller{Source: moorage.SigV4, ARN: key.Principal, Account: s.account, AccessKeyID: user}
	asked := demand{action: "moorage:ListMetrics"}
	if err := s.decided(r, c, asked, s.people.Authorize(iam.Request{Caller: c, Action: asked.action})); err != nil {
		wire.WriteError(w, r, err)
		return
	}
	page, err := s.page(r.Context())
	if err != nil {
		wire.WriteError(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	io.WriteString(w, page)
}

// family is a metric with its samples.
type family struct {
	kind, help string
	samples    map[string]float64 // by labels, as they are written
}

type families map[string]*family

func (f families) add(name, kind, help string, labels map[string]string, value float64) {
	one := f[name]
	if one == nil {
		one = &family{kind, help, map[string]float64{}}
		f[name] = one
	}
	one.samples[written(labels)] += value
}

// written are labels in Prometheus's text format.
func written(labels map[string]string) string {
	pairs := []string{}
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		pairs = append(pairs, name+`="`+escapes.Replace(strings.ToValidUTF8(labels[name], "?"))+`"`)
	}
	if len(pairs) == 0 {
		return ""
	}
	return "{" + strings.Join(pairs, ",") + "}"
}

var escapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func (f families) String() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(f)) {
		base, kind := name, f[name].kind
		if kind == "" {
			base = "" // a part of the summary before it
		}
		if base != "" {
			fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n", base, f[name].help, base, kind)
		}
		for _, labels := range slices.Sorted(maps.Keys(f[name].samples)) {
			fmt.Fprintf(&b, "%s%s %s\n", name, labels, strconv.FormatFloat(f[name].samples[labels], 'g', -1, 64))
		}
	}
	return b.String()
}

func (s *scrape) page(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	totals, err := s.telemetry.Totals(ctx, s.began.Truncate(time.Minute), s.sealed)
	if err != nil {
		return "", err
	}
	f := families{}
	for _, t := range totals {
		labels, err := archive.LabelsOf(t.Series)
		if err != nil {
			return "", err
		}
		s.count(f, t, labels)
	}
	if err := s.latency(ctx, f); err != nil {
		return "", err
	}
	s.now(f)
	return f.String(), nil
}

func (s *scrape) count(f families, t archive.Total, labels map[string]string) {
	at := map[string]string{"runtime": t.Series.Runtime, "endpoint": t.Series.Endpoint}
	with := func(pairs ...string) map[string]string {
		out := maps.Clone(at)
		for i := 0; i < len(pairs); i += 2 {
			out[pairs[i]] = pairs[i+1]
		}
		return out
	}
	switch t.Series.Name {
	case archive.CallsMetric:
		f.add("moorage_calls_total", "counter", "Data-plane calls.", with("operation", labels["operation"]), float64(t.Count))
		f.add("moorage_call_duration_seconds_sum", "", "", with("operation", labels["operation"]), t.Sum/1e3)
		f.add("moorage_call_duration_seconds_count", "", "", with("operation", labels["operation"]), float64(t.Count))
	case archive.FaultsMetric:
		f.add("moorage_calls_failed_total", "counter", "Failed calls, by whose fault it was: user, system or throttle.", with("operation", labels["operation"], "fault", labels["fault"]), float64(t.Count))
	case archive.SpansMetric:
		f.add("moorage_steps_total", "counter", "Steps of agents that are no plumbing, by kind: model, tool, agent and so on.", with("kind", labels["kind"]), float64(t.Count))
		f.add("moorage_steps_failed_total", "counter", "Steps of agents that failed.", with("kind", labels["kind"]), float64(t.Errors))
	case archive.InputMetric:
		f.add("moorage_tokens_total", "counter", "Tokens of model calls.", with("model", labels["model"], "direction", "input"), t.Sum)
	case archive.OutputMetric:
		f.add("moorage_tokens_total", "counter", "Tokens of model calls.", with("model", labels["model"], "direction", "output"), t.Sum)
	case archive.CostMetric:
		f.add("moorage_cost_dollars_total", "counter", "What model calls cost by the price table.", with("model", labels["model"]), t.Sum)
	case telemetry.SessionsStarted:
		f.add("moorage_sessions_started_total", "counter", "New sessions.", at, t.Sum)
	case telemetry.ProcessorHours:
		f.add("moorage_cpu_seconds_total", "counter", "Processor time that sandboxes used.", at, t.Sum*3600)
	case telemetry.MemoryHours:
		f.add("moorage_memory_gigabyte_seconds_total", "counter", "Memory that sandboxes held, by how long.", at, t.Sum*3600)
	}
}

// recent is how far back quantiles look.
const recent = 5 * time.Minute

func (s *scrape) latency(ctx context.Context, f families) error {
	now := time.Now()
	series, err := s.telemetry.Metric(ctx, archive.MetricQuery{Name: archive.CallsMetric, By: []string{"runtime", "endpoint", "operation"}, Since: now.Add(-recent), Until: now, Step: recent})
	if err != nil {
		return err
	}
	for _, one := range series {
		if len(one.Points) == 0 {
			continue
		}
		last := one.Points[len(one.Points)-1]
		for quantile, ms := range map[string]float64{"0.5": last.P50, "0.9": last.P90, "0.95": last.P95, "0.99": last.P99} {
			labels := maps.Clone(one.Labels)
			labels["quantile"] = quantile
			f.add("moorage_call_duration_seconds", "summary", "How long calls took, from the request to the last byte; quantiles of the last five minutes.", labels, ms/1e3)
		}
	}
	return nil
}

// now are gauges of this moment.
func (s *scrape) now(f families) {
	for _, each := range s.sessions.List() {
		f.add("moorage_sessions", "gauge", "Sessions that live, by state.", map[string]string{"runtime": each.RuntimeID, "endpoint": each.Endpoint, "state": string(each.State)}, 1)
	}
	f.add("moorage_telemetry_dropped_spans_total", "counter", "Spans of calls to agents and models that came faster than they were written.", nil, float64(s.calls.Dropped()+s.asked.Dropped()))
	f.add("moorage_build_info", "gauge", "The version that runs.", map[string]string{"version": cmp.Or(s.Version, "dev")}, 1)
	f.add("process_start_time_seconds", "gauge", "When this server started.", nil, float64(s.began.Unix()))
	f.add("process_resident_memory_bytes", "gauge", "Memory of this server.", nil, residentBytes())
	f.add("go_goroutines", "gauge", "Goroutines of this server.", nil, float64(runtime.NumGoroutine()))
}

func residentBytes() float64 {
	text, err := os.ReadFile("/proc/self/statm")
	var size, resident int64
	if err != nil {
		return 0
	}
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		return 0
	}
	return float64(resident * int64(os.Getpagesize()))
}
