package lane

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"

	"github.com/moorage-dev/moorage/internal/socket"
)

// parse makes what net/http's parser does of a plain request with so long a body, with less than half of its allocations: what may
// stand where is known. It returns the request's size in bytes, too, and keeps nothing of b. The request is nil where its target is no address,
// or a field is not as nearly all are.
func parse(b []byte, length int) (r *http.Request, size int) {
	head, _, _ := bytes.Cut(b, end)
	size = len(head) + len(end) + length
	text := string(b[:size])
	line, fields, _ := strings.Cut(text[:len(head)], "\r\n")
	target := line[len(method) : len(line)-len(version)]
	to, err := url.ParseRequestURI(target)
	header := socket.Header(fields)
	if err != nil || header == nil {
		return nil, size
	}
	r = &http.Request{
		Method: http.MethodPost, RequestURI: target, URL: to, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: http.NoBody, ContentLength: int64(length),
	}
	if length > 0 {
		r.Body = &sent{*strings.NewReader(text[size-length:])}
	}
	r.Host = r.Header["Host"][0]
	delete(r.Header, "Host")
	return r, size
}

// sent is a request's body, which is here.
type sent struct{ strings.Reader }

// Close implements [io.Closer].
func (*sent) Close() error { return nil }
