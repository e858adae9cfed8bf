package cloudwatch

import (
	"maps"
	"slices"
	"strings"
)

// searched reads what SEARCH looks for: an optional schema {Namespace,Dimension,…}, and terms that all
// have to hold, or between OR one of them: Name="value", or words that are in a name or value. NOT before
// a term turns it around. Source: CloudWatch user guide, search expressions.
func searched(text string) (func(wanted) bool, error) {
	schema := func(wanted) bool { return true }
	text = strings.TrimSpace(text)
	if rest, ok := strings.CutPrefix(text, "{"); ok {
		inside, after, closed := strings.Cut(rest, "}")
		if !closed {
			return nil, wrong("SEARCH: the schema that begins with { does not end")
		}
		schema, text = schemaOf(inside), after
	}
	terms, err := termsOf(text)
	if err != nil {
		return nil, err
	}
	var either [][]func(wanted) bool
	all := []func(wanted) bool{}
	not := false
	for _, t := range terms {
		switch strings.ToUpper(t) {
		case "AND":
		case "OR":
			either, all = append(either, all), nil
		case "NOT":
			not = true
		default:
			fits := termOf(t)
			if not {
				positive := fits
				fits = func(w wanted) bool { return !positive(w) }
			}
			all, not = append(all, fits), false
		}
	}
	either = append(either, all)
	return func(w wanted) bool {
		return schema(w) && slices.ContainsFunc(either, func(all []func(wanted) bool) bool {
			return !slices.ContainsFunc(all, func(fits func(wanted) bool) bool { return !fits(w) })
		})
	}, nil
}

// schemaOf holds a metric to a namespace and to exactly these dimensions.
func schemaOf(text string) func(wanted) bool {
	parts := strings.Split(text, ",")
	for i := range parts {
		parts[i] = strings.Trim(strings.TrimSpace(parts[i]), `"`)
	}
	names := slices.Sorted(slices.Values(parts[1:]))
	return func(w wanted) bool {
		return w.namespace == parts[0] && slices.Equal(names, slices.Sorted(maps.Keys(w.dimensions)))
	}
}

// termsOf cuts at spaces that are in no quotes. Parentheses have no meaning of their own here.
func termsOf(text string) (terms []string, err error) {
	var now strings.Builder
	quoted := false
	for _, c := range text {
		switch {
		case c == '"':
			quoted = !quoted
			now.WriteRune(c)
		case !quoted && (c == '(' || c == ')'):
			return nil, wrong("SEARCH with parentheses is not offered: write terms, AND, OR and NOT")
		case !quoted && (c == ' ' || c == '\n' || c == '\t'):
			if now.Len() > 0 {
				terms = append(terms, now.String())
			}
			now.Reset()
		default:
			now.WriteRune(c)
		}
	}
	if quoted {
		return nil, wrong("SEARCH: a quote does not end")
	}
	if now.Len() > 0 {
		terms = append(terms, now.String())
	}
	return terms, nil
}

func termOf(term string) func(wanted) bool {
	name, value, named := strings.Cut(term, "=")
	if !named {
		word := strings.ToLower(strings.Trim(term, `"`))
		return func(w wanted) bool {
			return slices.ContainsFunc(w.words(), func(s string) bool { return strings.Contains(strings.ToLower(s), word) })
		}
	}
	name = strings.Trim(strings.TrimPrefix(name, ":"), `"`)
	exact := strings.HasPrefix(value, `"`)
	value = strings.Trim(value, `"`)
	return func(w wanted) bool {
		have, ok := w.dimensions[name]
		switch name {
		case "Namespace", "aws.Namespace":
			have, ok = w.namespace, true
		case "MetricName":
			have, ok = w.name, true
		}
		return ok && (have == value || !exact && strings.Contains(strings.ToLower(have), strings.ToLower(value)))
	}
}

func (w wanted) words() []string {
	out := []string{w.namespace, w.name}
	for name, value := range w.dimensions {
		out = append(out, name, value)
	}
	return out
}
