package audit

import (
	"encoding/json"
	"strconv"
	"strings"
)

// appendTo appends a record as encoding/json writes it, byte for byte: readers hash what that makes of a record. Every call has
// two records, and by reflection they cost three times as much.
func (r *Record) appendTo(b []byte) ([]byte, error) {
	b = strconv.AppendUint(append(b, `{"seq":`...), r.Seq, 10)
	b, err := r.Time.AppendText(append(b, `,"time":"`...))
	if err != nil {
		return nil, err
	}
	b = appendText(append(b, `","kind":`...), string(r.Kind))
	if r.Refused {
		b = append(b, `,"refused":true`...)
	}
	for _, member := range [...]struct{ name, text string }{
		{`,"reason":`, r.Reason}, {`,"requestId":`, r.RequestID}, {`,"caller":`, r.Caller}, {`,"source":`, r.Source},
		{`,"key":`, r.Key}, {`,"from":`, r.From}, {`,"action":`, r.Action},
	} {
		if member.text != "" {
			b = appendText(append(b, member.name...), member.text)
		}
	}
	for i, resource := range r.Resources {
		b = appendText(append(b, [...]string{`,"resources":[`, `,`}[min(i, 1)]...), resource)
	}
	if len(r.Resources) > 0 {
		b = append(b, ']')
	}
	if len(r.Detail) > 0 {
		detail, _ := json.Marshal(r.Detail) // texts always have JSON
		b = append(append(b, `,"detail":`...), detail...)
	}
	b = appendText(append(b, `,"prev":`...), r.Prev)
	return append(appendText(append(b, `,"hash":`...), r.Hash), '}'), nil
}

// appendText appends a text as JSON.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if !asItIs[s[i]] {
			escaped, _ := json.Marshal(s) // a text always has JSON
			return append(b, escaped...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// asItIs are the bytes that JSON has as they are.
var asItIs = func() (is [256]bool) {
	for c := ' '; c <= '~'; c++ {
		is[c] = !strings.ContainsRune(`"\<>&`, c)
	}
	return is
}()
