package socket

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// FuzzWriteHeader holds it to net/http: the same fields, to the last byte.
func FuzzWriteHeader(f *testing.F) {
	f.Add("X-A", "b", "")
	f.Add("x a", "b", "c")
	f.Add("X-A", " b\r\nX-C: d ", "\t")
	f.Add("", "b", "c")
	f.Add("X-\u00e4", "b", "c")
	f.Add("X_A!", "\n", "\r")
	f.Fuzz(func(t *testing.T, name, first, second string) {
		h := http.Header{name: {first, second}, "X-Other": {first}, "X-None": nil, "X-Left": {second}}
		var want, got bytes.Buffer
		if err := h.WriteSubset(&want, map[string]bool{"X-Left": true}); err != nil {
			t.Fatal(err)
		}
		out := bufio.NewWriter(&got)
		if err := WriteHeader(out, h, func(name string) bool { return name == "X-Left" }); err != nil {
			t.Fatal(err)
		}
		out.Flush()
		if fields(want) != fields(got) {
			t.Errorf("%q, and net/http says %q", got.String(), want.String())
		}
	})
}

// fields are the lines, sorted.
func fields(b bytes.Buffer) string {
	lines := strings.SplitAfter(b.String(), "\r\n")
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func BenchmarkWriteHeader(b *testing.B) {
	h := http.Header{"Content-Type": {"application/json"}, "Content-Length": {"42"}, "X-Amzn-Requestid": {"0b5f8a5e-8f3c-4d51-b0a7-2f0c1d2e3f40"},
		"X-Amzn-Bedrock-Agentcore-Runtime-Session-Id": {"0123456789012345678901234567890123456789"}, "Date": {"Sun, 29 Nov 2026 12:00:00 GMT"}}
	out := bufio.NewWriter(io.Discard)
	b.Run("net/http", func(b *testing.B) {
		for b.Loop() {
			h.Write(out)
		}
	})
	b.Run("socket", func(b *testing.B) {
		for b.Loop() {
			WriteHeader(out, h, func(string) bool { return false })
		}
	})
}
