package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestHostOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Host)
	})}
	go srv.Serve(hostOnce{l})
	defer srv.Close()
	for _, c := range []struct {
		name, request string
		want          int
	}{
		{"once", "GET /runtimes/a HTTP/1.1\r\nHost: h\r\n\r\n", 200},
		{"twice the same", "GET /runtimes/a HTTP/1.1\r\nHost: h\r\nA: b\r\nhost:h\r\n\r\n", 200},
		{"two names", "GET /runtimes/a HTTP/1.1\r\nHost: h\r\nHost: other\r\n\r\n", 400},
		{"another place", "GET /v1/a HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", 400},
		{"a large head", "GET /runtimes/a HTTP/1.1\r\nHost: h\r\nA: " + strings.Repeat("x", maxHead) + "\r\n\r\n", 200},
		{"two requests at once", "GET /runtimes/a HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\nGET /runtimes/a HTTP/1.1\r\nHost: h\r\n\r\n", 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			half := len(c.request) / 2
			conn.Write([]byte(c.request[:half]))
			conn.Write([]byte(c.request[half:]))
			in := bufio.NewReader(conn)
			for range strings.Count(c.request, "\r\n\r\n") {
				answer, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(answer.Body)
				if err != nil || answer.StatusCode != c.want || c.want == 200 && string(body) != "h" {
					t.Errorf("%s: %q %v", answer.Status, body, err)
				}
			}
		})
	}
}
