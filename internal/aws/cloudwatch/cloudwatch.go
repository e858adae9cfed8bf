// Package cloudwatch answers as CloudWatch's metrics do, from the telemetry archive. Types and
// constraints are generated; see api.gen.go.
//
//	AWS/Bedrock-AgentCore   what the platform measures of runtimes: the thirteen metrics of AgentCore; and of identity:
//	                        how often tokens and keys were fetched, by exactly the dimensions of AgentCore
//	bedrock-agentcore       what agents measure themselves and send as OTLP
//	anything else           what PutMetricData and embedded metrics (EMF) bring
//
// Sums are kept by the minute, the one that runs among them: nothing is answered late. Percentiles are
// within one percent. A metric of a runtime may be asked for by any subset of its dimensions; one that
// was put, by exactly those that it was put with, as at AWS.
package cloudwatch

import (
	"context"
	"strings"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
)

// Service is what the operations work on.
type Service struct {
	Archive         *archive.Archive
	Region, Account string
}

// Serve adds the operations to svc.
func (s *Service) Serve(svc *wire.Service) {
	wire.Handle(svc, GetMetricData, s.getMetricData)
	wire.Handle(svc, GetMetricStatistics, s.getMetricStatistics)
	wire.Handle(svc, ListMetrics, s.listMetrics)
	wire.Handle(svc, PutMetricData, s.putMetricData)
}

// ServeWrites adds what agents may call from inside their sandboxes.
func (s *Service) ServeWrites(svc *wire.Service) { wire.Handle(svc, PutMetricData, s.putMetricData) }

func wrong(format string, args ...any) error {
	return &moorage.Error{Code: moorage.Invalid, Exception: "InvalidParameterValue", Message: moorage.Errorf(moorage.Invalid, format, args...).Message}
}

// metric is a metric of a namespace, drawn from a series of the archive.
type metric struct {
	name   string
	unit   StandardUnit
	series string   // in the archive
	faults []string // counts failures of these kinds, beside all calls
	counts bool     // each observation counts one
	sums   bool     // the sum is all that is known
}

// runtimeMetrics are those of a runtime. Source: AgentCore developer guide, runtime metrics; the names are
// CloudWatch's own, which differ from the guide's headings.
var runtimeMetrics = []metric{
	{name: "Invocations", unit: StandardUnitCount, series: archive.CallsMetric, counts: true},
	{name: "Throttles", unit: StandardUnitCount, series: archive.CallsMetric, faults: []string{"throttle"}},
	{name: "SystemErrors", unit: StandardUnitCount, series: archive.CallsMetric, faults: []string{"system"}},
	{name: "UserErrors", unit: StandardUnitCount, series: archive.CallsMetric, faults: []string{"user"}},
	{name: "Errors", unit: StandardUnitCount, series: archive.CallsMetric, faults: []string{"user", "system"}},
	{name: "Latency", unit: StandardUnitMilliseconds, series: archive.CallsMetric},
	{name: "Sessions", unit: StandardUnitCount, series: telemetry.SessionsStarted},
	{name: "ActiveSessionCount", unit: StandardUnitCount, series: telemetry.SessionsActive},
	{name: "ActiveStreamingConnections", unit: StandardUnitCount, series: telemetry.SocketsOpen},
	{name: "InboundStreamingBytesProcessed", unit: StandardUnitBytes, series: telemetry.SocketBytesIn},
	{name: "OutboundStreamingBytesProcessed", unit: StandardUnitBytes, series: telemetry.SocketBytesOut},
	{name: "CPUUsed-vCPUHours", unit: StandardUnitNone, series: telemetry.ProcessorHours},
	{name: "MemoryUsed-GBHours", unit: StandardUnitNone, series: telemetry.MemoryHours},
}

func runtimeMetric(name string) (metric, bool) {
	for _, m := range runtimeMetrics {
		if m.name == name {
			return m, true
		}
	}
	return metric{}, false
}

// dimensions of a runtime's series. Calls have an operation, what sandboxes use has a service.
func (s *Service) dimensions(m metric, series telemetry.Series, labels map[string]string) map[string]string {
	if series.Runtime == "" {
		return map[string]string{"Service": "AgentCore.Runtime"}
	}
	name, _, _ := strings.Cut(series.Runtime, "-")
	out := map[string]string{
		"Resource": moorage.RuntimeARN(s.Region, s.Account, series.Runtime).String(), "Name": name + "::" + series.Endpoint,
	}
	if m.series == archive.CallsMetric {
		out["Operation"] = labels["operation"]
	} else {
		out["Service"] = "AgentCore.Runtime"
	}
	return out
}

// wanted is one metric with the dimensions that are asked for.
type wanted struct {
	namespace, name string
	dimensions      map[string]string
}

func wantedOf(namespace, name string, dimensions []Dimension) (w wanted, err error) {
	w = wanted{namespace, name, map[string]string{}}
	for _, d := range dimensions {
		if _, twice := w.dimensions[d.Name]; twice {
			return w, wrong("the dimension %s is there twice", d.Name)
		}
		w.dimensions[d.Name] = d.Value
	}
	return w, nil
}

// source is where a metric's numbers come from.
func (s *Service) source(w wanted) (metric, func(telemetry.Series) bool) {
	if w.namespace == telemetry.RuntimeNamespace {
		if m, ok := runtimeMetric(w.name); ok {
			return m, func(series telemetry.Series) bool {
				labels, err := archive.LabelsOf(series)
				if err != nil {
					return false
				}
				have := s.dimensions(m, series, labels)
				for name, value := range w.dimensions {
					if have[name] != value {
						return false
					}
				}
				return true
			}
		}
	}
	return metric{name: w.name, series: w.name}, func(series telemetry.Series) bool {
		namespace, labels, err := namespaceOf(series)
		return err == nil && namespace == w.namespace && archive.Labels(labels) == archive.Labels(w.dimensions)
	}
}

// namespaceOf is the namespace of a series that agents or clients measured, and its dimensions; "" for
// the platform's own.
func namespaceOf(series telemetry.Series) (namespace string, dimensions map[string]string, err error) {
	if strings.HasPrefix(series.Name, "moorage.") {
		return "", nil, nil
	}
	labels, err := archive.LabelsOf(series)
	if err != nil {
		return "", nil, err
	}
	namespace, put := labels[telemetry.NamespaceLabel]
	if !put {
		return telemetry.AgentNamespace, labels, nil
	}
	delete(labels, telemetry.NamespaceLabel)
	return namespace, labels, nil
}

// datum is a metric in one period.
type datum struct {
	at                   time.Time
	count, sum, low, top float64
	quantile             func(float64) float64
}

// data answers a metric by periods.
func (s *Service) data(ctx context.Context, w wanted, since, until time.Time, period time.Duration) (out []datum, unit StandardUnit, err error) {
	m, match := s.source(w)
	points, err := s.Archive.Sum(ctx, archive.SumQuery{Name: m.series, Match: match, Since: since, Until: until, Step: period})
	if err != nil {
		return nil, "", err
	}
	failed := map[int64]float64{}
	if m.faults != nil {
		if failed, err = s.failed(ctx, m, match, since, until, period); err != nil {
			return nil, "", err
		}
	}
	for _, p := range points {
		d := datum{p.Time, float64(p.Count), p.Sum, p.Min, p.Max, p.Quantile}
		if m.faults != nil || m.counts {
			sum := d.count
			if m.faults != nil {
				sum = failed[p.Time.Unix()]
			}
			d.ones(sum)
		}
		out = append(out, d)
	}
	return out, m.unit, nil
}

// ones makes a datum one of calls that count 1 or 0 each.
func (d *datum) ones(sum float64) {
	share := sum / max(d.count, 1)
	d.sum, d.low, d.top = sum, float64(int(share)), min(sum, 1)
	d.quantile = func(q float64) float64 {
		if q > 1-share {
			return 1
		}
		return 0
	}
}

func (s *Service) failed(ctx context.Context, m metric, match func(telemetry.Series) bool, since, until time.Time, period time.Duration) (map[int64]float64, error) {
	points, err := s.Archive.Sum(ctx, archive.SumQuery{
		Name: archive.FaultsMetric, Since: since, Until: until, Step: period,
		Match: func(series telemetry.Series) bool {
			labels, err := archive.LabelsOf(series)
			for _, fault := range m.faults {
				if err == nil && labels["fault"] == fault {
					return match(series)
				}
			}
			return false
		},
	})
	out := map[int64]float64{}
	for _, p := range points {
		out[p.Time.Unix()] = p.Sum
	}
	return out, err
}

// stat is a statistic of a datum: Sum, Average, Minimum, Maximum, SampleCount or a percentile.
func (d datum) stat(name string) (float64, error) {
	switch name {
	case "Sum":
		return d.sum, nil
	case "Average":
		return d.sum / max(d.count, 1), nil
	case "Minimum":
		return d.low, nil
	case "Maximum":
		return d.top, nil
	case "SampleCount":
		return d.count, nil
	}
	q, err := percentile(name)
	if err != nil {
		return 0, err
	}
	return d.quantile(q), nil
}
