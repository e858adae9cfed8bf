package policy

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// condition is one operator and key of a Condition.
type condition struct {
	operator string // for people
	key      string // lower case
	every    bool   // ForAllValues
	some     bool   // ForAnyValue
	ifExists bool
	negated  bool
	null     bool   // the operator Null
	absent   bool   // … wants the key absent
	tests    []test // one for each value
}

// test compares one value of a request.
type test func(value string, r *Request) bool

// holds reports whether a request satisfies the condition.
func (c *condition) holds(r *Request) bool {
	values := r.values(c.key)
	switch {
	case c.null:
		return (len(values) == 0) == c.absent
	case len(values) == 0:
		return !c.some && (c.every || c.ifExists || c.negated) || c.some && c.ifExists
	case c.every:
		for _, v := range values {
			if c.fits(v, r) == c.negated {
				return false
			}
		}
		return true
	case c.some:
		for _, v := range values {
			if c.fits(v, r) != c.negated {
				return true
			}
		}
		return false
	}
	for _, v := range values {
		if c.fits(v, r) {
			return !c.negated
		}
	}
	return c.negated
}

// fits reports whether a value is one of the condition's.
func (c *condition) fits(value string, r *Request) bool {
	for _, t := range c.tests {
		if t(value, r) {
			return true
		}
	}
	return false
}

// A comparison makes the test for one value in a policy.
type comparison func(d *Document, value string) (test, error)

var comparisons = map[string]comparison{
	"stringequals": stringEquals, "stringequalsignorecase": stringEqualsIgnoreCase, "stringlike": stringLike,
	"numericequals": numeric(func(a, b float64) bool { return a == b }), "numericlessthan": numeric(func(a, b float64) bool { return a < b }),
	"numericlessthanequals": numeric(func(a, b float64) bool { return a <= b }), "numericgreaterthan": numeric(func(a, b float64) bool { return a > b }),
	"numericgreaterthanequals": numeric(func(a, b float64) bool { return a >= b }),
	"dateequals":               dated(func(c int) bool { return c == 0 }), "datelessthan": dated(func(c int) bool { return c < 0 }),
	"datelessthanequals": dated(func(c int) bool { return c <= 0 }), "dategreaterthan": dated(func(c int) bool { return c > 0 }),
	"dategreaterthanequals": dated(func(c int) bool { return c >= 0 }),
	"bool":                  boolean, "binaryequals": binary, "ipaddress": address, "arnequals": arnLike, "arnlike": arnLike,
}

// negations are operators that hold where another does not.
var negations = map[string]string{
	"stringnotequals": "stringequals", "stringnotequalsignorecase": "stringequalsignorecase", "stringnotlike": "stringlike",
	"numericnotequals": "numericequals", "datenotequals": "dateequals", "notipaddress": "ipaddress", "arnnotequals": "arnequals", "arnnotlike": "arnlike",
}

func (d *Document) conditions(raw json.RawMessage) (out []condition, err error) {
	operators, err := object(raw)
	if err != nil {
		return nil, fmt.Errorf("Condition must be an object of operators: %w", err)
	}
	for _, operator := range operators {
		keys, err := object(operator.value)
		if err != nil || len(keys) == 0 {
			return nil, fmt.Errorf("the operator %s must have an object of keys", operator.name)
		}
		for _, key := range keys {
			c, err := d.condition(operator.name, key)
			if err != nil {
				return nil, err
			}
			out = append(out, c)
		}
	}
	return out, nil
}

func (d *Document) condition(operator string, key member) (c condition, err error) {
	c.operator, c.key = operator, strings.ToLower(key.name)
	name := strings.ToLower(operator)
	if rest, ok := strings.CutPrefix(name, "forallvalues:"); ok {
		c.every, name = true, rest
	} else if rest, ok := strings.CutPrefix(name, "foranyvalue:"); ok {
		c.some, name = true, rest
	}
	name, c.ifExists = strings.CutSuffix(name, "ifexists")
	values, err := scalars(operator, key.value)
	if err != nil {
		return c, err
	}
	if name == "null" {
		return c, c.readNull(values)
	}
	if positive := negations[name]; positive != "" {
		c.negated, name = true, positive
	}
	compare := comparisons[name]
	if compare == nil {
		return c, fmt.Errorf("%q is no condition operator", operator)
	}
	for _, v := range values {
		t, err := compare(d, v)
		if err != nil {
			return c, fmt.Errorf("%s of %s: %w", operator, key.name, err)
		}
		c.tests = append(c.tests, t)
	}
	return c, nil
}

func (c *condition) readNull(values []string) error {
	if c.every || c.some || c.ifExists {
		return fmt.Errorf("%q is no condition operator: Null stands alone", c.operator)
	}
	if len(values) != 1 || values[0] != "true" && values[0] != "false" {
		return fmt.Errorf(`Null of %s must be "true" or "false"`, c.key)
	}
	c.null, c.absent = true, values[0] == "true"
	return nil
}

// scalars reads a string, number or boolean, or a list of them, as strings.
func scalars(operator string, raw json.RawMessage) (out []string, err error) {
	list, err := oneOrMany(raw)
	for _, each := range list {
		var v any
		in := json.NewDecoder(bytes.NewReader(each))
		in.UseNumber()
		if err == nil {
			err = in.Decode(&v)
		}
		switch v := v.(type) {
		case string:
			out = append(out, v)
		case bool:
			out = append(out, strconv.FormatBool(v))
		case json.Number:
			out = append(out, v.String())
		default:
			err = fmt.Errorf("neither a string nor a number")
		}
	}
	if err != nil || len(out) == 0 {
		return nil, fmt.Errorf("the values of %s must be strings, numbers or true and false", operator)
	}
	return out, nil
}

func stringEquals(d *Document, value string) (test, error) {
	if !d.variables || !strings.Contains(value, "${") {
		return func(v string, _ *Request) bool { return v == value }, nil
	}
	p := pattern{text: value, simple: variable, tokens: literalStars(tokenize(value))}
	return func(v string, r *Request) bool { return p.match(v, r) }, nil
}

// literalStars turns wildcards into the characters that they are, for operators that have none.
func literalStars(tokens []token) []token {
	for i, t := range tokens {
		if t.kind == '*' || t.kind == '?' {
			tokens[i] = token{kind: 'l', text: string(t.kind)}
		}
	}
	return tokens
}

func stringEqualsIgnoreCase(d *Document, value string) (test, error) {
	lower, err := stringEquals(d, strings.ToLower(value))
	if d.variables && strings.Contains(value, "${") {
		return func(v string, r *Request) bool {
			return lower(strings.ToLower(v), &Request{Values: func(key string) (out []string) {
				for _, each := range r.values(key) {
					out = append(out, strings.ToLower(each))
				}
				return out
			}})
		}, err
	}
	return func(v string, _ *Request) bool { return strings.EqualFold(v, value) }, nil
}

func stringLike(d *Document, value string) (test, error) {
	p := compile(value, d.variables)
	return func(v string, r *Request) bool { return p.match(v, r) }, nil
}

func arnLike(d *Document, value string) (test, error) {
	p, err := compileARN(value, d.variables)
	if err != nil {
		return nil, err
	}
	return func(v string, r *Request) bool { return p.match(v, r) }, nil
}

func numeric(holds func(a, b float64) bool) comparison {
	return func(_ *Document, value string) (test, error) {
		want, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is no number", value)
		}
		return func(v string, _ *Request) bool {
			n, err := strconv.ParseFloat(v, 64)
			return err == nil && holds(n, want)
		}, nil
	}
}

func dated(holds func(comparison int) bool) comparison {
	return func(_ *Document, value string) (test, error) {
		want, ok := moment(value)
		if !ok {
			return nil, fmt.Errorf("%q is no date such as 2026-01-31T12:00:00Z", value)
		}
		return func(v string, _ *Request) bool {
			at, ok := moment(v)
			return ok && holds(at.Compare(want))
		}, nil
	}
}

// moment reads a date as policies write it (ISO 8601 in its usual forms), or seconds since 1970.
func moment(s string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.Unix(n, 0), true
	}
	return time.Time{}, false
}

func boolean(d *Document, value string) (test, error) {
	if d.variables && strings.Contains(value, "${") {
		return stringEqualsIgnoreCase(d, value)
	}
	if !strings.EqualFold(value, "true") && !strings.EqualFold(value, "false") {
		return nil, fmt.Errorf("%q is neither true nor false", value)
	}
	return func(v string, _ *Request) bool { return strings.EqualFold(v, value) }, nil
}

func binary(_ *Document, value string) (test, error) {
	want, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return nil, fmt.Errorf("%q is not base64", value)
	}
	return func(v string, _ *Request) bool {
		got, err := base64.StdEncoding.DecodeString(v)
		return err == nil && bytes.Equal(got, want)
	}, nil
}

func address(_ *Document, value string) (test, error) {
	network, err := netip.ParsePrefix(value)
	if err != nil {
		ip, err := netip.ParseAddr(value)
		if err != nil {
			return nil, fmt.Errorf("%q is neither an address nor a network such as 203.0.113.0/24", value)
		}
		network = netip.PrefixFrom(ip, ip.BitLen())
	}
	network = network.Masked()
	return func(v string, _ *Request) bool {
		ip, err := netip.ParseAddr(v)
		return err == nil && network.Contains(ip.Unmap())
	}, nil
}
