package insights

import (
	"math"
	"regexp"
	"strings"
	"unicode/utf8"
)

// function is one that looks at a row alone. Most is -1 for any number of arguments.
type function struct {
	least, most int
	fn          func(args []Value) Value
}

var functions map[string]function

func init() {
	functions = map[string]function{
		"ispresent":   {1, 1, func(a []Value) Value { return Truth(a[0].kind != missing) }},
		"isempty":     {1, 1, func(a []Value) Value { return Truth(a[0].String() == "") }},
		"isblank":     {1, 1, func(a []Value) Value { return Truth(strings.TrimSpace(a[0].String()) == "") }},
		"coalesce":    {1, -1, coalesce},
		"strlen":      {1, 1, ofText(func(s string, _ []Value) Value { return Number(float64(utf8.RuneCountInString(s))) })},
		"tolower":     {1, 1, ofText(func(s string, _ []Value) Value { return Text(strings.ToLower(s)) })},
		"toupper":     {1, 1, ofText(func(s string, _ []Value) Value { return Text(strings.ToUpper(s)) })},
		"trim":        {1, 2, ofText(func(s string, a []Value) Value { return Text(strings.Trim(s, cutset(a))) })},
		"ltrim":       {1, 2, ofText(func(s string, a []Value) Value { return Text(strings.TrimLeft(s, cutset(a))) })},
		"rtrim":       {1, 2, ofText(func(s string, a []Value) Value { return Text(strings.TrimRight(s, cutset(a))) })},
		"substr":      {2, 3, ofText(substr)},
		"replace":     {3, 3, ofText(func(s string, a []Value) Value { return Text(strings.ReplaceAll(s, a[0].String(), a[1].String())) })},
		"strcontains": {2, 2, ofText(func(s string, a []Value) Value { return Truth(strings.Contains(s, a[0].String())) })},
		"concat":      {1, -1, concat},
		"abs":         {1, 1, ofNumber(math.Abs)},
		"ceil":        {1, 1, ofNumber(math.Ceil)},
		"floor":       {1, 1, ofNumber(math.Floor)},
		"log":         {1, 1, ofNumber(math.Log)},
		"sqrt":        {1, 1, ofNumber(math.Sqrt)},
		"greatest":    {1, -1, extreme(1)},
		"least":       {1, -1, extreme(-1)},
		"frommillis":  {1, 1, fromMillis},
		"tomillis":    {1, 1, ofNumber(func(f float64) float64 { return f })},
		"isvalidip":   {1, 1, ofText(func(s string, _ []Value) Value { return Truth(ip.MatchString(s)) })},
	}
}

var ip = regexp.MustCompile(`^(\d{1,3}\.){3}\d{1,3}$|^[0-9a-fA-F:]*:[0-9a-fA-F:]*:[0-9a-fA-F:.]*$`)

func cutset(a []Value) string {
	if len(a) == 0 {
		return " \t\r\n"
	}
	return a[0].String()
}

func ofText(fn func(s string, rest []Value) Value) func([]Value) Value {
	return func(a []Value) Value {
		if a[0].kind == missing {
			return Missing
		}
		return fn(a[0].String(), a[1:])
	}
}

func ofNumber(fn func(float64) float64) func([]Value) Value {
	return func(a []Value) Value {
		f, ok := a[0].asNumber()
		if f = fn(f); !ok || math.IsNaN(f) || math.IsInf(f, 0) {
			return Missing
		}
		return Number(f)
	}
}

func coalesce(a []Value) Value {
	for _, v := range a {
		if v.kind != missing {
			return v
		}
	}
	return Missing
}

func concat(a []Value) Value {
	var b strings.Builder
	for _, v := range a {
		b.WriteString(v.String())
	}
	return Text(b.String())
}

// substr takes characters from an index, counted from 0, and so many of them, or all.
func substr(s string, a []Value) Value {
	from, ok := a[0].asNumber()
	letters := []rune(s)
	if !ok || from < 0 {
		return Missing
	}
	start := int(min(from, float64(len(letters))))
	stop := len(letters)
	if len(a) > 1 {
		n, ok := a[1].asNumber()
		if !ok || n < 0 {
			return Missing
		}
		stop = start + int(min(n, float64(len(letters)-start)))
	}
	return Text(string(letters[start:stop]))
}

func extreme(way int) func([]Value) Value {
	return func(a []Value) (best Value) {
		for _, v := range a {
			if v.kind != missing && (best.kind == missing || compare(v, best)*way > 0) {
				best = v
			}
		}
		return best
	}
}

func fromMillis(a []Value) Value {
	if f, ok := a[0].asNumber(); ok && math.Abs(f) < 1e15 {
		return Moment(int64(f))
	}
	return Missing
}
