package insights

import (
	"cmp"
	"math"
	"strconv"
	"strings"
)

// Value is a field's: missing, a string, a number or a truth.
type Value struct {
	kind   valueKind
	text   string
	number float64
}

type valueKind uint8

const (
	missing valueKind = iota
	aText
	aNumber
	aTruth
	aMoment // milliseconds since 1970
)

// Missing is the value of a field that is not there.
var Missing Value

// Text is a string.
func Text(s string) Value { return Value{kind: aText, text: s} }

// Number is a number.
func Number(f float64) Value { return Value{kind: aNumber, number: f} }

// Truth is true or false, which count as 1 and 0.
func Truth(b bool) Value {
	if b {
		return Value{kind: aTruth, number: 1}
	}
	return Value{kind: aTruth}
}

// Moment is a time, in milliseconds since 1970: a number that shows as a date.
func Moment(ms int64) Value { return Value{kind: aMoment, number: float64(ms)} }

// String is how a value is shown.
func (v Value) String() string {
	switch v.kind {
	case aText:
		return v.text
	case aNumber:
		return format(v.number)
	case aTruth:
		return strconv.Itoa(int(v.number))
	case aMoment:
		return momentText(v.number)
	}
	return ""
}

func format(f float64) string {
	if f == math.Trunc(f) && math.Abs(f) < 1e15 {
		return strconv.FormatInt(int64(f), 10)
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

// asNumber reads a value as a number where it is one, or a string that looks like one.
func (v Value) asNumber() (float64, bool) {
	switch v.kind {
	case aNumber, aTruth, aMoment:
		return v.number, true
	case aText:
		f, err := strconv.ParseFloat(strings.TrimSpace(v.text), 64)
		return f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
	}
	return 0, false
}

func (v Value) isTrue() bool {
	if v.kind == aText {
		return strings.EqualFold(v.text, "true")
	}
	return v.kind != missing && v.number != 0
}

// compare orders two values: as numbers where both are, else as strings. Missing comes first.
func compare(a, b Value) int {
	if a.kind == missing || b.kind == missing {
		return cmp.Compare(min(a.kind, aText), min(b.kind, aText))
	}
	if whole, ok := compareWhole(a, b); ok {
		return whole
	}
	x, first := a.asNumber()
	y, second := b.asNumber()
	if first && second {
		return cmp.Compare(x, y)
	}
	return cmp.Compare(a.String(), b.String())
}

// compareWhole compares long whole numbers exactly: nanoseconds since 1970 are more than a float holds.
func compareWhole(a, b Value) (int, bool) {
	if a.kind != aText || b.kind != aText || len(a.text) < 16 || len(b.text) < 16 {
		return 0, false
	}
	x, first := strconv.ParseInt(a.text, 10, 64)
	y, second := strconv.ParseInt(b.text, 10, 64)
	return cmp.Compare(x, y), first == nil && second == nil
}

func equal(a, b Value) bool {
	if a.kind == missing || b.kind == missing {
		return false
	}
	if a.kind == aTruth && b.kind == aText || a.kind == aText && b.kind == aTruth {
		return a.isTrue() == b.isTrue() && (a.kind != aText || isTruthWord(a.text)) && (b.kind != aText || isTruthWord(b.text))
	}
	return compare(a, b) == 0
}

func isTruthWord(s string) bool { return strings.EqualFold(s, "true") || strings.EqualFold(s, "false") }
