package lane

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"

	"github.com/moorage-dev/moorage/internal/socket"
)

// plainRequest has what all requests for the lane have. It is not to be changed.
var plainRequest = &http.Request{Method: http.MethodPost, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: http.NoBody}

// parse makes what net/http's parser does of a plain request with so long a body, with less than half of its allocations: what may
// stand where is known. It returns the request's size in bytes, too, and keeps nothing of b. The request is nil where its target is no address,
// or a field is not as nearly all are. It begins as a copy of like, which has what all requests of a connection have.
func parse(like *http.Request, b []byte, length int) (r *http.Request, size int) {
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
	r = new(http.Request)
	*r = *like
	r.RequestURI, r.URL, r.Header, r.ContentLength = target, to, header, int64(length)
	if length > 0 {
		r.Body = &sent{*strings.NewReader(text[size-length:])}
	}
	r.Host = r.Header["Host"][0]
	delete(r.Header, "Host")
	return r, size
}

// sent is a request's body, which is here.
type sent struct{ strings.Reader }

// Buffered returns how many bytes a Read gives without waiting: all that are left.
func (s *sent) Buffered() int { return s.Len() }

// Close implements [io.Closer].
func (*sent) Close() error { return nil }
