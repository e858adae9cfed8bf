package policy

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// applies reports whether a statement is about a request, and whether it names the principal by its account only.
func (s *statement) applies(r *Request) (ok, account bool) {
	if s.principals != nil {
		if ok, account = s.principals.match(r.Principal); !ok {
			return false, false
		}
	}
	if !s.onAction(r.Action) || !s.onResource(r) {
		return false, false
	}
	for i := range s.conditions {
		if !s.conditions[i].holds(r) {
			return false, false
		}
	}
	return true, account
}

func (s *statement) onAction(action string) bool {
	for i := range s.actions {
		if s.actions[i].matchFold(action) {
			return !s.notActions
		}
	}
	return s.notActions
}

func (s *statement) onResource(r *Request) bool {
	if s.resources == nil { // trust
		return true
	}
	for i := range s.resources {
		if s.resources[i].match(r.Resource, r) {
			return !s.notOn
		}
	}
	return s.notOn
}

func (p *principals) match(who Principal) (ok, account bool) {
	found := p.anybody || p.anyAWS && who.Service == "" || who.Service != "" && slices.Contains(p.services, who.Service) ||
		who.ARN != "" && slices.Contains(p.arns, who.ARN) || who.Role != "" && slices.Contains(p.arns, who.Role)
	if !found && who.Account != "" && who.Service == "" && slices.Contains(p.accounts, who.Account) {
		found, account = true, true
	}
	if p.not {
		return !found, false
	}
	return found, account
}

// pattern is text with wildcards and variables.
type pattern struct {
	text   string // as it was written, when it has no variables
	simple shape
	tokens []token // when it has
}

// shape is how a pattern is compared without looking for wildcards.
type shape int

const (
	exact shape = iota
	prefix
	everything
	general
	variable
)

type token struct {
	kind     rune // 'l' literal, '*', '?', 'v' variable
	text     string
	fallback string // of a variable
	has      bool   // whether it has one
}

func compile(text string, variables bool) pattern {
	if variables && strings.Contains(text, "${") {
		return pattern{text: text, simple: variable, tokens: tokenize(text)}
	}
	switch first := strings.IndexAny(text, "*?"); {
	case text == "*":
		return pattern{text, everything, nil}
	case first < 0:
		return pattern{text, exact, nil}
	case first == len(text)-1 && text[first] == '*':
		return pattern{text[:first], prefix, nil}
	}
	return pattern{text, general, nil}
}

// tokenize splits text with variables. What looks like one and is not closed is text.
func tokenize(text string) (out []token) {
	literal := func(s string) {
		if s != "" {
			out = append(out, token{kind: 'l', text: s})
		}
	}
	for text != "" {
		at := strings.IndexAny(text, "*?$")
		if at < 0 {
			literal(text)
			return out
		}
		literal(text[:at])
		if text[at] != '$' {
			out = append(out, token{kind: rune(text[at])})
			text = text[at+1:]
			continue
		}
		end := strings.IndexByte(text[at:], '}')
		if !strings.HasPrefix(text[at:], "${") || end < 0 {
			literal(text[at : at+1])
			text = text[at+1:]
			continue
		}
		out = append(out, variableToken(text[at+2:at+end]))
		text = text[at+end+1:]
	}
	return out
}

// variableToken reads what stands between ${ and }.
func variableToken(inside string) token {
	if inside == "*" || inside == "?" || inside == "$" {
		return token{kind: 'l', text: inside}
	}
	name, fallback, has := strings.Cut(inside, ",")
	fallback = strings.TrimSpace(fallback)
	if has {
		fallback = strings.TrimSuffix(strings.TrimPrefix(fallback, "'"), "'")
	}
	return token{kind: 'v', text: strings.ToLower(strings.TrimSpace(name)), fallback: fallback, has: has}
}

func (p *pattern) match(s string, r *Request) bool {
	switch p.simple {
	case exact:
		return s == p.text
	case prefix:
		return strings.HasPrefix(s, p.text)
	case everything:
		return true
	case variable:
		return p.matchVariables(s, r)
	}
	return glob(p.text, s)
}

// matchFold compares with s in lower case, which p is in already.
func (p *pattern) matchFold(s string) bool {
	switch p.simple {
	case exact:
		return strings.EqualFold(s, p.text)
	case prefix:
		return len(s) >= len(p.text) && strings.EqualFold(s[:len(p.text)], p.text)
	case everything:
		return true
	}
	return glob(p.text, strings.ToLower(s))
}

// The wildcards of a pattern whose variables were replaced, where stars of a value are no wildcards.
const (
	anyRunes = -1
	oneRune  = -2
)

func (p *pattern) matchVariables(s string, r *Request) bool {
	var runes []rune
	for _, t := range p.tokens {
		switch t.kind {
		case '*':
			runes = append(runes, anyRunes)
		case '?':
			runes = append(runes, oneRune)
		case 'l':
			runes = append(runes, []rune(t.text)...)
		case 'v':
			value := t.fallback
			if found := r.values(t.text); len(found) == 1 { // one with several values stands for none
				value = found[0]
			} else if !t.has {
				return false
			}
			runes = append(runes, []rune(value)...)
		}
	}
	return globRunes(runes, []rune(s))
}

// glob compares s with a pattern of text, * and ?. It takes time in proportion to both lengths' product at most.
func glob(p, s string) bool {
	star, back := -1, 0
	i, j := 0, 0
	for j < len(s) {
		switch {
		case i < len(p) && p[i] == '*':
			star, back = i, j
			i++
		case i < len(p) && p[i] == '?':
			_, n := utf8.DecodeRuneInString(s[j:])
			i, j = i+1, j+n
		case i < len(p) && p[i] == s[j]:
			i, j = i+1, j+1
		case star >= 0:
			back++
			i, j = star+1, back
		default:
			return false
		}
	}
	return strings.Trim(p[i:], "*") == ""
}

func globRunes(p, s []rune) bool {
	star, back := -1, 0
	i, j := 0, 0
	for j < len(s) {
		switch {
		case i < len(p) && p[i] == anyRunes:
			star, back = i, j
			i++
		case i < len(p) && (p[i] == oneRune || p[i] == s[j]):
			i, j = i+1, j+1
		case star >= 0:
			back++
			i, j = star+1, back
		default:
			return false
		}
	}
	for ; i < len(p); i++ {
		if p[i] != anyRunes {
			return false
		}
	}
	return true
}

// arnPattern is the pattern of an ARN, field by field; what is missing at its end matches all.
type arnPattern struct {
	text   string
	all    bool
	fields [6]pattern
}

func compileARN(text string, variables bool) (arnPattern, error) {
	if text == "*" {
		return arnPattern{text: text, all: true}, nil
	}
	fields := splitARN(text)
	if fields[0] != "arn" {
		return arnPattern{}, fmt.Errorf("%q is no resource: want an ARN or *", text)
	}
	p := arnPattern{text: text}
	for i := range p.fields {
		field := "*"
		if i < len(fields) {
			field = fields[i]
		}
		p.fields[i] = compile(field, variables)
	}
	return p, nil
}

// splitARN splits at colons that are not inside of a variable, into six at most.
func splitARN(text string) (out []string) {
	start, depth := 0, 0
	for i := range len(text) {
		switch {
		case strings.HasPrefix(text[i:], "${"):
			depth = 1
		case text[i] == '}':
			depth = 0
		case text[i] == ':' && depth == 0 && len(out) < 5:
			out = append(out, text[start:i])
			start = i + 1
		}
	}
	return append(out, text[start:])
}

func (p *arnPattern) match(arn string, r *Request) bool {
	if p.all {
		return true
	}
	for i := range p.fields {
		field := arn
		if i < 5 {
			var found bool
			if field, arn, found = strings.Cut(arn, ":"); !found {
				return false
			}
		}
		if !p.fields[i].match(field, r) {
			return false
		}
	}
	return true
}
