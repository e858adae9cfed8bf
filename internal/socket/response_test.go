package socket

import (
	"bufio"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

func FuzzReadResponse_asNetHTTP(f *testing.F) {
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nset-cookie: a\r\nset-cookie: b\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n",
		"HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\n1",
		"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\n1",
		"HTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nPragma: no-cache\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTrailer: X-Sum\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\n Content-Length: 2\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Long: a\r\n b\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX Y: a\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Ümlaut: ä\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\nContent-Length:\t2 \r\nX-Empty:\r\n\r\n{}",
		"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}\r\n\r\n",
		"HTTP/1.1 200 OK\x00\r\nContent-Length: 2\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\n\r\n",
	} {
		f.Add(answer)
	}
	f.Fuzz(func(t *testing.T, answer string) {
		ours, ourBody := readAnswer(ReadResponse, answer)
		theirs, theirBody := readAnswer(http.ReadResponse, answer)
		if ours == nil || theirs == nil {
			if ours != nil || theirs != nil {
				t.Fatalf("%q: ours %v, net/http's %v", answer, ours, theirs)
			}
			return
		}
		if ours.Status != theirs.Status || ours.StatusCode != theirs.StatusCode || ours.Proto != theirs.Proto || ours.ContentLength != theirs.ContentLength ||
			ours.Close != theirs.Close || !reflect.DeepEqual(ours.TransferEncoding, theirs.TransferEncoding) || !reflect.DeepEqual(ours.Header, theirs.Header) {
			t.Errorf("%q\nours:       %+v\nnet/http's: %+v", answer, ours, theirs)
		}
		if ourBody != theirBody {
			t.Errorf("%q: body %s, net/http's %s", answer, ourBody, theirBody)
		}
	})
}

// readAnswer returns an answer, nil if it is none; its body, how reading that ended, and what is left behind it.
func readAnswer(read func(*bufio.Reader, *http.Request) (*http.Response, error), answer string) (*http.Response, string) {
	in := bufio.NewReader(strings.NewReader(answer))
	in.Peek(1)
	response, err := read(in, &http.Request{Method: http.MethodPost})
	if err != nil {
		return nil, ""
	}
	body, err := io.ReadAll(response.Body)
	how := "ended"
	if err != nil {
		how = err.Error()
	}
	left, _ := io.ReadAll(in)
	return response, string(body) + " " + how + " " + string(left)
}
