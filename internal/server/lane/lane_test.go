package lane

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const limit = 20 * time.Second // for what has to come

// house is a lane before a net/http server. Answers say by X-By which of them gave it.
type house struct {
	lane   *Lane
	server *http.Server
	served chan error
	ended  chan error // how contexts of requests to /hold ended
	hold   chan struct{}

	passedOn atomic.Int32 // connections that net/http has
}

func open(t *testing.T) *house {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &house{served: make(chan error, 1), ended: make(chan error, 1), hold: make(chan struct{})}
	h.lane = New(listener, by("lane", h), func(target string) bool { return !strings.HasPrefix(target, "/others") }, slog.New(slog.DiscardHandler))
	h.server = &http.Server{Handler: by("net/http", h), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	h.server.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			h.passedOn.Add(1)
		}
	}
	go func() { h.served <- h.server.Serve(h.lane) }()
	t.Cleanup(func() {
		h.server.Close()
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		if h.lane.Wait(ctx); ctx.Err() != nil {
			t.Error("the lane does not end")
		}
		if err := <-h.served; err != http.ErrServerClosed {
			t.Error(err)
		}
	})
	return h
}

func by(name string, h *house) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-By", name)
		switch r.URL.Path {
		case "/hold":
			http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
				h.ended <- r.Context().Err()
			case <-h.hold:
				io.WriteString(w, "held")
			}
		case "/short":
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, "short")
		case "/long":
			w.Header().Set("Content-Length", "2")
			io.WriteString(w, "ok")
			if _, err := io.WriteString(w, "more"); err != http.ErrContentLength {
				panic(err)
			}
		case "/panic":
			io.WriteString(w, "begun")
			panic("as handlers do")
		case "/none":
			w.WriteHeader(http.StatusNoContent)
		case "/silent":
		case "/leave":
			io.WriteString(w, r.Host)
		default:
			body, err := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %s %s %v", r.Host, r.RequestURI, body, err)
		}
	})
}

// caller is a client that writes what it likes.
type caller struct {
	net.Conn
	in *bufio.Reader
}

func (h *house) dial(t *testing.T) *caller {
	t.Helper()
	conn, err := net.Dial("tcp", h.lane.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(limit))
	return &caller{conn, bufio.NewReader(conn)}
}

// hear reads one answer and returns who gave it, and the body.
func (c *caller) hear(t *testing.T) (by, body string) {
	t.Helper()
	response, err := http.ReadResponse(c.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.Header.Get("X-By"), string(text)
}

// isClosed reports whether the server ended the connection.
func (c *caller) isClosed() error {
	_, err := io.Copy(io.Discard, c.in)
	var network net.Error
	if errors.As(err, &network) && network.Timeout() {
		return errors.New("the connection is still open")
	}
	return nil
}

const post = "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"

func TestLane_keptConnection(t *testing.T) {
	c := open(t).dial(t)
	for range 3 {
		io.WriteString(c, post)
		if by, body := c.hear(t); by != "lane" || body != "h /x {} <nil>" {
			t.Fatal(by, body)
		}
	}
	io.WriteString(c, post+post)
	for range 2 {
		if by, body := c.hear(t); by != "lane" || body != "h /x {} <nil>" {
			t.Fatal(by, body)
		}
	}
}

func TestLane_leavesTheRest(t *testing.T) {
	h := open(t)
	head := "POST /x HTTP/1.1\r\nHost: h\r\n"
	for name, request := range map[string]string{
		"another target":     "POST /others HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}",
		"another method":     "GET /x HTTP/1.1\r\nHost: h\r\n\r\n",
		"a longer method":    "POSTS /x HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
		"chunks":             head + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
		"no length":          head + "\r\n",
		"a large body":       head + "Content-Length: 20000\r\n\r\n" + strings.Repeat("x", 20_000),
		"a large head":       head + "Content-Length: 2\r\nX: " + strings.Repeat("x", 20_000) + "\r\n\r\n{}",
		"a leaving client":   head + "Connection: close\r\nContent-Length: 2\r\n\r\n{}",
		"a waiting client":   head + "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
		"bytes beyond ASCII": head + "X: \xc3\xa4\r\nContent-Length: 2\r\n\r\n{}",
		"an old client":      "POST /x HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}",
	} {
		t.Run(name, func(t *testing.T) {
			c := h.dial(t)
			io.WriteString(c, post+request)
			if by, _ := c.hear(t); by != "lane" {
				t.Error("the first request was answered by", by)
			}
			if strings.HasPrefix(request, head+"Expect") {
				c.in.ReadString('\n') // 100 Continue
				c.in.ReadString('\n')
			}
			if by, _ := c.hear(t); by != "net/http" {
				t.Error("the second request was answered by", by)
			}
		})
	}
}

func TestLane_malformedIsRefused(t *testing.T) {
	h := open(t)
	head := "POST /x HTTP/1.1\r\nHost: h\r\n"
	for name, request := range map[string]string{
		"two hosts":        head + "Host: g\r\nContent-Length: 2\r\n\r\n{}",
		"no host":          "POST /x HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
		"odd host":         "POST /x HTTP/1.1\r\nHost: a<b\r\nContent-Length: 2\r\n\r\n{}",
		"two lengths":      head + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
		"signed length":    head + "Content-Length: +2\r\n\r\n{}",
		"length and bytes": head + "Content-Length: 2x\r\n\r\n{}",
		"zero byte":        head + "X: a\x00b\r\nContent-Length: 2\r\n\r\n{}",
		"space in a name":  head + "X Y: z\r\nContent-Length: 2\r\n\r\n{}",
		"space after one":  head + "Content-Length : 2\r\n\r\n{}",
		"no name":          head + ": z\r\nContent-Length: 2\r\n\r\n{}",
		"target":           "POST /%zz HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}",
	} {
		t.Run(name, func(t *testing.T) {
			c := h.dial(t)
			io.WriteString(c, request)
			response, err := http.ReadResponse(c.in, nil)
			if err != nil || response.StatusCode != http.StatusBadRequest {
				t.Error(response, err)
			}
		})
	}
}

func TestLane_partsThatComeLater(t *testing.T) {
	h := open(t)
	for cut := 1; cut < len(post); cut += 7 {
		c := h.dial(t)
		io.WriteString(c, post[:cut])
		io.WriteString(c, post[cut:])
		if _, body := c.hear(t); body != "h /x {} <nil>" {
			t.Error(cut, body)
		}
	}
}

func TestLane_partThatComesLate(t *testing.T) {
	h := open(t)
	c := h.dial(t)
	io.WriteString(c, post[:len(post)-1])
	for deadline := time.Now().Add(limit); ; time.Sleep(time.Millisecond) {
		if h.passedOn.Load() == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the lane does not give up")
		}
	}
	io.WriteString(c, post[len(post)-1:])
	if by, body := c.hear(t); by != "net/http" || body != "h /x {} <nil>" {
		t.Error(by, body)
	}
}

func ask(path string) string { return strings.Replace(post, "/x", path, 1) }

func TestLane_clientThatHangsUp(t *testing.T) {
	h := open(t)
	c := h.dial(t)
	io.WriteString(c, ask("/hold"))
	if _, err := http.ReadResponse(c.in, nil); err != nil { // its head is flushed before its end
		t.Fatal(err)
	}
	c.Close()
	select {
	case err := <-h.ended:
		if err != context.Canceled {
			t.Error(err)
		}
	case <-time.After(limit):
		t.Error("the call goes on")
	}
}

func TestLane_answers(t *testing.T) {
	h := open(t)
	c := h.dial(t)
	for _, a := range []struct{ path, body string }{{"/none", ""}, {"/silent", ""}, {"/long", "ok"}, {"/leave", "h"}, {"/none", ""}} {
		io.WriteString(c, ask(a.path))
		if by, body := c.hear(t); by != "lane" || body != a.body {
			t.Errorf("%s: %s %q", a.path, by, body)
		}
	}
	for _, path := range []string{"/short", "/panic"} {
		c := h.dial(t)
		io.WriteString(c, ask(path))
		if response, err := http.ReadResponse(c.in, nil); err == nil {
			if _, err := io.ReadAll(response.Body); err == nil {
				t.Errorf("%s: half an answer looks whole", path)
			}
		}
		if err := c.isClosed(); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestLane_shutdown(t *testing.T) {
	h := open(t)
	idle, busy := h.dial(t), h.dial(t)
	io.WriteString(idle, post)
	idle.hear(t)
	io.WriteString(busy, ask("/hold"))
	response, err := http.ReadResponse(busy.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := h.server.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	if err := idle.isClosed(); err != nil {
		t.Error(err)
	}
	close(h.hold)
	if text, err := io.ReadAll(response.Body); string(text) != "held" || err != nil {
		t.Errorf("%q %v", text, err)
	}
	if err := busy.isClosed(); err != nil {
		t.Error(err)
	}
}

func TestLane_cutsWhatGoesOn(t *testing.T) {
	h := open(t)
	c := h.dial(t)
	io.WriteString(c, ask("/hold"))
	if _, err := http.ReadResponse(c.in, nil); err != nil {
		t.Fatal(err)
	}
	h.server.Close()
	now, cancel := context.WithCancel(t.Context())
	cancel()
	h.lane.Wait(now)
	if err := <-h.ended; err != context.Canceled {
		t.Error(err)
	}
}

// FuzzJudge holds the lane to net/http: what it takes for plain is read alike by both, to the last byte.
func FuzzJudge(f *testing.F) {
	head := "POST /x HTTP/1.1\r\nHost: h\r\n"
	for _, seed := range []string{
		post, post + post, ask("/%41?x=y"), strings.Replace(post, "h\r", "h\r\nX-A:\t b \r", 1), strings.Replace(post, "\r\n\r\n", "\r\n", 1),
		head + "x-a: 1\r\nX-A:\r\nx-B:  2\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", head + "Pragma: no-cache\r\ncontent-length: 007\r\n\r\n1234567",
		"POST /a%2Fb/%7e?q=%2F HTTP/1.1\r\nContent-Length: 1\r\nhost: [::1]:80\r\n\r\n ", "POST http://other/x HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", "POST //other/x HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		verdict, length := judge(b, func(string) bool { return true })
		if verdict != plain {
			return
		}
		in := bufio.NewReaderSize(strings.NewReader(string(b)), maxRequest)
		in.Peek(1)
		want, err := http.ReadRequest(in)
		got, size := parse(plainRequest, b, length)
		if got == nil {
			return // goes to net/http's server
		}
		if err != nil {
			t.Fatalf("%+v here, %v there", got, err)
		}
		there, err := io.ReadAll(want.Body)
		here, _ := io.ReadAll(got.Body)
		if err != nil || string(here) != string(there) || size != len(b)-in.Buffered() {
			t.Fatalf("%q here, %q there: %v; %d bytes of %d, %d left", here, there, err, size, len(b), in.Buffered())
		}
		want.Body, got.Body = nil, nil
		if !reflect.DeepEqual(want, got) {
			t.Fatalf("%+v there\n%+v here", want, got)
		}
		if r := got; r.Method != "POST" || r.Host == "" || r.Close || len(r.TransferEncoding) > 0 || !r.ProtoAtLeast(1, 1) {
			t.Fatalf("not plain: %+v", r)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	request := "POST /runtimes/arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A123456789012%3Aruntime%2Fbench_go-AbCdEf1234/invocations?qualifier=DEFAULT HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAuthorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261129/us-east-1/bedrock-agentcore/aws4_request, SignedHeaders=host;x-amz-date, Signature=" +
		strings.Repeat("ab", 32) + "\r\nX-Amz-Date: 20261129T120000Z\r\nX-Amz-Content-Sha256: " + strings.Repeat("cd", 32) + "\r\nX-Amzn-Bedrock-Agentcore-Runtime-Session-Id: " + strings.Repeat("s", 40) + "\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n{\"prompt\":\"hello\"}"
	b.Run("net/http", func(b *testing.B) {
		b.ReportAllocs()
		text := strings.NewReader(request)
		in := bufio.NewReaderSize(text, maxRequest)
		for b.Loop() {
			text.Reset(request)
			in.Reset(text)
			http.ReadRequest(in)
		}
	})
	b.Run("lane", func(b *testing.B) {
		b.ReportAllocs()
		here := []byte(request)
		for b.Loop() {
			parse(plainRequest, here, len(`{"prompt":"hello"}`))
		}
	})
}
