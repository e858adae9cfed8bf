package knowledge

import (
	"slices"
	"strings"
)

// Filter is a condition on a document's metadata, as the Retrieve operation has them. A nil filter lets
// everything pass. A key that a document has not fails every condition but notEquals and notIn.
type Filter struct {
	Op    string // andAll, orAll; equals, notEquals, greaterThan, greaterThanOrEquals, lessThan, lessThanOrEquals, in, notIn, startsWith, stringContains, listContains
	Key   string
	Value any // string, float64, bool, or []any of them
	Of    []Filter
}

// Match reports whether a document with such metadata passes.
func (f *Filter) Match(metadata map[string]any) bool {
	if f == nil {
		return true
	}
	passes := func(of Filter) bool { return of.Match(metadata) }
	switch f.Op {
	case "andAll":
		return !slices.ContainsFunc(f.Of, func(of Filter) bool { return !of.Match(metadata) })
	case "orAll":
		return slices.ContainsFunc(f.Of, passes)
	}
	have, ok := metadata[f.Key]
	switch f.Op {
	case "notEquals":
		return !ok || !same(have, f.Value)
	case "notIn":
		return !ok || !among(have, f.Value)
	}
	return ok && f.compare(have)
}

func (f *Filter) compare(have any) bool {
	switch f.Op {
	case "equals":
		return same(have, f.Value)
	case "in":
		return among(have, f.Value)
	case "startsWith", "stringContains":
		return f.text(have)
	case "listContains":
		return among(f.Value, have)
	}
	a, isNumber := have.(float64)
	b, wantsNumber := f.Value.(float64)
	if !isNumber || !wantsNumber {
		return false
	}
	switch f.Op {
	case "greaterThan":
		return a > b
	case "greaterThanOrEquals":
		return a >= b
	case "lessThan":
		return a < b
	case "lessThanOrEquals":
		return a <= b
	}
	return false
}

// text compares strings. A list's stringContains is met by one of its strings.
func (f *Filter) text(have any) bool {
	want, ok := f.Value.(string)
	if !ok {
		return false
	}
	switch have := have.(type) {
	case string:
		if f.Op == "startsWith" {
			return strings.HasPrefix(have, want)
		}
		return strings.Contains(have, want)
	case []any:
		return f.Op == "stringContains" && slices.ContainsFunc(have, f.text)
	}
	return false
}

// among reports whether v is one of list, which is a []any. Lists are never equal to anything.
func among(v, list any) bool {
	values, _ := list.([]any)
	return slices.ContainsFunc(values, func(one any) bool { return same(v, one) })
}

func same(a, b any) bool {
	switch a.(type) {
	case string, float64, bool:
		return a == b
	}
	return false
}
