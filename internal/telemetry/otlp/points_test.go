package otlp_test

import (
	"math"
	"net/http"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"

	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
)

// metric asks for one metric of the last hour, all in one step.
func (s *station) metric(t *testing.T, name string, by ...string) []telemetry.MetricSeries {
	t.Helper()
	out, err := s.Metric(t.Context(), archive.MetricQuery{Name: name, By: by, Since: time.Now().Add(-2 * time.Hour), Step: 5 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// total adds up the points of a series.
func total(s telemetry.MetricSeries) (out telemetry.MetricPoint) {
	for _, p := range s.Points {
		out.Count, out.Sum, out.Errors = out.Count+p.Count, out.Sum+p.Sum, out.Errors+p.Errors
		out.P95 = max(out.P95, p.P95)
	}
	return out
}

func TestMetrics_areDrawnFromSpans(t *testing.T) {
	price := func(_ string, u telemetry.Usage) (int64, bool) { return u.Input * 1000, true }
	dir := t.TempDir()
	s := openStation(t, archive.Options{Dir: dir, Price: price})
	spans := newSheet()
	modelCall(spans)
	for i := range uint64(100) {
		spans.add(100+i, 1, 0, "execute_tool search", 0, int(i)+1, map[string]any{"gen_ai.operation.name": "execute_tool"})
	}
	s.send(t, spans.Traces)
	check := func(s *station) {
		t.Helper()
		if got := s.metric(t, archive.InputMetric, "model"); len(got) != 1 || got[0].Labels["model"] != "nova-pro" || total(got[0]).Sum != 21245 {
			t.Errorf("input tokens: %+v", got)
		}
		if got := s.metric(t, archive.CostMetric); len(got) != 1 || math.Abs(total(got[0]).Sum-0.021245) > 1e-9 {
			t.Errorf("cost: %+v", got)
		}
		for _, got := range s.metric(t, archive.SpansMetric, "name") {
			if got.Labels["name"] == "execute_tool search" {
				if p := total(got); p.Count != 100 || p.P95 < 94 || p.P95 > 97 {
					t.Errorf("tool calls: %+v", p)
				}
				return
			}
		}
		t.Error("no tool calls")
	}
	check(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStation(t, archive.Options{Dir: dir, Price: price})
	check(s)
	s.send(t, spans.Traces) // once more, to a server that starts anew: nothing counts twice
	check(s)
}

func TestMetrics_growthOfTotalsIsKept(t *testing.T) {
	s := newStation(t)
	started := time.Now().Add(time.Second) // the agent's, after the server's
	report := func(calls int64, latency []uint64) {
		t.Helper()
		m := pmetric.NewMetrics()
		metrics := m.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics()
		sum := metrics.AppendEmpty()
		sum.SetName("strands.tool.call_count")
		sum.SetEmptySum().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		p := sum.Sum().DataPoints().AppendEmpty()
		p.SetIntValue(calls)
		p.SetStartTimestamp(pcommon.NewTimestampFromTime(started))
		p.SetTimestamp(pcommon.NewTimestampFromTime(time.Now()))
		p.Attributes().PutStr("tool_name", "search")
		histogram := metrics.AppendEmpty()
		histogram.SetName("latency")
		histogram.SetEmptyHistogram().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		h := histogram.Histogram().DataPoints().AppendEmpty()
		h.SetStartTimestamp(pcommon.NewTimestampFromTime(started))
		h.ExplicitBounds().FromRaw([]float64{10, 20, 40})
		h.BucketCounts().FromRaw(latency)
		for _, n := range latency {
			h.SetCount(h.Count() + n)
		}
		h.SetSum(float64(15 * h.Count()))
		raw, err := pmetricotlp.NewExportRequestFromMetrics(m).MarshalProto()
		if err != nil {
			t.Fatal(err)
		}
		if code, answer, _ := s.post(t, "/v1/metrics", "application/x-protobuf", "", raw); code != http.StatusOK {
			t.Fatalf("%d %q", code, answer)
		}
	}
	report(3, []uint64{0, 4, 0, 0})
	report(5, []uint64{0, 9, 1, 0})
	report(5, []uint64{0, 9, 1, 0})
	if got := s.metric(t, "strands.tool.call_count", "tool_name"); len(got) != 1 || total(got[0]).Sum != 5 || got[0].Labels["tool_name"] != "search" {
		t.Errorf("%+v", got)
	}
	if got := s.metric(t, "latency"); len(got) != 1 || total(got[0]).Count != 10 || total(got[0]).P95 < 14 || total(got[0]).P95 > 31 {
		t.Errorf("%+v", got)
	}
	names, err := s.MetricNames(t.Context(), "")
	if err != nil || len(names) != 2 {
		t.Errorf("%+v, %v", names, err)
	}
}
