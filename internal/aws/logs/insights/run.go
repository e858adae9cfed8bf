package insights

import (
	"errors"
	"fmt"
	"iter"
	"regexp"
	"slices"
)

// Row is a row of an answer.
type Row []Cell

// Cell is one of its fields.
type Cell struct{ Field, Value string }

// Answer is what a query found.
type Answer struct {
	Rows    []Row
	Scanned int // records
	Matched int // that were no filter's
}

// Run runs a query over records, each of which lives until the answer is there. A query runs once.
func (q *Query) Run(records iter.Seq2[Record, error]) (Answer, error) {
	a := Answer{}
	commands := q.arranged(&a.Matched)
	sink := &collector{}
	push := sink.push
	for _, c := range slices.Backward(commands) {
		next := push
		push = func(r *row) error { return c.push(r, next) }
	}
	for record, err := range records {
		if err != nil {
			return a, err
		}
		a.Scanned++
		if err := push(&row{record: record}); errors.Is(err, errEnough) {
			break
		} else if err != nil {
			return a, err
		}
	}
	for i, c := range commands {
		next := sink.push
		for _, later := range slices.Backward(commands[i+1:]) {
			after := next
			next = func(r *row) error { return later.push(r, after) }
		}
		if err := c.flush(next); err != nil && !errors.Is(err, errEnough) {
			return a, err
		}
	}
	a.Rows = sink.rows
	return a, nil
}

// arranged adds what a query leaves unsaid: that the newest come first, and a thousand of them.
func (q *Query) arranged(matched *int) []command {
	out := slices.Clone(q.commands)
	sums := slices.ContainsFunc(out, func(c command) bool { _, ok := c.(*stats); return ok })
	sorts := slices.ContainsFunc(out, func(c command) bool { _, ok := c.(*sorting); return ok })
	if !sorts && !sums {
		i := slices.IndexFunc(out, func(c command) bool { _, ok := c.(*limit); return ok })
		if i < 0 {
			i = len(out)
		}
		out = slices.Insert(out, i, command(&sorting{keys: []sortKey{{&fieldOf{"@timestamp"}, true}}, limit: MaxRows}))
	}
	if !slices.ContainsFunc(out, func(c command) bool { _, ok := c.(*limit); return ok }) {
		out = append(out, &limit{n: q.rows})
	}
	for i, c := range out {
		if s, ok := c.(*sorting); ok && i+1 < len(out) {
			if l, ok := out[i+1].(*limit); ok {
				s.limit = l.n
			}
		}
	}
	for i, c := range out {
		switch c.(type) {
		case *stats, *sorting, *limit, *dedup:
			return slices.Insert(out, i, command(&counting{n: matched}))
		}
	}
	return out
}

// command is a step of the pipeline. What it holds back it gives when there is no more.
type command interface {
	push(r *row, next func(*row) error) error
	flush(next func(*row) error) error
}

var errEnough = errors.New("enough rows")

// row is a record on its way, with what was worked out of it.
type row struct {
	record Record // nil after sums
	values map[string]Value
	shown  []string
	summed bool
	sums   []sum
}

func (r *row) field(path string) Value {
	if v, ok := r.values[path]; ok {
		return v
	}
	if r.record == nil {
		return Missing
	}
	return r.record.Field(path)
}

func (r *row) set(name string, v Value) {
	if r.values == nil {
		r.values = map[string]Value{}
	}
	r.values[name] = v
}

func (r *row) show(name string) {
	if !slices.Contains(r.shown, name) {
		r.shown = append(r.shown, name)
	}
}

type passing struct{}

func (passing) flush(func(*row) error) error { return nil }

// counting counts what no filter held back.
type counting struct {
	passing
	n *int
}

func (c *counting) push(r *row, next func(*row) error) error {
	*c.n++
	return next(r)
}

type fields struct {
	passing
	shown []column
	only  bool // display: nothing that was shown before
}

func (c *fields) push(r *row, next func(*row) error) error {
	if c.only {
		r.shown = nil
	}
	for _, column := range c.shown {
		if f, plain := column.expr.(*fieldOf); !plain || f.path != column.name {
			r.set(column.name, column.of(r))
		}
		r.show(column.name)
	}
	return next(r)
}

type filter struct {
	passing
	when expr
}

func (c *filter) push(r *row, next func(*row) error) error {
	if !c.when.of(r).isTrue() {
		return nil
	}
	return next(r)
}

type parse struct {
	passing
	from  expr
	by    *regexp.Regexp
	names []string
}

func (c *parse) push(r *row, next func(*row) error) error {
	if v := c.from.of(r); v.kind != missing {
		if found := c.by.FindStringSubmatchIndex(v.String()); found != nil {
			for i, name := range c.names {
				if from := found[2*i+2]; from >= 0 && name != "" {
					r.set(name, Text(v.String()[from:found[2*i+3]]))
				}
			}
		}
	}
	for _, name := range c.names {
		if name != "" && len(r.shown) > 0 {
			r.show(name)
		}
	}
	return next(r)
}

type sortKey struct {
	expr
	down bool
}

// sorting keeps the first rows of an order.
type sorting struct {
	keys  []sortKey
	limit int
	rows  []sortedRow
}

type sortedRow struct {
	*row
	keys []Value
}

func (c *sorting) push(r *row, _ func(*row) error) error {
	s := sortedRow{row: r}
	for _, k := range c.keys {
		s.keys = append(s.keys, k.of(r))
	}
	if c.rows = append(c.rows, s); len(c.rows) >= 2*c.limit {
		c.cut()
	}
	return nil
}

func (c *sorting) cut() {
	slices.SortStableFunc(c.rows, func(a, b sortedRow) int {
		for i, k := range c.keys {
			if order := compare(a.keys[i], b.keys[i]); order != 0 && k.down {
				return -order
			} else if order != 0 {
				return order
			}
		}
		return 0
	})
	clear(c.rows[min(len(c.rows), c.limit):])
	c.rows = c.rows[:min(len(c.rows), c.limit)]
}

func (c *sorting) flush(next func(*row) error) error {
	c.cut()
	for _, r := range c.rows {
		if err := next(r.row); err != nil {
			return err
		}
	}
	return nil
}

type limit struct {
	passing
	n, had int
}

func (c *limit) push(r *row, next func(*row) error) error {
	if c.had >= c.n {
		return errEnough
	}
	c.had++
	return next(r)
}

// dedup keeps the first row of each kind.
type dedup struct {
	passing
	by   []expr
	seen map[string]bool
}

func (c *dedup) push(r *row, next func(*row) error) error {
	keys := make([]Value, len(c.by))
	for i, e := range c.by {
		keys[i] = e.of(r)
	}
	key := keyOf(keys)
	if c.seen[key] {
		return nil
	}
	if len(c.seen) == maxGroups {
		return fmt.Errorf("more than %d kinds of rows: dedup by less", maxGroups)
	}
	c.seen[key] = true
	return next(r)
}

// collector makes rows of an answer.
type collector struct{ rows []Row }

func (c *collector) push(r *row) error {
	if len(c.rows) == MaxRows {
		return errEnough
	}
	shown := r.shown
	if len(shown) == 0 {
		shown = []string{"@timestamp", "@message"}
	}
	out := Row{}
	for _, name := range shown {
		if v := r.field(name); v.kind != missing {
			out = append(out, Cell{name, v.String()})
		}
	}
	if v := r.field("@ptr"); !r.summed && v.kind != missing && !slices.Contains(shown, "@ptr") {
		out = append(out, Cell{"@ptr", v.String()})
	}
	c.rows = append(c.rows, out)
	return nil
}
