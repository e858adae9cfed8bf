package cloudwatch

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"
)

// Bounds of one question. Source: AWS, GetMetricData and GetMetricStatistics.
const (
	maxQueries    = 500
	maxDatapoints = 100_800
	maxFound      = 500 // series that one SEARCH returns
	maxStatistics = 1440
)

// periodOf is a period in whole minutes: nothing finer is kept.
func periodOf(seconds *int32) time.Duration {
	if seconds == nil {
		return time.Minute
	}
	return (time.Duration(*seconds)*time.Second + time.Minute - 1).Truncate(time.Minute)
}

// window checks a time, and cuts its beginning to the period.
func window(since, until time.Time, period time.Duration, most int) (time.Time, error) {
	if !since.Before(until) {
		return since, wrong("StartTime must be before EndTime")
	}
	if until.Sub(since)/period > time.Duration(most) {
		return since, wrong("the time has more than %d periods of %s: ask for less of it, or a longer period", most, period)
	}
	return since.Truncate(period), nil
}

func (s *Service) getMetricStatistics(ctx context.Context, in *GetMetricStatisticsInput) (*GetMetricStatisticsOutput, error) {
	if len(in.Statistics)+len(in.ExtendedStatistics) == 0 {
		return nil, wrong("give Statistics or ExtendedStatistics")
	}
	w, err := wantedOf(in.Namespace, in.MetricName, in.Dimensions)
	if err != nil {
		return nil, err
	}
	period := periodOf(&in.Period)
	since, err := window(in.StartTime, in.EndTime, period, maxStatistics)
	if err != nil {
		return nil, err
	}
	points, unit, err := s.data(ctx, w, since, in.EndTime, period)
	if err != nil {
		return nil, err
	}
	out := &GetMetricStatisticsOutput{Label: &in.MetricName, Datapoints: []Datapoint{}}
	if in.Unit != "" && unit != "" && in.Unit != unit {
		return out, nil // CloudWatch converts nothing
	}
	for _, p := range points {
		d := Datapoint{Timestamp: &p.at, Unit: cmp.Or(unit, in.Unit, StandardUnitNone)}
		for _, name := range in.Statistics {
			v, err := p.stat(string(name))
			if err != nil {
				return nil, err
			}
			*map[Statistic]**float64{
				StatisticSum: &d.Sum, StatisticAverage: &d.Average, StatisticMinimum: &d.Minimum, StatisticMaximum: &d.Maximum, StatisticSampleCount: &d.SampleCount,
			}[name] = &v
		}
		for _, name := range in.ExtendedStatistics {
			v, err := p.stat(name)
			if err != nil {
				return nil, err
			}
			if d.ExtendedStatistics == nil {
				d.ExtendedStatistics = map[string]float64{}
			}
			d.ExtendedStatistics[name] = v
		}
		out.Datapoints = append(out.Datapoints, d)
	}
	return out, nil
}

func (s *Service) getMetricData(ctx context.Context, in *GetMetricDataInput) (*GetMetricDataOutput, error) {
	if len(in.MetricDataQueries) > maxQueries {
		return nil, wrong("at most %d queries are answered at once", maxQueries)
	}
	g := &gathering{Service: s, in: in, done: map[string]value{}, under: map[string]bool{}}
	out := &GetMetricDataOutput{MetricDataResults: []MetricDataResult{}, Messages: []MessageData{}}
	for i := range in.MetricDataQueries {
		q := &in.MetricDataQueries[i]
		v, err := g.value(ctx, q.Id)
		if err != nil {
			return nil, err
		}
		if q.ReturnData != nil && !*q.ReturnData {
			continue
		}
		for _, one := range g.shown(q, v) {
			out.MetricDataResults = append(out.MetricDataResults, one)
		}
	}
	return out, nil
}

// gathering works out the queries of a request, each once.
type gathering struct {
	*Service
	in    *GetMetricDataInput
	done  map[string]value
	under map[string]bool // that are being worked out
}

func (g *gathering) value(ctx context.Context, id string) (value, error) {
	if v, ok := g.done[id]; ok {
		return v, nil
	}
	i := slices.IndexFunc(g.in.MetricDataQueries, func(q MetricDataQuery) bool { return q.Id == id })
	if i < 0 {
		return value{}, wrong("there is no query with the id %q", id)
	}
	if g.under[id] {
		return value{}, wrong("the query %q needs its own result", id)
	}
	g.under[id] = true
	defer delete(g.under, id)
	q := &g.in.MetricDataQueries[i]
	if (q.MetricStat == nil) == (q.Expression == nil) {
		return value{}, wrong("the query %q has to have MetricStat or Expression, and not both", id)
	}
	v, err := value{}, error(nil)
	if q.MetricStat != nil {
		v, err = g.metric(ctx, q)
	} else {
		v, err = g.expression(ctx, q)
	}
	if err == nil {
		g.done[id] = v
	}
	return v, err
}

func (g *gathering) metric(ctx context.Context, q *MetricDataQuery) (value, error) {
	m := q.MetricStat.Metric
	if m.Namespace == nil || m.MetricName == nil {
		return value{}, wrong("the query %q names no Namespace and MetricName", q.Id)
	}
	w, err := wantedOf(*m.Namespace, *m.MetricName, m.Dimensions)
	if err != nil {
		return value{}, err
	}
	one, err := g.series(ctx, w, q.MetricStat.Stat, periodOf(&q.MetricStat.Period))
	one.label = w.name
	return value{all: []series{one}}, err
}

func (g *gathering) series(ctx context.Context, w wanted, stat string, period time.Duration) (series, error) {
	since, err := window(g.in.StartTime, g.in.EndTime, period, maxDatapoints)
	if err != nil {
		return series{}, err
	}
	points, _, err := g.data(ctx, w, since, g.in.EndTime, period)
	if err != nil {
		return series{}, err
	}
	out := series{w.label(), map[int64]float64{}}
	if _, err := (datum{quantile: func(float64) float64 { return 0 }}).stat(stat); err != nil {
		return out, err
	}
	for _, p := range points {
		if out.points[p.at.Unix()], err = p.stat(stat); err != nil {
			return out, err
		}
	}
	return out, nil
}

func (g *gathering) expression(ctx context.Context, q *MetricDataQuery) (value, error) {
	e := &expression{
		text: *q.Expression, period: periodOf(q.Period),
		named: func(id string) (value, error) { return g.value(ctx, id) },
		all:   func() []series { return g.metrics(ctx) },
		search: func(what, stat string, period time.Duration) ([]series, error) {
			return g.search(ctx, what, stat, max(period.Truncate(time.Minute), time.Minute))
		},
	}
	return e.value()
}

// metrics are those of the request that are no expressions.
func (g *gathering) metrics(ctx context.Context) (out []series) {
	for _, q := range g.in.MetricDataQueries {
		if q.MetricStat == nil {
			continue
		}
		if v, err := g.value(ctx, q.Id); err == nil {
			out = append(out, v.all...)
		}
	}
	return out
}

func (g *gathering) search(ctx context.Context, what, stat string, period time.Duration) (out []series, err error) {
	fits, err := searched(what)
	if err != nil {
		return nil, err
	}
	known, err := g.known(ctx)
	if err != nil {
		return nil, err
	}
	for _, w := range known {
		if !fits(w) || len(out) == maxFound {
			continue
		}
		one, err := g.series(ctx, w, stat, period)
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, nil
}

// shown are the results of a query: one for each of its series.
func (g *gathering) shown(q *MetricDataQuery, v value) (out []MetricDataResult) {
	if v.scalar {
		v.all = []series{{q.Id, g.flat(v.number, periodOf(q.Period))}}
	}
	for _, s := range v.all {
		r := MetricDataResult{Id: &q.Id, Label: &s.label, Timestamps: []time.Time{}, Values: []float64{}, StatusCode: StatusCodeComplete}
		if q.Label != nil {
			r.Label = q.Label
		}
		times := slices.Sorted(maps.Keys(s.points))
		if g.in.ScanBy != ScanByTimestampAscending {
			slices.Reverse(times)
		}
		for _, at := range times {
			r.Timestamps = append(r.Timestamps, time.Unix(at, 0).UTC())
			r.Values = append(r.Values, s.points[at])
		}
		out = append(out, r)
	}
	return out
}

// flat is a number at every period.
func (g *gathering) flat(f float64, period time.Duration) map[int64]float64 {
	points := map[int64]float64{}
	for at := g.in.StartTime.Truncate(period); at.Before(g.in.EndTime) && len(points) < maxStatistics; at = at.Add(period) {
		points[at.Unix()] = f
	}
	return points
}
