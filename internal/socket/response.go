package socket

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
)

const okLine = "HTTP/1.1 200 "

// ReadResponse reads the head of an answer as [http.ReadResponse] does. One that is as nearly all are and here already, it reads with
// half of the work: a 200 of known length, no field of which says how to read it.
func ReadResponse(in *bufio.Reader, r *http.Request) (*http.Response, error) {
	here, _ := in.Peek(in.Buffered())
	head, _, whole := bytes.Cut(here, []byte("\r\n\r\n"))
	if !whole || !bytes.HasPrefix(head, []byte(okLine)) || r.Method != http.MethodPost {
		return http.ReadResponse(in, r)
	}
	line, fields, _ := strings.Cut(string(head), "\r\n")
	header := Header(fields)
	length, plain := plainLength(header)
	if !plain || !IsText(line) {
		return http.ReadResponse(in, r)
	}
	in.Discard(len(head) + len("\r\n\r\n"))
	response := &http.Response{
		Status: line[len("HTTP/1.1 "):], StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: http.NoBody, ContentLength: length, Request: r,
	}
	if length > 0 {
		response.Body = &counted{in, length}
	}
	return response, nil
}

// framing are the fields of an answer that say how to read it, or that net/http makes something else of.
var framing = []string{"Transfer-Encoding", "Connection", "Trailer", "Pragma"}

// plainLength returns the length of a body if the header says nothing else of how to read it.
func plainLength(header http.Header) (length int64, plain bool) {
	lengths := header["Content-Length"]
	if len(lengths) != 1 {
		return 0, false
	}
	for _, name := range framing {
		if header[name] != nil {
			return 0, false
		}
	}
	n, err := strconv.ParseUint(lengths[0], 10, 63)
	return int64(n), err == nil
}

// counted is a body of known length.
type counted struct {
	in   *bufio.Reader
	left int64
}

// Read implements [io.Reader]. It tells of the end together with the last bytes.
func (c *counted) Read(p []byte) (n int, err error) {
	if c.left > 0 {
		n, err = c.in.Read(p[:min(int64(len(p)), c.left)])
		c.left -= int64(n)
	}
	switch {
	case c.left == 0:
		return n, io.EOF
	case err == io.EOF:
		return n, io.ErrUnexpectedEOF
	}
	return n, err
}

// Close implements [io.Closer]. Whose the connection is decides what becomes of it.
func (*counted) Close() error { return nil }
