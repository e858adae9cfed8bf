package wire

import (
	"fmt"
	"log/slog"
	"reflect"
)

const redacted = "[redacted]"

// LogValue is a structure for a log, without what its model marks as sensitive.
// Generated types that hold such members call it from their own LogValue.
func LogValue(m *Model, r Ref, v any) slog.Value {
	return slog.AnyValue(redact(m, m.shape(r), reflect.ValueOf(v)))
}

// Format prints a structure without what its model marks as sensitive, whatever the verb.
func Format(f fmt.State, m *Model, r Ref, v any) {
	fmt.Fprintf(f, "%v", redact(m, m.shape(r), reflect.ValueOf(v)))
}

// redact returns v as maps, lists and scalars. Streams are named, not read.
func redact(m *Model, s *Shape, v reflect.Value) any {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	switch {
	case s.Sensitive:
		return redacted
	case s.Streaming || s.Events:
		return "[stream]"
	}
	switch s.Type {
	case Structure:
		return redactStructure(m, s, v)
	case List:
		out := make([]any, v.Len())
		for i := range out {
			out[i] = redact(m, m.shape(s.Elem), v.Index(i))
		}
		return out
	case Map:
		out := make(map[string]any, v.Len())
		for it := v.MapRange(); it.Next(); {
			out[it.Key().String()] = redact(m, m.shape(s.Elem), it.Value())
		}
		return out
	}
	return v.Interface()
}

func redactStructure(m *Model, s *Shape, v reflect.Value) any {
	out := make(map[string]any, len(s.Members))
	for i := range s.Members {
		member := &s.Members[i]
		if !absent(member, v.Field(i)) {
			out[member.Name] = redact(m, m.shape(member.Shape), v.Field(i))
		}
	}
	return out
}
