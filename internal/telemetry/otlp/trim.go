package otlp

import (
	"math"
	"strconv"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// Bounds of one span or log record. A prompt of 256 KiB is longer than most models take.
const (
	maxValue      = 256 << 10 // bytes of one string
	maxAttributes = 512
	maxEvents     = 1024
	maxLinks      = 128
)

// secret are attributes that instrumentation writes and nobody should keep.
var secret = map[string]bool{"aws.auth.account.access_key": true}

// trimSpan cuts what is too much of a span, and says so on it.
func trimSpan(span ptrace.Span) {
	span.SetName(cut(span.Name(), maxName))
	span.SetDroppedAttributesCount(span.DroppedAttributesCount() + trim(span.Attributes()))
	if span.Events().Len() > maxEvents {
		span.SetDroppedEventsCount(span.DroppedEventsCount() + uint32(span.Events().Len()-maxEvents))
		n := 0
		span.Events().RemoveIf(func(ptrace.SpanEvent) bool { n++; return n > maxEvents })
	}
	for _, e := range span.Events().All() {
		e.SetDroppedAttributesCount(e.DroppedAttributesCount() + trim(e.Attributes()))
	}
	if span.Links().Len() > maxLinks {
		span.SetDroppedLinksCount(span.DroppedLinksCount() + uint32(span.Links().Len()-maxLinks))
		n := 0
		span.Links().RemoveIf(func(ptrace.SpanLink) bool { n++; return n > maxLinks })
	}
}

// trimRecord cuts what is too much of a log record.
func trimRecord(record plog.LogRecord) {
	trimValue(record.Body())
	record.SetDroppedAttributesCount(record.DroppedAttributesCount() + trim(record.Attributes()))
}

// trim cuts long values, removes secrets and what is more than maxAttributes, and returns how many
// attributes it removed for being too many.
func trim(attributes pcommon.Map) (dropped uint32) {
	for _, v := range attributes.All() {
		trimValue(v)
	}
	n := 0
	attributes.RemoveIf(func(key string, _ pcommon.Value) bool {
		n++
		if n > maxAttributes {
			dropped++
		}
		return n > maxAttributes || secret[key]
	})
	return dropped
}

func trimValue(v pcommon.Value) {
	switch v.Type() {
	case pcommon.ValueTypeStr:
		if len(v.Str()) > maxValue {
			v.SetStr(cut(v.Str(), maxValue) + "… (cut)")
		}
	case pcommon.ValueTypeDouble:
		if f := v.Double(); math.IsNaN(f) || math.IsInf(f, 0) { // JSON cannot write these
			v.SetStr(strconv.FormatFloat(f, 'g', -1, 64))
		}
	case pcommon.ValueTypeSlice:
		for _, each := range v.Slice().All() {
			trimValue(each)
		}
	case pcommon.ValueTypeMap:
		trim(v.Map())
	}
}

// cut returns at most n bytes of s, and no half character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
