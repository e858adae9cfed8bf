package socket

import (
	"net/http"
	"net/textproto"
	"strings"
)

// Header makes a header of the fields of a head, which are as nearly all are: names of letters, digits and hyphens, values of
// printable ASCII, spaces and tabs, each on one line. It is nil if one is not. Fields are without the line break behind the last.
func Header(fields string) http.Header {
	n := strings.Count(fields, "\r\n") + 1
	h, values := make(http.Header, n), make([]string, n)
	for i := range n {
		var line string
		line, fields, _ = strings.Cut(fields, "\r\n")
		name, value, found := strings.Cut(line, ":")
		if !found || !IsName(name) || !IsText(value) {
			return nil
		}
		name, values[i] = textproto.CanonicalMIMEHeaderKey(name), textproto.TrimString(value)
		if before := h[name]; before != nil {
			h[name] = append(before, values[i])
		} else {
			h[name] = values[i : i+1 : i+1]
		}
	}
	return h
}

// IsName reports whether s may name a field: letters, digits and hyphens, of what RFC 9110, 5.6.2 allows.
func IsName[T string | []byte](s T) bool {
	for i := range len(s) {
		if !inNames[s[i]] {
			return false
		}
	}
	return len(s) > 0
}

// IsText reports whether s is printable ASCII, spaces and tabs.
func IsText[T string | []byte](s T) bool {
	for i := range len(s) {
		if c := s[i]; (c < ' ' || c > '~') && c != '\t' {
			return false
		}
	}
	return true
}

// inNames are the bytes that plain names are of.
var inNames = func() (in [256]bool) {
	for _, c := range []byte("-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
		in[c] = true
	}
	return in
}()
