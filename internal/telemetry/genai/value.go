package genai

import (
	"math"
	"strconv"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"google.golang.org/protobuf/encoding/protowire"
)

// Value is the value of an attribute, in whatever form it came. Values are read by the million, and few are
// looked at: what a value holds is taken out of its form when it is asked for.
type Value struct {
	is     pcommon.ValueType
	str    string
	number float64 // of a double
	int    int64
	raw    []byte        // an AnyValue message of another type, not read yet
	other  pcommon.Value // likewise, read; where raw is nil
}

// The values that come as bytes. Text may point into a buffer that lives no longer than the scan.
func TextValue(s string) Value      { return Value{is: pcommon.ValueTypeStr, str: s} }
func IntValue(n int64) Value        { return Value{is: pcommon.ValueTypeInt, int: n} }
func DoubleValue(n float64) Value   { return Value{is: pcommon.ValueTypeDouble, number: n} }
func MessageValue(raw []byte) Value { return Value{is: pcommon.ValueTypeMap, raw: raw} } // of any type

func valueFrom(v pcommon.Value) Value {
	switch v.Type() {
	case pcommon.ValueTypeStr:
		return TextValue(v.Str())
	case pcommon.ValueTypeInt:
		return IntValue(v.Int())
	case pcommon.ValueTypeDouble:
		return DoubleValue(v.Double())
	}
	return Value{is: v.Type(), other: v}
}

// text is the value as a string, whatever it is.
func (v Value) text() string {
	switch v.is {
	case pcommon.ValueTypeStr:
		return v.str
	case pcommon.ValueTypeInt:
		return strconv.FormatInt(v.int, 10)
	case pcommon.ValueTypeDouble:
		return pcommon.NewValueDouble(v.number).AsString()
	}
	return v.read().AsString()
}

// float reads a number however it was written; 0 for what is none.
func (v Value) float() float64 {
	switch v.is {
	case pcommon.ValueTypeInt:
		return float64(v.int)
	case pcommon.ValueTypeDouble:
		return v.number
	case pcommon.ValueTypeStr:
		if n, err := strconv.ParseFloat(v.str, 64); err == nil && !math.IsInf(n, 0) {
			return n
		}
	}
	return 0
}

// first is the first element of a list, or the value itself.
func (v Value) first() string {
	if v.is == pcommon.ValueTypeStr {
		return v.str
	}
	if read := v.read(); read.Type() == pcommon.ValueTypeSlice {
		if read.Slice().Len() == 0 {
			return ""
		}
		return read.Slice().At(0).AsString()
	}
	return v.text()
}

// read returns a value of another type than those that have fields.
func (v Value) read() pcommon.Value {
	switch {
	case v.raw != nil:
		return unmarshal(v.raw)
	case v.other == (pcommon.Value{}):
		return pcommon.NewValueEmpty()
	}
	return v.other
}

// unmarshal reads an AnyValue message: as an attribute of a resource, since no less can be read by itself.
func unmarshal(raw []byte) pcommon.Value {
	attribute := protowire.AppendBytes(protowire.AppendTag([]byte{1<<3 | 2, 0}, 2, protowire.BytesType), raw)
	doc := attribute
	for range 3 { // of a Resource, of ResourceSpans, of TracesData
		doc = protowire.AppendBytes([]byte{1<<3 | 2}, doc)
	}
	t, err := new(ptrace.ProtoUnmarshaler).UnmarshalTraces(doc)
	if err != nil {
		return pcommon.NewValueEmpty()
	}
	v, _ := t.ResourceSpans().At(0).Resource().Attributes().Get("")
	return v
}
