package pattern

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// column is one of a pattern of columns. An ellipsis stands for any number of them.
type column struct {
	name     string // may be empty
	ellipsis bool
	fits     test // on a document of the columns by name; nil where anything fits
}

// columns reads a pattern such as [ip, ..., status = 4* || status = 500, bytes > 1000].
func (p *parser) columns() (Pattern, error) {
	p.skip()
	p.at++ // [
	p.ends = " \t\r\n(),]&|"
	var all []column
	for {
		from := p.at
		c, err := p.column()
		if err != nil {
			return Pattern{}, err
		}
		if c.ellipsis && slices.ContainsFunc(all, func(c column) bool { return c.ellipsis }) {
			return Pattern{}, p.wrong(from, "only one ... can be in a pattern")
		}
		all = append(all, c)
		if p.take("]") {
			break
		}
		if !p.take(",") {
			return Pattern{}, p.wrong(p.at, "expected a comma or ]")
		}
	}
	if p.skip(); p.more() {
		return Pattern{}, p.wrong(p.at, "nothing may follow ]")
	}
	return Pattern{func(line string) bool { return fit(all, split(line)) }}, nil
}

func (p *parser) column() (c column, err error) {
	if p.take("...") {
		return column{ellipsis: true}, nil
	}
	if c.name = p.columnName(); c.name == "" {
		return c, nil
	}
	p.skip()
	if !p.more() || strings.ContainsRune(",]", rune(p.text[p.at])) {
		return c, nil
	}
	c.fits, err = p.conditions(c.name)
	return c, err
}

// conditions reads what a column has to be, after its name.
func (p *parser) conditions(name string) (test, error) {
	left, err := p.compare([]any{name})
	for err == nil {
		and := p.take("&&")
		if !and && !p.take("||") {
			return left, nil
		}
		p.skip()
		if from := p.at; p.columnName() != name {
			return nil, p.wrong(from, "conditions within one column are about that column, %s", name)
		}
		first, right := left, test(nil)
		right, err = p.compare([]any{name})
		left = func(doc any) bool {
			if and {
				return first(doc) && right(doc)
			}
			return first(doc) || right(doc)
		}
	}
	return nil, err
}

func (p *parser) columnName() string {
	p.skip()
	from := p.at
	for p.more() {
		r, n := utf8.DecodeRuneInString(p.text[p.at:])
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_-$#@", r) {
			break
		}
		p.at += n
	}
	return p.text[from:p.at]
}

// fit reports whether the values of a line are as the columns say, no more and no less of them.
func fit(all []column, values []string) bool {
	before := slices.IndexFunc(all, func(c column) bool { return c.ellipsis })
	switch {
	case before < 0 && len(values) != len(all), len(values) < len(all)-1:
		return false
	case before >= 0:
		behind := len(all) - before - 1
		values = slices.Concat(values[:before], []string{""}, values[len(values)-behind:])
	}
	doc := map[string]any{}
	for i, c := range all {
		if c.name != "" {
			doc[c.name] = values[i]
		}
	}
	return !slices.ContainsFunc(all, func(c column) bool { return c.fits != nil && !c.fits(doc) })
}

// split cuts a line at its spaces. What stands between quotes or brackets is one value, without them.
func split(line string) (values []string) {
	for {
		line = strings.TrimLeft(line, " \t")
		if line == "" {
			return values
		}
		end := -1
		switch line[0] {
		case '"':
			end = strings.IndexByte(line[1:], '"')
		case '[':
			end = strings.IndexByte(line[1:], ']')
		}
		if end >= 0 {
			values, line = append(values, line[1:end+1]), line[end+2:]
			continue
		}
		word := line
		if n := strings.IndexAny(line, " \t"); n >= 0 {
			word = line[:n]
		}
		values, line = append(values, word), line[len(word):]
	}
}
