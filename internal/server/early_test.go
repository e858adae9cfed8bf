package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// refusing answers without a look at the body.
func refusing(t *testing.T) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(answerEarly(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "3") // as every refusal has: without it the end would come last
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, "no\n")
	})))
	t.Cleanup(srv.Close)
	return srv
}

func TestAnswerEarly_bodyThatDoesNotCome(t *testing.T) {
	conn, err := net.Dial("tcp", refusing(t).Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
	conn.SetReadDeadline(time.Now().Add(unwantedTime / 2))
	reader := bufio.NewReader(conn)
	resp, err := http.ReadResponse(reader, nil)
	if err != nil || resp.StatusCode != http.StatusForbidden {
		t.Fatal(resp, err)
	}
	if _, err := io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(5 * unwantedTime))
	if _, err := reader.ReadByte(); err == nil || isTimeout(err) {
		t.Error("the connection is held:", err)
	}
}

func isTimeout(err error) bool {
	netErr, ok := err.(net.Error)
	return ok && netErr.Timeout()
}

func TestAnswerEarly_largeBody(t *testing.T) {
	srv := refusing(t)
	for range 10 {
		resp, err := http.Post(srv.URL, "application/json", io.LimitReader(zeros{}, 101_000_000))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden || string(text) != "no\n" || err != nil {
			t.Fatalf("status %d, %q, %v", resp.StatusCode, text, err)
		}
	}
}

func TestAnswerEarly_keepsTheConnection(t *testing.T) {
	srv := refusing(t)
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	reader := bufio.NewReader(conn)
	for range 3 {
		fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
		resp, err := http.ReadResponse(reader, nil)
		if err != nil || resp.StatusCode != http.StatusForbidden {
			t.Fatal(resp, err)
		}
		io.Copy(io.Discard, resp.Body)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
