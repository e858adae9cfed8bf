package insights

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// expr is something that a row has a value for.
type expr interface{ of(r *row) Value }

type fieldOf struct{ path string }

func (e *fieldOf) of(r *row) Value { return r.field(e.path) }

type constant struct{ value Value }

func (e *constant) of(*row) Value { return e.value }

type binary struct {
	op          string
	left, right expr
}

type unary struct {
	op   string // not or -
	what expr
}

type among struct {
	what  expr
	list  []expr
	wants bool // in, rather than not in
}

type matches struct {
	what  expr
	text  expr           // that is in it, or
	re    *regexp.Regexp // that it fits
	wants bool
}

type callOf struct {
	name string
	args []expr
	fn   func(args []Value) Value
}

func (e *callOf) of(r *row) Value {
	args := make([]Value, len(e.args))
	for i, a := range e.args {
		args[i] = a.of(r)
	}
	return e.fn(args)
}

func (e *unary) of(r *row) Value {
	v := e.what.of(r)
	if e.op == "not" {
		return Truth(!v.isTrue())
	}
	if f, ok := v.asNumber(); ok {
		return Number(-f)
	}
	return Missing
}

func (e *among) of(r *row) Value {
	v := e.what.of(r)
	for _, one := range e.list {
		if equal(v, one.of(r)) {
			return Truth(e.wants)
		}
	}
	return Truth(!e.wants)
}

func (e *matches) of(r *row) Value {
	v := e.what.of(r)
	found := false
	if v.kind != missing {
		if e.re != nil {
			found = e.re.MatchString(v.String())
		} else {
			found = strings.Contains(v.String(), e.text.of(r).String())
		}
	}
	return Truth(found == e.wants)
}

func (e *binary) of(r *row) Value {
	a := e.left.of(r)
	switch e.op { // that need not look at both
	case "and":
		return Truth(a.isTrue() && e.right.of(r).isTrue())
	case "or":
		return Truth(a.isTrue() || e.right.of(r).isTrue())
	}
	b := e.right.of(r)
	switch e.op {
	case "=":
		return Truth(equal(a, b))
	case "!=":
		return Truth(!equal(a, b))
	case "<", "<=", ">", ">=":
		return Truth(ordered(e.op, a, b))
	}
	return arithmetic(e.op, a, b)
}

func ordered(op string, a, b Value) bool {
	if a.kind == missing || b.kind == missing {
		return false
	}
	order := compare(a, b)
	switch op {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	}
	return order >= 0
}

func arithmetic(op string, a, b Value) Value {
	x, first := a.asNumber()
	y, second := b.asNumber()
	if !first || !second {
		return Missing
	}
	switch op {
	case "+":
		x += y
	case "-":
		x -= y
	case "*":
		x *= y
	case "/":
		x /= y
	case "%":
		x = math.Mod(x, y)
	case "^":
		x = math.Pow(x, y)
	}
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return Missing
	}
	return Number(x)
}

// levels are the operators that bind alike, the loosest first.
var levels = [][]string{{"or"}, {"and"}, {"=", "!=", "<", "<=", ">", ">=", "=~", "in", "like", "not"}, {"+", "-"}, {"*", "/", "%"}, {"^"}}

const comparing = 2

func (p *parser) expr() (expr, error) { return p.level(0) }

// deeper guards the stack against nesting.
func (p *parser) deeper() error {
	if p.depth++; p.depth > maxDepth*len(levels) {
		return p.wrong(fmt.Sprintf("the expression nests deeper than %d", maxDepth))
	}
	return nil
}

func (p *parser) level(n int) (expr, error) {
	if n == len(levels) {
		return p.sign()
	}
	if err := p.deeper(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	if n == comparing && p.now.is("not") {
		return p.negated()
	}
	left, err := p.level(n + 1)
	for err == nil {
		op := ""
		for _, each := range levels[n] {
			if p.now.is(each) {
				op = each
			}
		}
		if op == "" {
			return left, nil
		}
		if err = p.step(); err != nil {
			break
		}
		left, err = p.operator(op, left, n)
	}
	return nil, err
}

// negated reads "not" before a comparison.
func (p *parser) negated() (expr, error) {
	if err := p.step(); err != nil {
		return nil, err
	}
	e, err := p.level(comparing)
	return &unary{"not", e}, err
}

func (p *parser) operator(op string, left expr, n int) (expr, error) {
	wants := true
	if op == "not" { // x not in …, x not like …
		wants = false
		for _, each := range []string{"in", "like"} {
			if p.now.is(each) {
				op = each
			}
		}
		if op == "not" {
			return nil, p.expected(`"in" or "like"`)
		}
		if err := p.step(); err != nil {
			return nil, err
		}
	}
	switch op {
	case "in":
		list, err := p.bracketed()
		return &among{left, list, wants}, err
	case "like", "=~":
		return p.like(left, wants)
	}
	right, err := p.level(n + 1)
	return &binary{op, left, right}, err
}

func (p *parser) bracketed() ([]expr, error) {
	closing := "]"
	if p.now.is("(") {
		closing = ")"
	} else if !p.now.is("[") {
		return nil, p.expected(`"["`)
	}
	if err := p.step(); err != nil {
		return nil, err
	}
	if empty, err := p.take(closing); err != nil || empty {
		return nil, err
	}
	list, err := p.list(p.expr)
	if err != nil {
		return nil, err
	}
	return list, p.need(closing)
}

func (p *parser) like(left expr, wants bool) (expr, error) {
	if p.now.kind == expression {
		re, err := p.compile(p.now)
		if err != nil {
			return nil, err
		}
		return &matches{what: left, re: re, wants: wants}, p.step()
	}
	text, err := p.level(comparing + 1)
	return &matches{what: left, text: text, wants: wants}, err
}

func (p *parser) sign() (expr, error) {
	minus, err := p.take("-")
	if err != nil {
		return nil, err
	}
	e, err := p.primary()
	if minus && err == nil {
		return &unary{"-", e}, nil
	}
	return e, err
}

func (p *parser) primary() (expr, error) {
	t := p.now
	switch {
	case t.kind == text:
		return &constant{Text(t.text)}, p.step()
	case t.kind == number:
		f, err := strconv.ParseFloat(t.text, 64)
		if err != nil {
			return nil, p.wrong(strconv.Quote(t.text) + " is no number")
		}
		return &constant{Number(f)}, p.step()
	case t.kind == quotedName:
		return &fieldOf{t.text}, p.step()
	case t.is("("):
		if err := p.step(); err != nil {
			return nil, err
		}
		e, err := p.expr()
		if err != nil {
			return nil, err
		}
		return e, p.need(")")
	case t.kind == word:
		if err := p.step(); err != nil {
			return nil, err
		}
		if p.now.is("(") {
			return p.call(t)
		}
		if strings.EqualFold(t.text, "true") || strings.EqualFold(t.text, "false") {
			return &constant{Truth(strings.EqualFold(t.text, "true"))}, nil
		}
		return &fieldOf{t.text}, nil
	}
	return nil, p.expected("a field, a value or a function")
}

func (p *parser) call(name token) (expr, error) {
	lower := strings.ToLower(name.text)
	if aggregates[lower] != nil && p.sums != nil {
		return p.aggregate(name)
	}
	if lower == "bin" || lower == "datefloor" || lower == "dateceil" {
		return p.bin(lower)
	}
	f, ok := functions[lower]
	if !ok {
		if aggregates[lower] != nil {
			return nil, p.fail(name.at, lower+" adds up records: it belongs after stats")
		}
		return nil, p.fail(name.at, "there is no function "+strconv.Quote(name.text))
	}
	if err := p.step(); err != nil {
		return nil, err
	}
	args, err := p.arguments()
	if err != nil {
		return nil, err
	}
	if len(args) < f.least || f.most >= 0 && len(args) > f.most {
		return nil, p.fail(name.at, fmt.Sprintf("%s takes %s, not %d", lower, counted(f.least, f.most), len(args)))
	}
	return &callOf{lower, args, f.fn}, nil
}

func counted(least, most int) string {
	switch {
	case most < 0:
		return fmt.Sprintf("at least %d arguments", least)
	case least == most:
		return fmt.Sprintf("%d arguments", least)
	}
	return fmt.Sprintf("%d to %d arguments", least, most)
}

// arguments reads what stands before the closing parenthesis.
func (p *parser) arguments() ([]expr, error) {
	if empty, err := p.take(")"); err != nil || empty {
		return nil, err
	}
	args, err := p.list(p.expr)
	if err != nil {
		return nil, err
	}
	return args, p.need(")")
}

// bin reads bin(5m), or datefloor(@timestamp, 1h).
func (p *parser) bin(name string) (expr, error) {
	if err := p.step(); err != nil {
		return nil, err
	}
	var at expr = &fieldOf{"@timestamp"}
	if p.now.kind != number {
		var err error
		if at, err = p.expr(); err != nil {
			return nil, err
		}
		if err := p.need(","); err != nil {
			return nil, err
		}
	}
	length, err := p.length()
	if err != nil {
		return nil, err
	}
	up := int64(0)
	if name == "dateceil" {
		up = length - 1
	}
	fn := func(args []Value) Value {
		ms, ok := args[0].asNumber()
		if !ok || math.Abs(ms) > 1e15 {
			return Missing
		}
		t := int64(ms) + up
		return Moment(t - ((t%length)+length)%length)
	}
	return &callOf{name, []expr{at}, fn}, p.need(")")
}

var units = map[string]time.Duration{
	"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour,
	"second": time.Second, "seconds": time.Second, "minute": time.Minute, "minutes": time.Minute, "min": time.Minute,
	"hour": time.Hour, "hours": time.Hour, "hr": time.Hour, "day": 24 * time.Hour, "days": 24 * time.Hour, "week": 7 * 24 * time.Hour, "weeks": 7 * 24 * time.Hour,
}

// length reads a length of time such as 5m, in milliseconds.
func (p *parser) length() (int64, error) {
	n, err := strconv.ParseInt(p.now.text, 10, 32)
	if p.now.kind != number || err != nil || n < 1 {
		return 0, p.expected("a length of time such as 5m")
	}
	if err := p.step(); err != nil {
		return 0, err
	}
	unit, ok := units[strings.ToLower(p.now.text)]
	if p.now.kind != word || !ok {
		return 0, p.expected("a unit of time: ms, s, m, h, d or w")
	}
	return n * unit.Milliseconds(), p.step()
}

func momentText(ms float64) string {
	return time.UnixMilli(int64(ms)).UTC().Format("2006-01-02 15:04:05.000")
}
