package archive

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/DataDog/sketches-go/ddsketch"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/telemetry"
)

// MetricQuery says which metric to answer. Name is required.
type MetricQuery struct {
	Name     string
	Runtime  string // empty is all
	Endpoint string
	Labels   map[string]string // that a series must have
	By       []string          // runtime, endpoint or labels by which the answer is split; none adds everything up
	Since    time.Time         // default an hour ago
	Until    time.Time         // default now
	Step     time.Duration     // of a point, in whole minutes; default is what makes at most 120 points
}

// Bounds of an answer.
const (
	maxPoints = 1500 // a day of minutes, and some
	maxSeries = 500
)

func (q *MetricQuery) settle(now time.Time) error {
	if q.Name == "" {
		return moorage.Errorf(moorage.Invalid, "name which metric")
	}
	if q.Until.IsZero() {
		q.Until = now
	}
	if q.Since.IsZero() {
		q.Since = q.Until.Add(-time.Hour)
	}
	length := q.Until.Sub(q.Since)
	if q.Step == 0 {
		q.Step = max((length / 120).Truncate(time.Minute), time.Minute)
	}
	if q.Step%time.Minute != 0 || q.Step < time.Minute || length < 0 || length/q.Step > maxPoints {
		return moorage.Errorf(moorage.Invalid, "a step is whole minutes, and at most %d of them fit between since and until", maxPoints)
	}
	return nil
}

// group is one series of an answer in the making.
type group struct {
	labels map[string]string
	points map[int64]*merged // by the minute of the step's begin
}

// merged is several minutes together.
type merged struct {
	count, errors     int64
	sum, lowest, high float64
	sketch            *ddsketch.DDSketch
}

// Metric answers a metric over time. Steps in which nothing was measured have no point.
func (a *Archive) Metric(ctx context.Context, q MetricQuery) ([]telemetry.MetricSeries, error) {
	if err := q.settle(a.Now()); err != nil {
		return nil, err
	}
	groups := map[string]*group{}
	for _, p := range a.all() {
		if err := a.gather(ctx, p, &q, groups); err != nil {
			return nil, err
		}
	}
	out := []telemetry.MetricSeries{}
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		out = append(out, groups[key].view())
	}
	return out, nil
}

// gather adds what a partition has: of the series that are asked for, which are few, the minutes, which are many.
func (a *Archive) gather(ctx context.Context, p *partition, q *MetricQuery, groups map[string]*group) error {
	known, ids, err := a.series(ctx, p, q, groups)
	if err != nil || len(ids) == 0 {
		return err
	}
	step := int64(q.Step / time.Minute)
	return each(ctx, p, func(scan func(...any) error) error {
		var series int64
		var m minuteRow
		var packed sql.RawBytes // good until the next row
		if err := scan(&series, &m.minute, &m.count, &m.errors, &m.sum, &m.lowest, &m.high, &packed); err != nil {
			return err
		}
		m.packed = packed
		return known[series].add(m.minute-m.minute%step, &m)
	}, "SELECT series, minute, count, errors, sum, lowest, high, sketch FROM minutes WHERE series IN ("+strings.Join(ids, ",")+") AND minute >= ? AND minute < ?",
		minuteOf(q.Since), minuteOf(q.Until.Add(time.Minute-1)))
}

// series finds the groups of the series in a partition that are asked for, by their ids, which are there as text, too.
func (a *Archive) series(ctx context.Context, p *partition, q *MetricQuery, groups map[string]*group) (known map[int64]*group, ids []string, err error) {
	where, args := []string{"name = ?", "EXISTS (SELECT 1 FROM minutes WHERE series = id AND minute >= ? AND minute < ?)"},
		[]any{q.Name, minuteOf(q.Since), minuteOf(q.Until.Add(time.Minute - 1))}
	if q.Runtime != "" {
		where, args = append(where, "runtime = ?"), append(args, q.Runtime)
	}
	if q.Endpoint != "" {
		where, args = append(where, "endpoint = ?"), append(args, q.Endpoint)
	}
	known = map[int64]*group{}
	err = each(ctx, p, func(scan func(...any) error) error {
		var id int64
		var s telemetry.Series
		if err := scan(&id, &s.Runtime, &s.Endpoint, &s.Labels); err != nil {
			return err
		}
		g, err := q.group(s, groups)
		if err == nil && g != nil {
			known[id] = g
			ids = append(ids, fmt.Sprint(id))
		}
		return err
	}, "SELECT id, runtime, endpoint, labels FROM series"+and(where), args...)
	return known, ids, err
}

func minuteOf(t time.Time) int64 { return t.Unix() / 60 }

// minuteRow is a bucket as it is read.
type minuteRow struct {
	minute int64
	merged
	packed []byte
}

// group finds or makes the group of a series; nil where it was not asked for.
func (q *MetricQuery) group(s telemetry.Series, groups map[string]*group) (*group, error) {
	labels, err := LabelsOf(s)
	if err != nil {
		return nil, fmt.Errorf("read the labels of %s: %w", q.Name, err)
	}
	for name, want := range q.Labels {
		if labels[name] != want {
			return nil, nil
		}
	}
	labels["runtime"], labels["endpoint"] = s.Runtime, s.Endpoint
	picked, key := map[string]string{}, ""
	for _, name := range q.By {
		picked[name] = labels[name]
		key += labels[name] + "\x00"
	}
	g := groups[key]
	if g == nil {
		if len(groups) >= maxSeries {
			return nil, moorage.Errorf(moorage.Invalid, "more than %d series: ask for fewer, or by less", maxSeries)
		}
		g = &group{picked, map[int64]*merged{}}
		groups[key] = g
	}
	return g, nil
}

func (g *group) add(at int64, m *minuteRow) error {
	p := g.points[at]
	if p == nil {
		p = &merged{sketch: newSketch(), lowest: m.lowest, high: m.high}
		g.points[at] = p
	}
	if m.count > 0 {
		if p.count == 0 {
			p.lowest, p.high = m.lowest, m.high
		}
		p.lowest, p.high = min(p.lowest, m.lowest), max(p.high, m.high)
	}
	p.count, p.errors, p.sum = p.count+m.count, p.errors+m.errors, p.sum+m.sum
	return p.sketch.DecodeAndMergeWith(m.packed)
}

func (g *group) view() telemetry.MetricSeries {
	out := telemetry.MetricSeries{Labels: g.labels, Points: []telemetry.MetricPoint{}}
	for _, at := range slices.Sorted(maps.Keys(g.points)) {
		out.Points = append(out.Points, g.points[at].view(at))
	}
	return out
}

func (m *merged) view(minute int64) telemetry.MetricPoint {
	p := telemetry.MetricPoint{Time: time.Unix(minute*60, 0).UTC(), Count: m.count, Errors: m.errors, Sum: m.sum, Min: m.lowest, Max: m.high}
	if m.count > 0 {
		p.Mean = m.sum / float64(m.count)
	}
	if q, err := m.sketch.GetValuesAtQuantiles([]float64{0.5, 0.9, 0.95, 0.99}); err == nil { // of an empty one there are none
		p.P50, p.P90, p.P95, p.P99 = q[0], q[1], q[2], q[3]
	}
	return p
}

// MetricNames lists the metrics that have series, by name.
func (a *Archive) MetricNames(ctx context.Context, runtime string) ([]telemetry.MetricName, error) {
	known := map[string]telemetry.MetricName{}
	for _, p := range a.all() {
		err := each(ctx, p, func(scan func(...any) error) error {
			var m telemetry.MetricName
			var labels string
			if err := scan(&m.Name, &m.Unit, &labels); err != nil {
				return err
			}
			named := map[string]string{}
			if labels != "" {
				if err := json.Unmarshal([]byte(labels), &named); err != nil {
					return err
				}
			}
			m.Labels = slices.Sorted(maps.Keys(named))
			if before, ok := known[m.Name]; !ok || len(before.Labels) < len(m.Labels) {
				known[m.Name] = m
			}
			return nil
		}, "SELECT DISTINCT name, unit, labels FROM series WHERE ? = '' OR runtime = ?", runtime, runtime)
		if err != nil {
			return nil, err
		}
	}
	return slices.SortedFunc(maps.Values(known), func(a, b telemetry.MetricName) int {
		return cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
	}), nil
}
