package cloudwatch

import (
	"context"
	"math"
	"strings"
	"time"

	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
)

// Bounds of what is put. Source: AWS, PutMetricData.
const (
	maxData     = 1000
	maxValues   = 150
	oldestPoint = 14 * 24 * time.Hour
	newestPoint = 2 * time.Hour
	mostValue   = 1e18
)

// putMetricData keeps measurements. What is acknowledged is on disk.
func (s *Service) putMetricData(ctx context.Context, in *PutMetricDataInput) (*PutMetricDataOutput, error) {
	if strings.HasPrefix(in.Namespace, "AWS/") {
		return nil, wrong("namespaces that begin with AWS/ are the platform's own")
	}
	data := in.MetricData
	for _, e := range in.EntityMetricData {
		data = append(data, e.MetricData...)
	}
	if len(data) == 0 || len(data) > maxData {
		return nil, wrong("put 1 to %d data at once", maxData)
	}
	now := time.Now()
	from, _ := telemetry.SourceOf(ctx)
	batch := telemetry.Batch{Received: now}
	for _, d := range data {
		p, err := pointOf(in.Namespace, from, d, now)
		if err != nil {
			return nil, err
		}
		batch.Points = append(batch.Points, p)
	}
	return nil, s.Archive.Append(ctx, batch)
}

func pointOf(namespace string, from telemetry.Source, d MetricDatum, now time.Time) (p telemetry.Point, err error) {
	labels := map[string]string{}
	for _, each := range d.Dimensions {
		labels[each.Name] = each.Value
	}
	labels[telemetry.NamespaceLabel] = namespace
	p.Series = telemetry.Series{Runtime: from.Runtime, Endpoint: from.Endpoint, Name: d.MetricName, Unit: string(d.Unit), Labels: archive.Labels(labels)}
	at := now
	if d.Timestamp != nil {
		at = *d.Timestamp
	}
	if at.Before(now.Add(-oldestPoint)) || at.After(now.Add(newestPoint)) {
		return p, wrong("%s was measured at %s: at most two weeks ago, or two hours ahead, is kept", d.MetricName, at.UTC().Format(time.RFC3339))
	}
	p.Time = at.UnixNano()
	if p.Parts, err = observations(d); err != nil {
		return p, err
	}
	for i, o := range p.Parts {
		if !(math.Abs(o.Value) <= mostValue) || o.Count < 1 {
			return p, wrong("%s has a value or count that cannot be added up", d.MetricName)
		}
		if i == 0 {
			p.Min, p.Max = o.Value, o.Value
		}
		p.Min, p.Max = min(p.Min, o.Value), max(p.Max, o.Value)
		p.Value += o.Value * float64(o.Count)
		p.Count += o.Count
	}
	if set := d.StatisticValues; set != nil {
		p.Value, p.Count, p.Min, p.Max = set.Sum, int64(set.SampleCount), set.Minimum, set.Maximum
		p.Parts = nil
	}
	return p, nil
}

func observations(d MetricDatum) (out []telemetry.Observed, err error) {
	switch {
	case d.Value != nil:
		return []telemetry.Observed{{Value: *d.Value, Count: 1}}, nil
	case d.StatisticValues != nil:
		if s := d.StatisticValues; s.SampleCount < 1 || !(math.Abs(s.Sum) <= mostValue) || s.SampleCount > 1e12 {
			return nil, wrong("%s has StatisticValues that cannot be added up", d.MetricName)
		}
		return nil, nil
	case len(d.Values) == 0:
		return nil, wrong("%s has no Value, Values or StatisticValues", d.MetricName)
	case len(d.Values) > maxValues || len(d.Counts) != 0 && len(d.Counts) != len(d.Values):
		return nil, wrong("%s may have %d Values at most, and as many Counts or none", d.MetricName, maxValues)
	}
	for i, v := range d.Values {
		n := int64(1)
		if len(d.Counts) > 0 {
			n = int64(d.Counts[i])
		}
		out = append(out, telemetry.Observed{Value: v, Count: n})
	}
	return out, nil
}
