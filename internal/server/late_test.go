package server

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"
)

func TestArrival_bodyThatStops(t *testing.T) {
	got := make(chan error, 1)
	srv := httptest.NewServer(answerEarly(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		coming := inTime(w, r, 10*time.Millisecond)
		_, err := io.ReadAll(r.Body)
		coming.release()
		got <- err
	})))
	defer srv.Close()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
	if err := <-got; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

func TestArrival_releasedTakesItsTime(t *testing.T) {
	begun, got := make(chan bool), make(chan string, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		coming := inTime(w, r, 50*time.Millisecond)
		io.ReadFull(r.Body, make([]byte, 1))
		coming.release()
		close(begun)
		<-time.After(time.Until(coming.deadline()))
		rest, err := io.ReadAll(r.Body)
		got <- fmt.Sprint(string(rest), err)
	}))
	defer srv.Close()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n{")
	<-begun
	fmt.Fprint(conn, "} ")
	if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
		t.Fatal(err)
	}
	if rest := <-got; rest != "} <nil>" {
		t.Errorf("%q", rest)
	}
}

// What a slow client may take grows with what it sent.
func TestArrival_deadline(t *testing.T) {
	began := time.Now()
	for bytes, want := range map[int64]time.Duration{0: time.Second, slowestBody: 2 * time.Second, 100_000_000: 764 * time.Second} {
		a := &arrival{began: began, patience: time.Second, bytes: bytes}
		if got := a.deadline().Sub(began).Round(time.Second); got != want {
			t.Errorf("%d bytes: %s, want %s", bytes, got, want)
		}
	}
}
