package archive

import (
	"context"
	"time"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

// Total is what a series adds up to.
type Total struct {
	Series        telemetry.Series
	Count, Errors int64
	Sum           float64
}

// Totals adds up all series from a minute on, partition by partition: a series may be there more than
// once. What known has under a partition's name is taken instead of looking; partitions that are not
// written any more are added to it.
func (a *Archive) Totals(ctx context.Context, since time.Time, known map[string][]Total) (out []Total, err error) {
	for _, p := range a.all() {
		if sealed, ok := known[p.path]; ok {
			out = append(out, sealed...)
			continue
		}
		full := p.until.Load() != 0
		var totals []Total
		err := each(ctx, p, func(scan func(...any) error) error {
			var t Total
			err := scan(&t.Series.Runtime, &t.Series.Endpoint, &t.Series.Name, &t.Series.Unit, &t.Series.Labels, &t.Count, &t.Errors, &t.Sum)
			totals = append(totals, t)
			return err
		}, `SELECT s.runtime, s.endpoint, s.name, s.unit, s.labels, sum(m.count), sum(m.errors), sum(m.sum)
			FROM series s JOIN minutes m ON m.series = s.id WHERE m.minute >= ? GROUP BY s.id`, minuteOf(since))
		if err != nil {
			return nil, err
		}
		if full {
			known[p.path] = totals
		}
		out = append(out, totals...)
	}
	return out, nil
}
