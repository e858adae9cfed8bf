package archive

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

// stored is a chunk or a block as it is on disk.
type stored struct {
	id     string // unique among all partitions and for all time
	source telemetry.Source
	doc    []byte
}

// chunks returns what is on disk of a trace, oldest first.
func (a *Archive) chunks(ctx context.Context, id telemetry.TraceID) ([]stored, error) {
	return a.collect(ctx, `SELECT c.id, s.doc, c.doc FROM chunks c JOIN sources s ON s.id = c.source WHERE c.trace = ? ORDER BY c.id`, id[:])
}

// collect runs a query for an id, a source and a document on all partitions, oldest first.
func (a *Archive) collect(ctx context.Context, query string, args ...any) (out []stored, err error) {
	for _, p := range a.all() {
		err := a.eachStored(ctx, p, func(s stored) (bool, error) {
			out = append(out, s)
			return true, nil
		}, query, args...)
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// eachStored runs such a query on one partition and calls yield for every row, until it has enough.
func (a *Archive) eachStored(ctx context.Context, p *partition, yield func(stored) (more bool, err error), query string, args ...any) error {
	err := each(ctx, p, func(scan func(...any) error) error {
		var row int64
		var source string
		var found stored
		if err := scan(&row, &source, &found.doc); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(source), &found.source); err != nil {
			return err
		}
		found.id = p.rowName(row)
		more, err := yield(found)
		if err == nil && !more {
			err = errEnough
		}
		return err
	}, query, args...)
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

var errEnough = errors.New("enough rows")

// each runs a query on a partition and calls row for every row. A partition that is removed meanwhile
// has none.
func each(ctx context.Context, p *partition, row func(scan func(...any) error) error, query string, args ...any) error {
	rows, err := p.read.QueryContext(ctx, query, args...)
	if err != nil {
		if p.gone.Load() {
			return nil
		}
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
