package warm

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"reflect"
	"testing"
)

// TestWriteCall_saysWhatNetHTTPWouldSay holds writeCall to net/http: what it writes is read alike.
func TestWriteCall_saysWhatNetHTTPWouldSay(t *testing.T) {
	for name, change := range map[string]func(*http.Request){
		"a call":         func(*http.Request) {},
		"another path":   func(r *http.Request) { r.URL.Path, r.URL.RawQuery = "/a b/ä", "x=y" },
		"several values": func(r *http.Request) { r.Header["Baggage"] = []string{"a=b", "c=d"} },
		"line breaks":    func(r *http.Request) { r.Header["Accept"] = []string{" a\r\nX-Injected: b\n"} },
		"framing": func(r *http.Request) {
			r.Header["Content-Length"], r.Header["Transfer-Encoding"] = []string{"99"}, []string{"chunked"}
		},
		"a host":           func(r *http.Request) { r.Header["Host"] = []string{"elsewhere"} },
		"a caller's agent": func(r *http.Request) { r.Header["User-Agent"] = []string{"curl"} },
	} {
		t.Run(name, func(t *testing.T) {
			read := func(write func(*bufio.Writer, *http.Request) error) *http.Request {
				r := post(t, "the body")
				r.Header["User-Agent"] = nil
				change(r)
				if !isCall(r) {
					t.Fatal("it is none")
				}
				var wire bytes.Buffer
				out := bufio.NewWriter(&wire)
				if err := write(out, r); err != nil {
					t.Fatal(err)
				}
				out.Flush()
				got, err := http.ReadRequest(bufio.NewReader(&wire))
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(got.Body)
				if err != nil || string(body) != "the body" || wire.Len() != 0 {
					t.Fatalf("%q %v, and %d bytes more", body, err, wire.Len())
				}
				return got
			}
			got, want := read(writeCall), read(func(out *bufio.Writer, r *http.Request) error { return r.Write(out) })
			if got.Method != want.Method || got.RequestURI != want.RequestURI || got.Host != want.Host || got.ContentLength != want.ContentLength || !reflect.DeepEqual(got.Header, want.Header) {
				t.Errorf("%s %s %s %v\nwant %s %s %s %v", got.Method, got.RequestURI, got.Host, got.Header, want.Method, want.RequestURI, want.Host, want.Header)
			}
		})
	}
}

func TestWriteCall_bodyThatEndsEarlyIsAnError(t *testing.T) {
	r := post(t, "the body")
	r.ContentLength++
	if err := writeCall(bufio.NewWriter(io.Discard), r); err == nil {
		t.Error("it was sent")
	}
}
