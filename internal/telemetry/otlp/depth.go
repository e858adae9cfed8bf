package otlp

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/moorage-dev/moorage"
)

// maxDepth bounds how deep attribute values are nested. Decoders of OTLP recurse for every level, and
// a few megabytes hold enough levels to overflow any stack.
const maxDepth = 32

// message says which fields of a protobuf message are messages that lead to attribute values. Source:
// opentelemetry/proto, common/v1 and its users.
type message map[protowire.Number]message

// schema names the messages of each signal. Attribute values hold attribute values, so the graph has loops.
type schema struct{ traces, logs, metrics message }

func newSchema() schema {
	value := message{}
	attribute := message{2: value}
	value[5] = message{1: value}     // list
	value[6] = message{1: attribute} // map
	resource, scope := message{1: attribute}, message{3: attribute}
	request := func(record message) message { return message{1: {1: resource, 2: {1: scope, 2: record}}} }
	exemplar := message{7: attribute}
	number := message{1: {5: exemplar, 7: attribute}}
	return schema{
		traces: request(message{9: attribute, 11: {3: attribute}, 13: {4: attribute}}), // of span, event, link
		logs:   request(message{5: value, 6: attribute}),
		metrics: request(message{
			5: number, 7: number, 9: {1: {8: exemplar, 9: attribute}}, 10: {1: {1: attribute, 11: exemplar}},
			11: {1: {7: attribute}}, 12: attribute,
		}),
	}
}

// fixed is how deep the messages around attribute values are nested.
const fixed = 8

// checkDepth refuses a protobuf message whose values are nested too deep. What is no message of the
// kind is for the decoder to refuse.
func checkDepth(raw []byte, of message) error { return checkLevel(raw, of, fixed+2*maxDepth) }

func checkLevel(raw []byte, of message, left int) error {
	if left == 0 {
		return errDepth
	}
	for len(raw) > 0 {
		number, kind, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return nil
		}
		raw = raw[n:]
		if n = protowire.ConsumeFieldValue(number, kind, raw); n < 0 {
			return nil
		}
		if inner, ok := of[number]; ok && kind == protowire.BytesType {
			content, _ := protowire.ConsumeBytes(raw)
			if err := checkLevel(content, inner, left-1); err != nil {
				return err
			}
		}
		raw = raw[n:]
	}
	return nil
}

var errDepth = moorage.Errorf(moorage.Invalid, "attribute values are nested more than %d levels deep", maxDepth)

// checkJSONDepth is checkDepth for JSON.
func checkJSONDepth(raw []byte) error {
	depth, quoted := 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > 2*fixed+4*maxDepth {
				return errDepth
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}
