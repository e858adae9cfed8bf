package archive

import (
	"context"
	"database/sql"
)

// manyRows is how many rows one statement writes: each run of one has a price of its own.
const manyRows = 32

// rows collects rows for a statement that writes one and one that writes manyRows.
type rows struct {
	one, many *sql.Stmt
	width     int // arguments of a row
	args      []any
}

func (r *rows) add(ctx context.Context, args ...any) error {
	if r.args = append(r.args, args...); len(r.args) < manyRows*r.width {
		return nil
	}
	_, err := r.many.ExecContext(ctx, r.args...)
	r.args = r.args[:0]
	return err
}

// flush writes what is left.
func (r *rows) flush(ctx context.Context) error {
	for left := r.args; len(left) > 0; left = left[r.width:] {
		if _, err := r.one.ExecContext(ctx, left[:r.width]...); err != nil {
			return err
		}
	}
	r.args = r.args[:0]
	return nil
}
