package cloudwatch

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
)

// known are all metrics, by namespace, name and dimensions. Those of runtimes are there with all of their
// dimensions, and summed over some: by resource, and over everything.
func (s *Service) known(ctx context.Context) ([]wanted, error) {
	series, err := s.Archive.Series(ctx)
	if err != nil {
		return nil, err
	}
	all := map[string]wanted{}
	add := func(w wanted) { all[w.key()] = w }
	for _, one := range series {
		for _, m := range runtimeMetrics {
			if m.series == one.Name {
				s.addRuntime(m, one, add)
			}
		}
		namespace, dimensions, err := namespaceOf(one)
		if err == nil && namespace != "" {
			add(wanted{namespace, one.Name, dimensions})
		}
	}
	return slices.SortedFunc(maps.Values(all), func(a, b wanted) int { return cmp.Compare(a.key(), b.key()) }), nil
}

func (w wanted) key() string {
	return w.namespace + "\x00" + w.name + "\x00" + archive.Labels(w.dimensions)
}

func (s *Service) addRuntime(m metric, series telemetry.Series, add func(wanted)) {
	labels, err := archive.LabelsOf(series)
	if err != nil {
		return
	}
	whole := s.dimensions(m, series, labels)
	add(wanted{telemetry.RuntimeNamespace, m.name, whole})
	for _, some := range [][]string{{}, {"Resource"}, {"Service"}, {"Operation"}, {"Service", "Resource"}, {"Operation", "Resource"}, {"Name", "Resource"}} {
		subset := map[string]string{}
		for _, name := range some {
			if value, ok := whole[name]; ok {
				subset[name] = value
			}
		}
		if len(subset) == len(some) {
			add(wanted{telemetry.RuntimeNamespace, m.name, subset})
		}
	}
}

// maxList is how many metrics one answer has. Source: AWS, ListMetrics.
const maxList = 500

func (s *Service) listMetrics(ctx context.Context, in *ListMetricsInput) (*ListMetricsOutput, error) {
	all, err := s.known(ctx)
	if err != nil {
		return nil, err
	}
	out := &ListMetricsOutput{Metrics: []Metric{}}
	last := ""
	for _, w := range all {
		if in.Namespace != nil && *in.Namespace != w.namespace || in.MetricName != nil && *in.MetricName != w.name || !w.has(in.Dimensions) {
			continue
		}
		if in.NextToken != nil && w.key() <= *in.NextToken {
			continue
		}
		if len(out.Metrics) == maxList {
			out.NextToken = &last
			break
		}
		out.Metrics = append(out.Metrics, w.view())
		last = w.key()
	}
	return out, nil
}

func (w wanted) has(filters []DimensionFilter) bool {
	for _, f := range filters {
		value, ok := w.dimensions[f.Name]
		if !ok || f.Value != nil && *f.Value != value {
			return false
		}
	}
	return true
}

func (w wanted) view() Metric {
	out := Metric{Namespace: &w.namespace, MetricName: &w.name, Dimensions: []Dimension{}}
	for _, name := range slices.Sorted(maps.Keys(w.dimensions)) {
		out.Dimensions = append(out.Dimensions, Dimension{Name: name, Value: w.dimensions[name]})
	}
	return out
}

// label is what a metric is called in an answer that does not say otherwise.
func (w wanted) label() string {
	parts := []string{}
	for _, name := range slices.Sorted(maps.Keys(w.dimensions)) {
		parts = append(parts, w.dimensions[name])
	}
	return strings.Join(append(parts, w.name), " ")
}
