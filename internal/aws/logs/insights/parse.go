package insights

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/moorage-dev/moorage/internal/aws/logs/pattern"
)

// Query is a query that was read.
type Query struct {
	commands []command
	traces   []string // that the query is about, where it says so at once
	anywhere bool
	rows     int // where the query does not say how many
}

// Traces returns the trace ids to which the query's first filters narrow it down; none where they do not.
func (q *Query) Traces() []string { return q.traces }

// Anywhere reports whether the query has a SOURCE of its own, for a request that names no log group.
func (q *Query) Anywhere() bool { return q.anywhere }

// Limit sets how many rows are returned where the query does not say.
func (q *Query) Limit(n int) { q.rows = n }

// Requires reports whether filters before any sums ask that a field be there.
func (q *Query) Requires(field string) bool {
	for _, c := range q.commands {
		switch c := c.(type) {
		case *filter:
			if requires(c.when, field) {
				return true
			}
		case *stats:
			return false
		}
	}
	return false
}

func requires(e expr, field string) bool {
	switch e := e.(type) {
	case *binary:
		return e.op == "and" && (requires(e.left, field) || requires(e.right, field))
	case *callOf:
		name, ok := e.args[0].(*fieldOf)
		return e.name == "ispresent" && ok && name.path == field
	}
	return false
}

// Parse reads a query. An error is an *Error.
func Parse(query string) (*Query, error) {
	p := &parser{scanner: scanner{query: query}}
	if n := utf8.RuneCountInString(query); n > MaxLength {
		return nil, p.fail(0, fmt.Sprintf("a query has at most %d characters; this one has %d", MaxLength, n))
	}
	if !utf8.ValidString(query) {
		return nil, p.fail(0, "a query is UTF-8")
	}
	if err := p.step(); err != nil {
		return nil, err
	}
	q, err := p.pipeline()
	if err != nil {
		return nil, err
	}
	q.traces, q.anywhere, q.rows = tracesOf(q.commands), p.anywhere, defaultRows
	return q, nil
}

type parser struct {
	scanner
	now   token
	depth int
	sums  *[]summand // of the stats that are read

	anywhere bool
}

func (p *parser) step() (err error) {
	p.now, err = p.next()
	return err
}

func (p *parser) wrong(message string) error { return p.fail(p.now.at, message) }

// expected says what had to come.
func (p *parser) expected(what string) error {
	found := "the query ends"
	if p.now.kind != end {
		found = "there is " + strconv.Quote(p.now.text)
	}
	return p.wrong("expected " + what + ", but " + found)
}

// take steps over a keyword or sign if it is there.
func (p *parser) take(what string) (bool, error) {
	if !p.now.is(what) {
		return false, nil
	}
	return true, p.step()
}

func (p *parser) need(what string) error {
	ok, err := p.take(what)
	if err == nil && !ok {
		err = p.expected(strconv.Quote(what))
	}
	return err
}

func (p *parser) pipeline() (*Query, error) {
	q := &Query{}
	if ok, err := p.take("|"); err != nil || ok && p.now.kind == end {
		return nil, p.expected("a command")
	}
	for {
		if len(q.commands) == maxCommands {
			return nil, p.wrong(fmt.Sprintf("a query has at most %d commands", maxCommands))
		}
		c, err := p.command()
		if err != nil {
			return nil, err
		}
		if c != nil {
			q.commands = append(q.commands, c)
		}
		if p.now.kind == end {
			return q, nil
		}
		if err := p.need("|"); err != nil {
			return nil, err
		}
	}
}

// notOffered are commands of the language that are not offered.
var notOffered = []string{"pattern", "diff", "unmask", "anomaly", "unnest", "lookup", "join", "subquery"}

func (p *parser) command() (command, error) {
	name := p.now
	if name.kind != word {
		return nil, p.expected("a command: fields, display, filter, parse, stats, sort, limit or dedup")
	}
	if err := p.step(); err != nil {
		return nil, err
	}
	switch strings.ToLower(name.text) {
	case "fields":
		shown, err := p.named()
		return &fields{shown: shown}, err
	case "display":
		shown, err := p.named()
		return &fields{shown: shown, only: true}, err
	case "filter", "where":
		when, err := p.expr()
		return &filter{when: when}, err
	case "parse":
		return p.parse()
	case "stats":
		return p.stats()
	case "sort", "order":
		return p.sort()
	case "limit", "head":
		return p.limit()
	case "dedup":
		by, err := p.list(p.expr)
		return &dedup{by: by, seen: map[string]bool{}}, err
	case "source", "filterindex":
		p.anywhere = p.anywhere || name.is("source")
		return nil, p.skipCommand()
	}
	for _, other := range notOffered {
		if name.is(other) {
			return nil, p.fail(name.at, "the command "+other+" is not offered here")
		}
	}
	return nil, p.fail(name.at, strconv.Quote(name.text)+" is no command: there are fields, display, filter, parse, stats, sort, limit and dedup")
}

// skipCommand passes over what chooses log groups and indexes: the request names the groups.
func (p *parser) skipCommand() error {
	for p.now.kind != end && !p.now.is("|") {
		if err := p.step(); err != nil {
			return err
		}
	}
	return nil
}

// list reads what one reads, with commas between; a comma at the end is none of it.
func (p *parser) list(one func() (expr, error)) (out []expr, err error) {
	for {
		e, err := one()
		if err != nil {
			return nil, err
		}
		out = append(out, e)
		if more, err := p.take(","); err != nil || !more {
			return out, err
		}
	}
}

// column is an expression and the name under which it is shown.
type column struct {
	expr
	name string
}

func (p *parser) named() (out []column, err error) {
	for {
		c, err := p.column()
		if err != nil {
			return nil, err
		}
		out = append(out, c)
		if more, err := p.take(","); err != nil || !more {
			return out, err
		}
	}
}

func (p *parser) column() (c column, err error) {
	from := p.now.at
	if c.expr, err = p.expr(); err != nil {
		return c, err
	}
	c.name = strings.TrimSpace(p.query[from:min(p.now.at, len(p.query))])
	if f, ok := c.expr.(*fieldOf); ok {
		c.name = f.path
	}
	renamed, err := p.take("as")
	if err != nil || !renamed {
		return c, err
	}
	c.name, err = p.name()
	return c, err
}

func (p *parser) name() (string, error) {
	if p.now.kind != word && p.now.kind != quotedName {
		return "", p.expected("a name")
	}
	name := p.now.text
	return name, p.step()
}

func (p *parser) parse() (command, error) {
	var from expr = &fieldOf{"@message"}
	if p.now.kind != text && p.now.kind != expression {
		var err error
		if from, err = p.primary(); err != nil {
			return nil, err
		}
	}
	at := p.now
	if at.kind != text && at.kind != expression {
		if p.now.kind == sign && p.now.text == "/" { // after a field's name it looks like a division
			p.at = p.now.at
			t, err := p.quoted('/', expression)
			if err != nil {
				return nil, err
			}
			at = t
		} else {
			return nil, p.expected(`a pattern: "…*…" or /…(?<name>…)…/`)
		}
	}
	if err := p.step(); err != nil {
		return nil, err
	}
	if at.kind == expression {
		return p.parseBy(from, at)
	}
	if err := p.need("as"); err != nil {
		return nil, err
	}
	c := &parse{from: from}
	for {
		name, err := p.name()
		if err != nil {
			return nil, err
		}
		c.names = append(c.names, name)
		if more, err := p.take(","); err != nil {
			return nil, err
		} else if !more {
			break
		}
	}
	if n := strings.Count(at.text, "*"); n != len(c.names) {
		return nil, p.fail(at.at, fmt.Sprintf("the pattern has %d stars for %d names", n, len(c.names)))
	}
	c.by = globOf(at.text)
	return c, nil
}

// globOf makes a regular expression of a pattern in which a star stands for anything, as little as will do.
func globOf(pattern string) *regexp.Regexp {
	parts := strings.Split(pattern, "*")
	var b strings.Builder
	b.WriteString("(?s)")
	for i, part := range parts {
		if i > 0 && part == "" && i == len(parts)-1 {
			b.WriteString("(.*)")
		} else if i > 0 {
			b.WriteString("(.*?)")
		}
		b.WriteString(regexp.QuoteMeta(part))
	}
	return regexp.MustCompile(b.String())
}

var groupName = regexp.MustCompile(`\(\?<([A-Za-z_][A-Za-z0-9_]*)>`)

// compile reads a regular expression, whose groups may be written (?<name>…).
func (p *parser) compile(t token) (*regexp.Regexp, error) {
	re, err := pattern.Compile(groupName.ReplaceAllString(t.text, "(?P<$1>"))
	if err != nil {
		return nil, p.fail(t.at, "the regular expression cannot be read: "+strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	return re, nil
}

func (p *parser) parseBy(from expr, t token) (command, error) {
	re, err := p.compile(t)
	if err != nil {
		return nil, err
	}
	c := &parse{from: from, by: re, names: re.SubexpNames()[1:]}
	if len(c.names) == 0 {
		return nil, p.fail(t.at, "the regular expression has no group with a name: (?<name>…)")
	}
	return c, nil
}

func (p *parser) sort() (command, error) {
	if _, err := p.take("by"); err != nil { // order by
		return nil, err
	}
	c := &sorting{limit: MaxRows}
	for {
		e, err := p.expr()
		if err != nil {
			return nil, err
		}
		key := sortKey{expr: e}
		for _, way := range []string{"asc", "desc"} {
			ok, err := p.take(way)
			if err != nil {
				return nil, err
			}
			key.down = key.down || ok && way == "desc"
		}
		c.keys = append(c.keys, key)
		if more, err := p.take(","); err != nil || !more {
			return c, err
		}
	}
}

func (p *parser) limit() (command, error) {
	n, err := strconv.Atoi(p.now.text)
	if p.now.kind != number || err != nil || n < 1 || n > MaxRows {
		return nil, p.wrong(fmt.Sprintf("a limit is a whole number from 1 to %d", MaxRows))
	}
	return &limit{n: n}, p.step()
}

// tracesOf returns the trace ids that the filters before anything else ask for.
func tracesOf(commands []command) []string {
	for _, c := range commands {
		switch c := c.(type) {
		case *filter:
			if ids := tracesIn(c.when); ids != nil {
				return ids
			}
		case *stats, *limit:
			return nil
		}
	}
	return nil
}

func tracesIn(e expr) []string {
	switch e := e.(type) {
	case *binary:
		if e.op == "and" {
			if ids := tracesIn(e.left); ids != nil {
				return ids
			}
			return tracesIn(e.right)
		}
		if e.op == "=" && isTraceID(e.left) {
			return textsOf([]expr{e.right})
		}
	case *among:
		if e.wants && isTraceID(e.what) {
			return textsOf(e.list)
		}
	}
	return nil
}

func isTraceID(e expr) bool {
	f, ok := e.(*fieldOf)
	return ok && f.path == "traceId"
}

func textsOf(list []expr) (out []string) {
	for _, e := range list {
		c, ok := e.(*constant)
		if !ok || c.value.kind != aText {
			return nil
		}
		out = append(out, c.value.text)
	}
	return out
}
