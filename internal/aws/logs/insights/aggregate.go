package insights

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// sum is an aggregate in the making.
type sum interface {
	add(v Value, at Value)
	value() Value
}

// aggregates make the sums, by name.
var aggregates = map[string]func(percent float64) sum{
	"count":          func(float64) sum { return &count{} },
	"count_distinct": func(float64) sum { return &distinct{map[string]bool{}} },
	"sum":            func(float64) sum { return &total{} },
	"avg":            func(float64) sum { return &total{mean: true} },
	"min":            func(float64) sum { return &most{way: -1} },
	"max":            func(float64) sum { return &most{way: 1} },
	"pct":            func(p float64) sum { return &spread{percent: p} },
	"percentile":     func(p float64) sum { return &spread{percent: p} },
	"median":         func(float64) sum { return &spread{percent: 50} },
	"stddev":         func(float64) sum { return &spread{deviation: true} },
	"earliest":       func(float64) sum { return &moment{way: -1} },
	"latest":         func(float64) sum { return &moment{way: 1} },
	"sortsfirst":     func(float64) sum { return &most{way: -1} },
	"sortslast":      func(float64) sum { return &most{way: 1} },
}

// summand is something that stats adds up: what is nil where records are counted.
type summand struct {
	make func() sum
	what expr
}

// sumOf is the place of a summand's value in a column, which may reckon with several.
type sumOf struct{ n int }

func (e *sumOf) of(r *row) Value { return r.sums[e.n].value() }

// aggregate reads a sum after its name. What it adds up has no sums in it.
func (p *parser) aggregate(name token) (expr, error) {
	into := p.sums
	p.sums = nil
	defer func() { p.sums = into }()
	if err := p.need("("); err != nil {
		return nil, err
	}
	one := summand{}
	star, err := p.take("*")
	if err != nil {
		return nil, err
	}
	if counts := name.is("count"); !star && !(counts && p.now.is(")")) {
		if one.what, err = p.expr(); err != nil {
			return nil, err
		}
	} else if !counts {
		return nil, p.fail(name.at, "only count takes a star")
	}
	percent := 0.0
	if name.is("pct") || name.is("percentile") {
		if percent, err = p.percent(); err != nil {
			return nil, err
		}
	}
	one.make = func() sum { return aggregates[strings.ToLower(name.text)](percent) }
	*into = append(*into, one)
	return &sumOf{len(*into) - 1}, p.need(")")
}

func (p *parser) percent() (float64, error) {
	if err := p.need(","); err != nil {
		return 0, err
	}
	percent, err := strconv.ParseFloat(p.now.text, 64)
	if p.now.kind != number || err != nil || percent > 100 {
		return 0, p.expected("a percentage from 0 to 100")
	}
	return percent, p.step()
}

type count struct{ n int }

func (s *count) add(v, _ Value) {
	if v.kind != missing {
		s.n++
	}
}
func (s *count) value() Value { return Number(float64(s.n)) }

type distinct struct{ seen map[string]bool }

func (s *distinct) add(v, _ Value) {
	if v.kind != missing && len(s.seen) < maxGroups {
		s.seen[v.String()] = true
	}
}
func (s *distinct) value() Value { return Number(float64(len(s.seen))) }

type total struct {
	sum  float64
	n    int
	mean bool
}

func (s *total) add(v, _ Value) {
	if f, ok := v.asNumber(); ok {
		s.sum += f
		s.n++
	}
}

func (s *total) value() Value {
	switch {
	case !s.mean:
		return Number(s.sum)
	case s.n == 0:
		return Missing
	}
	return Number(s.sum / float64(s.n))
}

// most is the greatest or least. A moment among sums is a number, as AWS answers it.
type most struct {
	way  int
	best Value
}

func (s *most) add(v, _ Value) {
	if v.kind != missing && (s.best.kind == missing || compare(v, s.best)*s.way > 0) {
		s.best = v
	}
}

func (s *most) value() Value { return s.best.plain() }

// plain is a moment as a number.
func (v Value) plain() Value {
	if v.kind == aMoment {
		return Number(v.number)
	}
	return v
}

// moment is what the earliest or latest record has.
type moment struct {
	way   int
	at    Value
	found Value
}

func (s *moment) add(v, at Value) {
	if v.kind != missing && (s.at.kind == missing || compare(at, s.at)*s.way > 0) {
		s.at, s.found = at, v
	}
}
func (s *moment) value() Value { return s.found.plain() }

// maxKept is how many numbers a percentile is taken from; of more, the first.
const maxKept = 1_000_000

type spread struct {
	percent   float64
	deviation bool
	seen      []float64
}

func (s *spread) add(v, _ Value) {
	if f, ok := v.asNumber(); ok && len(s.seen) < maxKept {
		s.seen = append(s.seen, f)
	}
}

func (s *spread) value() Value {
	if len(s.seen) == 0 {
		return Missing
	}
	if !s.deviation {
		slices.Sort(s.seen)
		return Number(s.seen[max(int(math.Ceil(s.percent/100*float64(len(s.seen))))-1, 0)])
	}
	mean, square := 0.0, 0.0
	for _, f := range s.seen {
		mean += f / float64(len(s.seen))
	}
	for _, f := range s.seen {
		square += (f - mean) * (f - mean) / float64(len(s.seen))
	}
	return Number(math.Sqrt(square))
}

// stats adds records up by keys.
type stats struct {
	columns []column
	sums    []summand
	by      []column
	groups  map[string]*group
	order   []*group
}

type group struct {
	keys []Value
	sums []sum
}

func (p *parser) stats() (command, error) {
	c := &stats{groups: map[string]*group{}}
	for {
		at, had := p.now, len(c.sums)
		p.sums = &c.sums
		one, err := p.column()
		p.sums = nil
		if err != nil {
			return nil, err
		}
		if len(c.sums) == had {
			return nil, p.fail(at.at, "expected a sum: count, count_distinct, sum, avg, min, max, pct, median, stddev, earliest or latest")
		}
		c.columns = append(c.columns, one)
		if more, err := p.take(","); err != nil {
			return nil, err
		} else if !more {
			break
		}
	}
	grouped, err := p.take("by")
	if err != nil || !grouped {
		return c, err
	}
	c.by, err = p.named()
	return c, err
}

func (c *stats) push(r *row, _ func(*row) error) error {
	keys := make([]Value, len(c.by))
	for i, by := range c.by {
		keys[i] = by.of(r)
	}
	g, err := c.group(keys)
	if err != nil {
		return err
	}
	at := r.field("@timestamp")
	for i, one := range c.sums {
		v := Truth(true)
		if one.what != nil {
			v = one.what.of(r)
		}
		g.sums[i].add(v, at)
	}
	return nil
}

func (c *stats) group(keys []Value) (*group, error) {
	name := keyOf(keys)
	if g := c.groups[name]; g != nil {
		return g, nil
	}
	if len(c.groups) == maxGroups {
		return nil, fmt.Errorf("more than %d groups: group by less", maxGroups)
	}
	g := &group{keys: keys}
	for _, one := range c.sums {
		g.sums = append(g.sums, one.make())
	}
	c.groups[name] = g
	c.order = append(c.order, g)
	return g, nil
}

// keyOf tells apart what differs in any of the values.
func keyOf(values []Value) string {
	var b strings.Builder
	for _, v := range values {
		text := v.String()
		fmt.Fprintf(&b, "%t%d:%s", v.kind == missing, len(text), text)
	}
	return b.String()
}

func (c *stats) flush(next func(*row) error) error {
	for _, g := range c.order {
		r := &row{summed: true, sums: g.sums}
		for i, by := range c.by {
			r.set(by.name, g.keys[i])
			r.show(by.name)
		}
		for _, column := range c.columns {
			r.set(column.name, column.of(r))
			r.show(column.name)
		}
		if err := next(r); err != nil {
			return err
		}
	}
	return nil
}
