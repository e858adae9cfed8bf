package document

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// LogsMayHave reports whether a packed document of log records may have a text in a body, whatever its case. It is
// sure of bodies that are text alone, and costs a fraction of unpacking.
func (c *Codec) LogsMayHave(doc []byte, text string) (bool, error) {
	raw, err := c.unpack.DecodeAll(doc, nil)
	if err != nil {
		return false, fmt.Errorf("unpack log records: %w", err)
	}
	s := &search{text: []byte(strings.ToLower(text))}
	return s.in(raw, resourceLogs, scopeLogs, logRecords, body), nil
}

// The fields that lead to a body. Source: opentelemetry-proto, logs/v1/logs.proto and common/v1/common.proto.
const (
	resourceLogs, scopeLogs, logRecords, body = 1, 2, 2, 5
	stringValue                               = 1
)

// search looks for a text in lower case.
type search struct {
	text, low []byte
}

// in follows fields into a message. What cannot be read may have anything.
func (s *search) in(message []byte, path ...protowire.Number) bool {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return true
		}
		message = message[n:]
		if n = protowire.ConsumeFieldValue(number, kind, message); n < 0 {
			return true
		}
		value := message[:n]
		message = message[n:]
		if number != path[0] || kind != protowire.BytesType {
			continue
		}
		value, _ = protowire.ConsumeBytes(value)
		if len(path) > 1 && s.in(value, path[1:]...) || len(path) == 1 && s.inValue(value) {
			return true
		}
	}
	return false
}

// inValue looks at an AnyValue.
func (s *search) inValue(value []byte) bool {
	number, _, n := protowire.ConsumeTag(value)
	if n < 0 || number != stringValue {
		return len(value) > 0 // no text, and what it is written as is not known here
	}
	text, _ := protowire.ConsumeBytes(value[n:])
	return bytes.Contains(s.lower(text), s.text)
}

// lower is text in lower case, good until it is called again.
func (s *search) lower(text []byte) []byte {
	s.low = s.low[:0]
	for _, c := range text {
		if c >= utf8.RuneSelf {
			return bytes.ToLower(text)
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		s.low = append(s.low, c)
	}
	return s.low
}
