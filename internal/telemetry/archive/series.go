package archive

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

// Series lists what was measured, each series once, in no order.
func (a *Archive) Series(ctx context.Context) ([]telemetry.Series, error) {
	known := map[telemetry.Series]bool{}
	for _, p := range a.all() {
		err := each(ctx, p, func(scan func(...any) error) error {
			var s telemetry.Series
			if err := scan(&s.Runtime, &s.Endpoint, &s.Name, &s.Unit, &s.Labels); err != nil {
				return err
			}
			known[s] = true
			return nil
		}, "SELECT runtime, endpoint, name, unit, labels FROM series")
		if err != nil {
			return nil, err
		}
	}
	return slices.Collect(maps.Keys(known)), nil
}

// LabelsOf reads the labels of a series.
func LabelsOf(s telemetry.Series) (map[string]string, error) {
	labels := map[string]string{}
	if s.Labels == "" {
		return labels, nil
	}
	return labels, json.Unmarshal([]byte(s.Labels), &labels)
}

// Labels writes labels as those of a series.
func Labels(labels map[string]string) string {
	if len(labels) == 0 {
		return ""
	}
	doc, err := json.Marshal(labels) // sorts by name
	if err != nil {
		panic(err) // of strings that it refuses
	}
	return string(doc)
}

// SumQuery says which series to add up, over which time. All fields are required.
type SumQuery struct {
	Name         string
	Match        func(telemetry.Series) bool
	Since, Until time.Time
	Step         time.Duration // whole minutes
}

// SumPoint is what series add up to in one step.
type SumPoint struct {
	Time          time.Time
	Count, Errors int64
	Sum, Min, Max float64
	distribution  *merged
}

// Quantile is within one percent; 0 where only sums are known.
func (p SumPoint) Quantile(q float64) float64 {
	v, err := p.distribution.sketch.GetValueAtQuantile(q)
	if err != nil { // of an empty one there is none
		return 0
	}
	return v
}

// Sum adds series up, the minute that runs among them. Steps in which nothing was measured have no point.
func (a *Archive) Sum(ctx context.Context, q SumQuery) ([]SumPoint, error) {
	all := &group{points: map[int64]*merged{}}
	step := int64(q.Step / time.Minute)
	for _, p := range a.all() {
		ids, err := matching(ctx, p, &q)
		if err != nil {
			return nil, err
		}
		if len(ids) == 0 {
			continue
		}
		err = each(ctx, p, func(scan func(...any) error) error {
			var m minuteRow
			if err := scan(&m.minute, &m.count, &m.errors, &m.sum, &m.lowest, &m.high, &m.packed); err != nil {
				return err
			}
			return all.add(m.minute-m.minute%step, &m)
		}, "SELECT minute, count, errors, sum, lowest, high, sketch FROM minutes WHERE series IN ("+strings.Join(ids, ",")+") AND minute >= ? AND minute < ?",
			minuteOf(q.Since), minuteOf(q.Until.Add(time.Minute-1)))
		if err != nil {
			return nil, err
		}
	}
	out := []SumPoint{}
	for _, at := range slices.Sorted(maps.Keys(all.points)) {
		m := all.points[at]
		out = append(out, SumPoint{time.Unix(at*60, 0).UTC(), m.count, m.errors, m.sum, m.lowest, m.high, m})
	}
	return out, nil
}

// matching returns the ids of the series in a partition, as text.
func matching(ctx context.Context, p *partition, q *SumQuery) (ids []string, err error) {
	err = each(ctx, p, func(scan func(...any) error) error {
		s := telemetry.Series{Name: q.Name}
		var id int64
		if err := scan(&id, &s.Runtime, &s.Endpoint, &s.Unit, &s.Labels); err != nil {
			return err
		}
		if q.Match(s) {
			ids = append(ids, fmt.Sprint(id))
		}
		return nil
	}, "SELECT id, runtime, endpoint, unit, labels FROM series WHERE name = ?", q.Name)
	return ids, err
}
