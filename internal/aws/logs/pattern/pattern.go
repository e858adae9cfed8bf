// Package pattern reads and applies the filter patterns of CloudWatch Logs.
//
//	error timeout          lines that have both words
//	?error ?timeout        either
//	error -timeout         the one, and not the other
//	"two words"            as they stand
//	%ERR[0-9]+%            what fits a regular expression
//	{ $.level = "ERROR" && ($.ms > 10 || $.user.name = "a*") }   lines of JSON
//	{ $.a IS NULL } { $.a NOT EXISTS } { $.list[0] = %re% }
//	[ip, ..., status = 4* || status = 500, bytes > 1000]        lines of columns
//
// Terms are told apart by case, as AWS's are. Columns are what spaces part; what is quoted or between brackets is one.
// Source: Amazon CloudWatch Logs user guide, filter pattern syntax.
package pattern

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxLength bounds a pattern, in characters. Source: AWS, FilterLogEvents.
const MaxLength = 1024

// Pattern is a pattern that was read.
type Pattern struct{ match func(line string) bool }

// Match reports whether a line fits. The zero Pattern fits all.
func (p Pattern) Match(line string) bool { return p.match == nil || p.match(line) }

// Parse reads a pattern. The error says at which character it is wrong.
func Parse(text string) (Pattern, error) {
	if utf8.RuneCountInString(text) > MaxLength {
		return Pattern{}, fmt.Errorf("a filter pattern has at most %d characters", MaxLength)
	}
	if !utf8.ValidString(text) {
		return Pattern{}, fmt.Errorf("a filter pattern is UTF-8")
	}
	trimmed := strings.TrimSpace(text)
	p := &parser{text: text, ends: " \t\r\n()}&|"}
	switch {
	case trimmed == "":
		return Pattern{}, nil
	case trimmed[0] == '[':
		return p.columns()
	case trimmed[0] == '{':
		return p.json()
	}
	return p.terms()
}

type parser struct {
	text  string
	ends  string // where a value without quotes ends
	at    int
	depth int
}

func (p *parser) wrong(at int, format string, args ...any) error {
	return fmt.Errorf("the filter pattern is wrong at character %d: %s", utf8.RuneCountInString(p.text[:min(at, len(p.text))])+1, fmt.Sprintf(format, args...))
}

func (p *parser) skip() {
	for p.at < len(p.text) {
		r, n := utf8.DecodeRuneInString(p.text[p.at:])
		if !unicode.IsSpace(r) {
			return
		}
		p.at += n
	}
}

func (p *parser) more() bool { return p.at < len(p.text) }

// terms reads words that all have to be there, that must not, and of which one has to be.
func (p *parser) terms() (Pattern, error) {
	var all, none, any []func(string) bool
	for p.skip(); p.more(); p.skip() {
		to := &all
		switch p.text[p.at] {
		case '?':
			to = &any
			p.at++
		case '-':
			to = &none
			p.at++
		}
		term, err := p.term()
		if err != nil {
			return Pattern{}, err
		}
		*to = append(*to, term)
	}
	return Pattern{func(line string) bool {
		for _, not := range none {
			if not(line) {
				return false
			}
		}
		for _, must := range all {
			if !must(line) {
				return false
			}
		}
		for _, may := range any {
			if may(line) {
				return true
			}
		}
		return len(any) == 0 || len(all) > 0 // beside words that have to be there, AWS passes over the others
	}}, nil
}

func (p *parser) term() (func(string) bool, error) {
	from := p.at
	if p.more() && p.text[p.at] == '"' {
		text, err := p.quoted('"')
		return func(line string) bool { return strings.Contains(line, text) }, err
	}
	if p.more() && p.text[p.at] == '%' {
		re, err := p.expression()
		if err != nil {
			return nil, err
		}
		return re.MatchString, nil
	}
	for p.more() && !unicode.IsSpace(rune(p.text[p.at])) {
		p.at++
	}
	word := p.text[from:p.at]
	if word == "" {
		return nil, p.wrong(from, "a word is missing")
	}
	return func(line string) bool { return strings.Contains(line, word) }, nil
}

// quoted reads up to the closing quote; a backslash keeps one from closing.
func (p *parser) quoted(quote byte) (string, error) {
	from := p.at
	var out strings.Builder
	for p.at++; p.more(); p.at++ {
		switch c := p.text[p.at]; {
		case c == quote:
			p.at++
			return out.String(), nil
		case c == '\\' && p.at+1 < len(p.text) && (p.text[p.at+1] == quote || quote != '%' && p.text[p.at+1] == '\\'):
			p.at++
			out.WriteByte(p.text[p.at])
		default:
			out.WriteByte(c)
		}
	}
	return "", p.wrong(from, "what begins with %c does not end", quote)
}

func (p *parser) expression() (*regexp.Regexp, error) {
	from := p.at
	text, err := p.quoted('%')
	if err != nil {
		return nil, err
	}
	re, err := Compile(text)
	if err != nil {
		return nil, p.wrong(from, "the regular expression cannot be read: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	return re, nil
}

// test looks at a JSON document.
type test func(doc any) bool

// maxDepth bounds parentheses.
const maxDepth = 50

func (p *parser) json() (Pattern, error) {
	p.skip()
	p.at++ // {
	t, err := p.either()
	if err != nil {
		return Pattern{}, err
	}
	if !p.take("}") {
		return Pattern{}, p.wrong(p.at, "expected &&, || or }")
	}
	if p.skip(); p.more() {
		return Pattern{}, p.wrong(p.at, "nothing may follow }")
	}
	return Pattern{func(line string) bool {
		var doc any
		decoder := json.NewDecoder(strings.NewReader(line))
		decoder.UseNumber()
		return strings.HasPrefix(strings.TrimLeft(line, " \t"), "{") && decoder.Decode(&doc) == nil && t(doc)
	}}, nil
}

func (p *parser) take(sign string) bool {
	p.skip()
	if !strings.HasPrefix(p.text[p.at:], sign) {
		return false
	}
	p.at += len(sign)
	return true
}

func (p *parser) either() (test, error) {
	left, err := p.both()
	for err == nil && p.take("||") {
		first, right := left, test(nil)
		right, err = p.both()
		left = func(doc any) bool { return first(doc) || right(doc) }
	}
	return left, err
}

func (p *parser) both() (test, error) {
	left, err := p.one()
	for err == nil && p.take("&&") {
		first, right := left, test(nil)
		right, err = p.one()
		left = func(doc any) bool { return first(doc) && right(doc) }
	}
	return left, err
}

func (p *parser) one() (test, error) {
	if p.take("(") {
		if p.depth++; p.depth > maxDepth {
			return nil, p.wrong(p.at, "it nests deeper than %d", maxDepth)
		}
		t, err := p.either()
		if err == nil && !p.take(")") {
			err = p.wrong(p.at, "expected )")
		}
		p.depth--
		return t, err
	}
	path, err := p.path()
	if err != nil {
		return nil, err
	}
	return p.compare(path)
}

// path reads $.a.b[0] as its steps: names, and indexes of lists.
func (p *parser) path() (steps []any, err error) {
	if !p.take("$") {
		return nil, p.wrong(p.at, "expected a field such as $.level")
	}
	for p.more() {
		switch p.text[p.at] {
		case '.':
			p.at++
			from := p.at
			for p.more() && !strings.ContainsRune(" \t\r\n.[]=!<>(){}&|", rune(p.text[p.at])) {
				p.at++
			}
			if p.at == from {
				return nil, p.wrong(p.at, "a name has to follow the dot")
			}
			steps = append(steps, p.text[from:p.at])
		case '[':
			p.at++
			if p.more() && (p.text[p.at] == '"' || p.text[p.at] == '\'') {
				name, err := p.quoted(p.text[p.at])
				if err != nil {
					return nil, err
				}
				steps = append(steps, name)
			} else {
				from := p.at
				for p.more() && '0' <= p.text[p.at] && p.text[p.at] <= '9' {
					p.at++
				}
				n, err := strconv.Atoi(p.text[from:p.at])
				if err != nil {
					return nil, p.wrong(from, "expected the index of a list")
				}
				steps = append(steps, n)
			}
			if !p.take("]") {
				return nil, p.wrong(p.at, "expected ]")
			}
		default:
			return steps, nil
		}
	}
	return steps, nil
}

func follow(doc any, steps []any) (any, bool) {
	for _, step := range steps {
		switch step := step.(type) {
		case string:
			object, _ := doc.(map[string]any)
			inner, ok := object[step]
			if !ok {
				return nil, false
			}
			doc = inner
		case int:
			list, _ := doc.([]any)
			if step >= len(list) {
				return nil, false
			}
			doc = list[step]
		}
	}
	return doc, true
}

// word reads letters, for the operators that are words.
func (p *parser) word() string {
	p.skip()
	from := p.at
	for p.more() && unicode.IsLetter(rune(p.text[p.at])) {
		p.at++
	}
	return strings.ToUpper(p.text[from:p.at])
}

func (p *parser) compare(path []any) (test, error) {
	from := p.at
	for _, op := range []string{"!=", ">=", "<=", "=", ">", "<"} {
		if p.take(op) {
			return p.against(path, op)
		}
	}
	switch first := p.word(); first + " " + p.word() {
	case "IS NULL":
		return func(doc any) bool { v, ok := follow(doc, path); return ok && v == nil }, nil
	case "IS TRUE":
		return func(doc any) bool { v, _ := follow(doc, path); return v == true }, nil
	case "IS FALSE":
		return func(doc any) bool { v, _ := follow(doc, path); return v == false }, nil
	case "NOT EXISTS":
		return func(doc any) bool { _, ok := follow(doc, path); return !ok }, nil
	}
	return nil, p.wrong(from, "expected =, !=, <, >, <=, >=, IS NULL, IS TRUE, IS FALSE or NOT EXISTS")
}

// against reads what a field is compared with.
func (p *parser) against(path []any, op string) (test, error) {
	p.skip()
	from := p.at
	if !p.more() {
		return nil, p.wrong(from, "a value is missing")
	}
	fits := func(string) bool { return false }
	switch p.text[p.at] {
	case '"':
		text, err := p.quoted('"')
		if err != nil {
			return nil, err
		}
		fits = wildcard(text)
	case '%':
		re, err := p.expression()
		if err != nil {
			return nil, err
		}
		fits = re.MatchString
	default:
		for p.more() && !strings.ContainsRune(p.ends, rune(p.text[p.at])) {
			p.at++
		}
		text := p.text[from:p.at]
		if text == "" {
			return nil, p.wrong(from, "a value is missing")
		}
		if number, err := strconv.ParseFloat(text, 64); err == nil {
			return numeric(path, op, number), nil
		}
		fits = wildcard(text)
	}
	switch op {
	case "=":
		return func(doc any) bool { text, ok := textOf(doc, path); return ok && fits(text) }, nil
	case "!=":
		return func(doc any) bool { text, ok := textOf(doc, path); return ok && !fits(text) }, nil
	}
	return nil, p.wrong(from, "%s compares numbers", op)
}

func textOf(doc any, path []any) (string, bool) {
	switch v, _ := follow(doc, path); v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

func numeric(path []any, op string, than float64) test {
	return func(doc any) bool {
		text, ok := textOf(doc, path)
		v, err := strconv.ParseFloat(text, 64)
		if !ok || err != nil {
			return ok && op == "!="
		}
		switch op {
		case "=":
			return v == than
		case "!=":
			return v != than
		case ">":
			return v > than
		case "<":
			return v < than
		case ">=":
			return v >= than
		}
		return v <= than
	}
}

// wildcard fits a whole text, with stars for anything. Its work grows with the text alone, however many stars there are.
func wildcard(text string) func(string) bool {
	first, rest, starred := strings.Cut(text, "*")
	if !starred {
		return func(s string) bool { return s == text }
	}
	middle := strings.Split(rest, "*")
	last := middle[len(middle)-1]
	return func(s string) bool {
		s, ok := strings.CutPrefix(s, first)
		for _, part := range middle[:len(middle)-1] {
			if !ok {
				return false
			}
			_, s, ok = strings.Cut(s, part)
		}
		return ok && strings.HasSuffix(s, last)
	}
}
