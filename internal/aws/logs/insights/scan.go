package insights

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

type tokenKind int

const (
	end tokenKind = iota
	word
	quotedName
	text
	number
	expression // a regular expression between slashes
	sign
)

// token is one word of a query; at is where it begins, in bytes.
type token struct {
	kind tokenKind
	text string
	at   int
}

// is reports whether the token is this keyword or sign; keywords in any case.
func (t token) is(what string) bool {
	return t.kind == sign && t.text == what || t.kind == word && strings.EqualFold(t.text, what)
}

// scanner cuts a query into tokens. A slash begins a regular expression where no operand stands before it.
type scanner struct {
	query string
	at    int
	last  token
}

func (s *scanner) fail(at int, message string) *Error {
	before := s.query[:min(at, len(s.query))]
	line := strings.LastIndexByte(before, '\n')
	return &Error{strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[line+1:]) + 1, message}
}

func (s *scanner) next() (token, error) {
	s.skip()
	t, err := s.scan()
	s.last = t
	return t, err
}

func (s *scanner) skip() {
	for s.at < len(s.query) {
		r, n := utf8.DecodeRuneInString(s.query[s.at:])
		switch {
		case unicode.IsSpace(r):
			s.at += n
		case r == '#':
			if i := strings.IndexByte(s.query[s.at:], '\n'); i >= 0 {
				s.at += i
			} else {
				s.at = len(s.query)
			}
		default:
			return
		}
	}
}

func (s *scanner) scan() (token, error) {
	from := s.at
	if from == len(s.query) {
		return token{end, "", from}, nil
	}
	rest := s.query[from:]
	switch c := rest[0]; {
	case c == '\'' || c == '"':
		return s.quoted(c, text)
	case c == '`':
		return s.quoted(c, quotedName)
	case c == '/' && !s.operandBefore():
		return s.quoted(c, expression)
	case isDigit(c) || c == '.' && len(rest) > 1 && isDigit(rest[1]):
		return s.cut(number, func(c byte) bool { return isDigit(c) || c == '.' }), nil
	case isName(c):
		return s.cut(word, isName), nil
	}
	for _, op := range []string{"<=", ">=", "!=", "=~", "|", ",", "(", ")", "[", "]", "+", "-", "*", "/", "^", "%", "=", "<", ">", ":"} {
		if strings.HasPrefix(rest, op) {
			s.at += len(op)
			return token{sign, op, from}, nil
		}
	}
	r, _ := utf8.DecodeRuneInString(rest)
	return token{}, s.fail(from, "unexpected character "+string(r))
}

func (s *scanner) operandBefore() bool {
	switch s.last.kind {
	case quotedName, number, text:
		return true
	case word:
		return !s.last.is("like") && !s.last.is("parse") && !s.last.is("and") && !s.last.is("or") && !s.last.is("not")
	}
	return s.last.is(")") || s.last.is("]")
}

func (s *scanner) cut(kind tokenKind, in func(byte) bool) token {
	from := s.at
	for s.at < len(s.query) && in(s.query[s.at]) {
		s.at++
	}
	return token{kind, s.query[from:s.at], from}
}

// quoted reads up to the closing quote. A backslash keeps a quote from closing; in strings it also
// stands before itself and n, t and r.
func (s *scanner) quoted(quote byte, kind tokenKind) (token, error) {
	from := s.at
	var out strings.Builder
	for i := from + 1; i < len(s.query); i++ {
		switch c := s.query[i]; {
		case c == quote:
			s.at = i + 1
			return token{kind, out.String(), from}, nil
		case c == '\\' && i+1 < len(s.query):
			i++
			out.WriteString(unescape(s.query[i], quote, kind))
		default:
			out.WriteByte(c)
		}
	}
	return token{}, s.fail(from, "what begins with "+string(quote)+" here does not end")
}

func unescape(c, quote byte, kind tokenKind) string {
	switch {
	case c == quote:
		return string(rune(c))
	case kind == text && c == '\\':
		return `\`
	case kind == text && c == 'n':
		return "\n"
	case kind == text && c == 't':
		return "\t"
	case kind == text && c == 'r':
		return "\r"
	}
	return `\` + string([]byte{c})
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isName(c byte) bool {
	return c == '_' || c == '@' || c == '.' || c == '$' || isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c >= utf8.RuneSelf
}
