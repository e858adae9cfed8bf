package otlp

import (
	"encoding/json"
	"math"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2/simplelru"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

// totals remembers the last value of sums that only grow, as SDKs report by default: what is kept is how
// much they grew. After a restart of the server the first value of a series that is older tells nothing.
type totals struct {
	began int64 // when this server began, nanoseconds since 1970

	mu   sync.Mutex
	last *lru.LRU[totalKey, total]
}

// maxTotals bounds how many series are remembered.
const maxTotals = 50_000

// totalKey is a series of one process: its start time tells it from the one before it.
type totalKey struct {
	series  telemetry.Series
	session string
	start   pcommon.Timestamp
}

type total struct {
	value float64
	count int64
	parts []telemetry.Observed
}

func newTotals(now int64) *totals {
	last, err := lru.NewLRU[totalKey, total](maxTotals, nil)
	if err != nil {
		panic(err) // only a size below 1 is refused
	}
	return &totals{began: now, last: last}
}

// grown turns totals into what was added since they were reported last; false where that is not known.
func (t *totals) grown(key totalKey, now total) (total, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before, known := t.last.Get(key)
	t.last.Add(key, now)
	if !known {
		return now, int64(key.start) >= t.began
	}
	out := total{value: now.value - before.value, count: now.count - before.count}
	for i, p := range now.parts {
		if i < len(before.parts) {
			p.Count -= before.parts[i].Count
		}
		if p.Count > 0 {
			out.parts = append(out.parts, p)
		}
	}
	return out, out.count >= 0
}

func (s *splitter) metrics(m pmetric.Metrics) (points []telemetry.Point) {
	for _, resource := range m.ResourceMetrics().All() {
		trim(resource.Resource().Attributes())
		claim := claimOf(resource.Resource().Attributes())
		for _, scope := range resource.ScopeMetrics().All() {
			for _, metric := range scope.Metrics().All() {
				points = append(points, s.metric(metric, claim)...)
			}
		}
	}
	return points
}

func (s *splitter) metric(m pmetric.Metric, claim telemetry.Source) (out []telemetry.Point) {
	add := func(attributes pcommon.Map, start, at pcommon.Timestamp, grows bool, seen total, lowest, highest float64) {
		trim(attributes)
		source := s.source(claimed(attributes, claim))
		series := telemetry.Series{Runtime: source.Runtime, Endpoint: source.Endpoint, Name: short(m.Name()), Unit: short(m.Unit()), Labels: labels(attributes)}
		if grows {
			var known bool
			if seen, known = s.inlet.totals.grown(totalKey{series, source.Session, start}, seen); !known || seen.count == 0 && seen.value == 0 {
				return
			}
		}
		if !sound(seen, lowest, highest) {
			return
		}
		out = append(out, telemetry.Point{Series: series, Time: s.time(at), Value: seen.value, Count: seen.count, Min: lowest, Max: highest, Parts: seen.parts})
	}
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		for _, p := range m.Gauge().DataPoints().All() {
			v := numberOf(p)
			add(p.Attributes(), p.StartTimestamp(), p.Timestamp(), false, total{v, 1, []telemetry.Observed{{Value: v, Count: 1}}}, v, v)
		}
	case pmetric.MetricTypeSum:
		grows := m.Sum().AggregationTemporality() == pmetric.AggregationTemporalityCumulative
		for _, p := range m.Sum().DataPoints().All() {
			v := numberOf(p)
			add(p.Attributes(), p.StartTimestamp(), p.Timestamp(), grows, total{v, 1, nil}, 0, v)
		}
	case pmetric.MetricTypeHistogram:
		grows := m.Histogram().AggregationTemporality() == pmetric.AggregationTemporalityCumulative
		for _, p := range m.Histogram().DataPoints().All() {
			add(p.Attributes(), p.StartTimestamp(), p.Timestamp(), grows, total{p.Sum(), int64(p.Count()), bins(p)}, p.Min(), p.Max())
		}
	case pmetric.MetricTypeExponentialHistogram:
		grows := m.ExponentialHistogram().AggregationTemporality() == pmetric.AggregationTemporalityCumulative
		for _, p := range m.ExponentialHistogram().DataPoints().All() {
			add(p.Attributes(), p.StartTimestamp(), p.Timestamp(), grows, total{p.Sum(), int64(p.Count()), exponentialBins(p)}, p.Min(), p.Max())
		}
	}
	return out
}

// Bounds of what can be added up.
const (
	maxMagnitude = 1e18
	maxCount     = 1 << 50
)

// sound reports whether a measurement can be added to others: numbers of no use would spoil their sums.
func sound(t total, lowest, highest float64) bool {
	for _, v := range []float64{t.value, lowest, highest} {
		if !(math.Abs(v) <= maxMagnitude) { // nor is NaN
			return false
		}
	}
	for _, p := range t.parts {
		if !(math.Abs(p.Value) <= maxMagnitude) || p.Count < 0 || p.Count > maxCount {
			return false
		}
	}
	return 0 <= t.count && t.count <= maxCount
}

// time is when a point was measured, or now where that is not told or has not come yet.
func (s *splitter) time(at pcommon.Timestamp) int64 {
	if now := s.now.UnixNano(); at == 0 || int64(at) <= 0 || int64(at) > now+int64(skew) {
		return now
	}
	return int64(at)
}

func numberOf(p pmetric.NumberDataPoint) float64 {
	if p.ValueType() == pmetric.NumberDataPointValueTypeInt {
		return float64(p.IntValue())
	}
	return p.DoubleValue()
}

// bins are a histogram's buckets, each at its middle; the outer ones at their one bound.
func bins(p pmetric.HistogramDataPoint) (out []telemetry.Observed) {
	bounds := p.ExplicitBounds()
	for i, n := range p.BucketCounts().All() {
		var at float64
		switch {
		case bounds.Len() == 0:
			at = p.Sum() / float64(max(p.Count(), 1))
		case i == 0:
			at = bounds.At(0)
		case i >= bounds.Len():
			at = bounds.At(bounds.Len() - 1)
		default:
			at = (bounds.At(i-1) + bounds.At(i)) / 2
		}
		out = append(out, telemetry.Observed{Value: at, Count: int64(n)})
	}
	return out
}

// exponentialBins are the positive buckets, each at its middle. Source: OpenTelemetry metrics data model,
// exponential histograms: bucket i begins at 2^(i/2^scale).
func exponentialBins(p pmetric.ExponentialHistogramDataPoint) (out []telemetry.Observed) {
	out = append(out, telemetry.Observed{Count: int64(p.ZeroCount())})
	for i, n := range p.Positive().BucketCounts().All() {
		at := math.Exp2((float64(p.Positive().Offset()) + float64(i) + 0.5) * math.Exp2(-float64(p.Scale())))
		out = append(out, telemetry.Observed{Value: at, Count: int64(n)})
	}
	return out
}

// maxLabels bounds how many attributes of a point become labels, and maxLabel how long each is.
const (
	maxLabels = 16
	maxLabel  = 128
)

func labels(attributes pcommon.Map) string {
	named := map[string]string{}
	for key, v := range attributes.All() {
		if len(named) < maxLabels && key != "session.id" { // a session of its own would be a series of its own
			named[short(key)] = cut(v.AsString(), maxLabel)
		}
	}
	if len(named) == 0 {
		return ""
	}
	doc, err := json.Marshal(named) // sorts by name
	if err != nil {
		panic(err) // of strings that it refuses
	}
	return string(doc)
}
