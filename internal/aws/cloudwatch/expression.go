package cloudwatch

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// series is a row of numbers, by the time of each.
type series struct {
	label  string
	points map[int64]float64 // by seconds since 1970
}

// value is what an expression is worth: several series, or one number.
type value struct {
	all    []series
	number float64
	scalar bool
}

// expression reads and works out metric math: + - * / ^, parentheses, numbers, ids of other queries, and
// SUM, AVG, MIN, MAX, FILL, RATE, ABS, CEIL, FLOOR, METRICS and SEARCH. Source: CloudWatch user guide,
// metric math.
type expression struct {
	text   string
	at     int
	depth  int
	named  func(id string) (value, error)
	all    func() []series // METRICS()
	search func(what, stat string, period time.Duration) ([]series, error)
	period time.Duration
}

const maxDepth = 40

func (e *expression) value() (value, error) {
	v, err := e.sum()
	if err != nil {
		return v, err
	}
	if e.skip(); e.at < len(e.text) {
		return v, e.wrong("an operator is missing before %q", e.text[e.at:])
	}
	return v, nil
}

func (e *expression) wrong(format string, args ...any) error {
	return wrong("the expression is wrong at character %d: %s", e.at+1, fmt.Sprintf(format, args...))
}

func (e *expression) skip() {
	for e.at < len(e.text) && (e.text[e.at] == ' ' || e.text[e.at] == '\n' || e.text[e.at] == '\t') {
		e.at++
	}
}

func (e *expression) take(c byte) bool {
	if e.skip(); e.at < len(e.text) && e.text[e.at] == c {
		e.at++
		return true
	}
	return false
}

func (e *expression) sum() (value, error)     { return e.chain("+-", e.product) }
func (e *expression) product() (value, error) { return e.chain("*/", e.power) }
func (e *expression) power() (value, error)   { return e.chain("^", e.one) }

func (e *expression) chain(operators string, next func() (value, error)) (value, error) {
	left, err := next()
	for err == nil {
		e.skip()
		if e.at == len(e.text) || !strings.ContainsRune(operators, rune(e.text[e.at])) {
			return left, nil
		}
		op := e.text[e.at]
		e.at++
		var right value
		if right, err = next(); err == nil {
			left = combine(op, left, right)
		}
	}
	return left, err
}

func reckon(op byte, a, b float64) float64 {
	switch op {
	case '+':
		return a + b
	case '-':
		return a - b
	case '*':
		return a * b
	case '/':
		return a / b
	}
	return math.Pow(a, b)
}

// combine reckons point by point; where one side has no point, or the result is no number, there is none.
func combine(op byte, a, b value) value {
	switch {
	case a.scalar && b.scalar:
		return value{number: reckon(op, a.number, b.number), scalar: true}
	case a.scalar:
		return each(b, func(_ int64, v float64) float64 { return reckon(op, a.number, v) })
	case b.scalar:
		return each(a, func(_ int64, v float64) float64 { return reckon(op, v, b.number) })
	}
	out := value{}
	many, one := a, b
	if len(b.all) > len(a.all) {
		many, one = b, a
	}
	for i, s := range many.all {
		with := one.all[min(i, len(one.all)-1):]
		if len(with) == 0 {
			continue
		}
		points := map[int64]float64{}
		for at, x := range s.points {
			y, ok := with[0].points[at]
			if len(b.all) > len(a.all) {
				x, y = y, x
			}
			if r := reckon(op, x, y); ok && !math.IsNaN(r) && !math.IsInf(r, 0) {
				points[at] = r
			}
		}
		out.all = append(out.all, series{s.label, points})
	}
	return out
}

func each(v value, fn func(at int64, f float64) float64) value {
	out := value{}
	for _, s := range v.all {
		points := map[int64]float64{}
		for at, f := range s.points {
			if r := fn(at, f); !math.IsNaN(r) && !math.IsInf(r, 0) {
				points[at] = r
			}
		}
		out.all = append(out.all, series{s.label, points})
	}
	return out
}

func (e *expression) one() (value, error) {
	if e.depth++; e.depth > maxDepth {
		return value{}, e.wrong("it nests deeper than %d", maxDepth)
	}
	defer func() { e.depth-- }()
	e.skip()
	switch {
	case e.at == len(e.text):
		return value{}, e.wrong("a value is missing")
	case e.take('-'):
		v, err := e.one()
		return combine('*', v, value{number: -1, scalar: true}), err
	case e.take('('):
		v, err := e.sum()
		if err == nil && !e.take(')') {
			err = e.wrong("a ) is missing")
		}
		return v, err
	case e.take('['):
		return e.list()
	case e.text[e.at] >= '0' && e.text[e.at] <= '9' || e.text[e.at] == '.':
		return e.number()
	}
	name := e.word()
	if name == "" {
		return value{}, e.wrong("%q is not expected", e.text[e.at:e.at+1])
	}
	if e.take('(') {
		return e.call(strings.ToUpper(name))
	}
	return e.named(name)
}

// list reads [m1, m2].
func (e *expression) list() (out value, err error) {
	for {
		v, err := e.sum()
		if err != nil {
			return v, err
		}
		out.all = append(out.all, v.all...)
		if e.take(']') {
			return out, nil
		}
		if !e.take(',') {
			return out, e.wrong("a ] is missing")
		}
	}
}

func (e *expression) number() (value, error) {
	from := e.at
	for e.at < len(e.text) && (e.text[e.at] >= '0' && e.text[e.at] <= '9' || e.text[e.at] == '.') {
		e.at++
	}
	f, err := strconv.ParseFloat(e.text[from:e.at], 64)
	if err != nil {
		return value{}, e.wrong("%q is no number", e.text[from:e.at])
	}
	return value{number: f, scalar: true}, nil
}

func (e *expression) word() string {
	from := e.at
	for e.at < len(e.text) && (e.text[e.at] == '_' || unicode.IsLetter(rune(e.text[e.at])) || unicode.IsDigit(rune(e.text[e.at]))) {
		e.at++
	}
	return e.text[from:e.at]
}

func (e *expression) call(name string) (value, error) {
	switch name {
	case "SEARCH":
		return e.searching()
	case "METRICS":
		if !e.take(')') {
			return value{}, e.wrong("METRICS with a part of the ids is not offered")
		}
		return value{all: e.all()}, nil
	}
	v, err := e.sum()
	if err != nil {
		return v, err
	}
	other := value{scalar: true}
	if e.take(',') {
		if other, err = e.sum(); err != nil {
			return v, err
		}
	}
	if !e.take(')') {
		return v, e.wrong("a ) is missing")
	}
	return e.function(name, v, other)
}

func (e *expression) function(name string, v, other value) (value, error) {
	switch name {
	case "SUM", "AVG", "MIN", "MAX":
		return over(name, v), nil
	case "FILL":
		return e.fill(v, other), nil
	case "ABS":
		return each(v, func(_ int64, f float64) float64 { return math.Abs(f) }), nil
	case "CEIL":
		return each(v, func(_ int64, f float64) float64 { return math.Ceil(f) }), nil
	case "FLOOR":
		return each(v, func(_ int64, f float64) float64 { return math.Floor(f) }), nil
	case "RATE":
		return e.rate(v), nil
	}
	return v, e.wrong("the function %s is not offered: there are SUM, AVG, MIN, MAX, FILL, RATE, ABS, CEIL, FLOOR, METRICS and SEARCH", name)
}

// over makes one series of several, or one number of one.
func over(name string, v value) value {
	if len(v.all) == 1 {
		total, n := 0.0, 0
		for _, f := range v.all[0].points {
			total = gather(name, total, f, n)
			n++
		}
		if name == "AVG" {
			total /= float64(max(n, 1))
		}
		return value{number: total, scalar: true}
	}
	out, counts := map[int64]float64{}, map[int64]int{}
	for _, s := range v.all {
		for at, f := range s.points {
			out[at] = gather(name, out[at], f, counts[at])
			counts[at]++
		}
	}
	if name == "AVG" {
		for at := range out {
			out[at] /= float64(counts[at])
		}
	}
	return value{all: []series{{name, out}}}
}

func gather(name string, so, f float64, n int) float64 {
	switch {
	case n == 0:
		return f
	case name == "MIN":
		return min(so, f)
	case name == "MAX":
		return max(so, f)
	}
	return so + f
}

// fill puts a number where others of the answer have a point and a series has none.
func (e *expression) fill(v, with value) value {
	times := map[int64]bool{}
	for _, s := range append(v.all, e.all()...) {
		for at := range s.points {
			times[at] = true
		}
	}
	out := each(v, func(_ int64, f float64) float64 { return f })
	for _, s := range out.all {
		for at := range times {
			if _, ok := s.points[at]; !ok {
				s.points[at] = with.number
			}
		}
	}
	return out
}

// rate is the change since the period before, by the second.
func (e *expression) rate(v value) value {
	step := int64(e.period / time.Second)
	out := value{}
	for _, s := range v.all {
		points := map[int64]float64{}
		for at, f := range s.points {
			if before, ok := s.points[at-step]; ok {
				points[at] = (f - before) / float64(step)
			}
		}
		out.all = append(out.all, series{s.label, points})
	}
	return out
}

// searching reads SEARCH('…', 'stat', period).
func (e *expression) searching() (value, error) {
	what, err := e.quoted()
	if err != nil {
		return value{}, err
	}
	if !e.take(',') {
		return value{}, e.wrong("SEARCH takes what to search, a statistic and a period")
	}
	stat, err := e.quoted()
	if err != nil {
		return value{}, err
	}
	period := e.period
	if e.take(',') {
		e.skip()
		n, err := e.number()
		if err != nil {
			return value{}, err
		}
		period = time.Duration(n.number) * time.Second
	}
	if !e.take(')') {
		return value{}, e.wrong("a ) is missing")
	}
	found, err := e.search(what, stat, period)
	return value{all: found}, err
}

func (e *expression) quoted() (string, error) {
	e.skip()
	if e.at == len(e.text) || e.text[e.at] != '\'' && e.text[e.at] != '"' {
		return "", e.wrong("a quoted text is missing")
	}
	quote := e.text[e.at]
	end := strings.IndexByte(e.text[e.at+1:], quote)
	if end < 0 {
		return "", e.wrong("what begins with %c does not end", quote)
	}
	text := e.text[e.at+1 : e.at+1+end]
	e.at += end + 2
	return text, nil
}

// percentile reads p99 or p99.9 as a share of 1.
func percentile(stat string) (float64, error) {
	digits, ok := strings.CutPrefix(stat, "p")
	f, err := strconv.ParseFloat(digits, 64)
	if !ok || err != nil || !(0 <= f && f <= 100) {
		return 0, wrong("the statistic %q is not offered: there are Sum, Average, Minimum, Maximum, SampleCount and percentiles such as p99", stat)
	}
	return f / 100, nil
}
