package warm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
)

// port is an agent's, in this process.
type port struct{ dials atomic.Int64 }

func newPort(t *testing.T, serve func(net.Listener)) (*client, *port) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go serve(l)
	p := &port{}
	c := &client{dial: func(ctx context.Context) (net.Conn, error) {
		p.dials.Add(1)
		var d net.Dialer
		return d.DialContext(ctx, "tcp", l.Addr().String())
	}}
	t.Cleanup(c.CloseIdleConnections)
	return c, p
}

// scripted is an agent that serves its nth connection by a script.
func scripted(t *testing.T, serve func(n int, c net.Conn)) (*client, *port) {
	return newPort(t, func(l net.Listener) {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(n, c)
			}()
		}
	})
}

// server is an agent that Go's own HTTP server serves.
func server(t *testing.T, h http.HandlerFunc) (*client, *port) {
	srv := &http.Server{Handler: h}
	t.Cleanup(func() { srv.Close() })
	return newPort(t, func(l net.Listener) { srv.Serve(l) })
}

// known is a body that is at hand.
type known struct{ *strings.Reader }

func (k known) Buffered() int { return k.Len() }
func (k known) Close() error  { return nil }

func post(t *testing.T, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://agent/invocations", known{strings.NewReader(body)})
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = int64(len(body))
	r.GetBody = func() (io.ReadCloser, error) { return known{strings.NewReader(body)}, nil }
	return r
}

func said(t *testing.T, c *client, r *http.Request) string {
	t.Helper()
	response, err := c.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func echo(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Write(raw)
}

func TestClient_connectionIsKeptAfterTheEnd(t *testing.T) {
	c, l := server(t, echo)
	for i := range 20 {
		want := fmt.Sprint("call ", i)
		if got := said(t, c, post(t, want)); got != want {
			t.Fatalf("%q", got)
		}
	}
	if n := l.dials.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestClient_answerLeftUnreadClosesItsConnection(t *testing.T) {
	c, l := server(t, echo)
	for range 3 {
		response, err := c.RoundTrip(post(t, strings.Repeat("x", 10_000)))
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Read(make([]byte, 10))
		response.Body.Close()
	}
	if got := said(t, c, post(t, "next")); got != "next" || l.dials.Load() != 4 {
		t.Errorf("%q after %d connections", got, l.dials.Load())
	}
}

func TestClient_manyAtOnce(t *testing.T) {
	c, l := server(t, echo)
	done := make(chan error, 32)
	for worker := range 32 {
		go func() {
			for i := range 50 {
				want := strings.Repeat(fmt.Sprint(worker, "/", i, " "), 1+i*20)
				response, err := c.RoundTrip(post(t, want))
				if err != nil {
					done <- err
					return
				}
				got, err := io.ReadAll(response.Body)
				if err != nil || string(got) != want {
					done <- fmt.Errorf("%d bytes of %d: %w", len(got), len(want), err)
					return
				}
			}
			done <- nil
		}()
	}
	for range 32 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := l.dials.Load(); n > 32 {
		t.Errorf("%d connections", n)
	}
}

func TestClient_bodyAtHandLeavesWithItsHead(t *testing.T) {
	theirs, ours := net.Pipe()
	defer theirs.Close()
	c := &client{dial: func(context.Context) (net.Conn, error) { return ours, nil }}
	go c.RoundTrip(post(t, "the body"))
	piece := make([]byte, 4096)
	n, err := theirs.Read(piece) // of a pipe: what one Write wrote
	if err != nil || !strings.HasSuffix(string(piece[:n]), "\r\n\r\nthe body") {
		t.Errorf("%q, %v", piece[:n], err)
	}
}

// answers reads requests and answers each with the next text; after the last it closes.
func answers(c net.Conn, texts ...string) {
	in := bufio.NewReader(c)
	for _, text := range texts {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		io.Copy(io.Discard, r.Body)
		io.WriteString(c, text)
	}
}

const hello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

func TestClient_keptConnectionThatTheAgentClosed(t *testing.T) {
	closed := make(chan struct{}, 2)
	c, l := scripted(t, func(_ int, conn net.Conn) {
		answers(conn, hello)
		conn.Close()
		closed <- struct{}{}
	})
	for range 2 {
		if got := said(t, c, post(t, "x")); got != "hello" {
			t.Fatalf("%q", got)
		}
		<-closed
	}
	if n := l.dials.Load(); n != 2 {
		t.Errorf("%d connections", n)
	}
}

// What the agent may have seen is not sent twice, unless that does no harm.
func TestClient_keptConnectionThatEndsDuringTheCall(t *testing.T) {
	for _, method := range []string{"POST", "GET"} {
		t.Run(method, func(t *testing.T) {
			c, l := scripted(t, func(n int, conn net.Conn) {
				if n > 0 {
					answers(conn, hello)
					return
				}
				answers(conn, hello, "") // the second call is read, and gets no answer
			})
			if got := said(t, c, post(t, "x")); got != "hello" {
				t.Fatalf("%q", got)
			}
			r := post(t, "")
			r.Method, r.Body = method, nil
			response, err := c.RoundTrip(r)
			if method == "POST" {
				if moorage.CodeOf(err) != moorage.AgentFailed || l.dials.Load() != 1 {
					t.Errorf("%v, %v after %d connections", response, err, l.dials.Load())
				}
				return
			}
			if err != nil || l.dials.Load() != 2 {
				t.Errorf("%v after %d connections", err, l.dials.Load())
			}
			response.Body.Close()
		})
	}
}

func TestClient_agentThatSpeaksUnasked(t *testing.T) {
	c, l := scripted(t, func(n int, conn net.Conn) {
		if n == 0 {
			answers(conn, hello+"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
			io.Copy(io.Discard, conn)
			return
		}
		answers(conn, hello)
	})
	for range 2 {
		if got := said(t, c, post(t, "x")); got != "hello" {
			t.Errorf("%q", got)
		}
	}
	if n := l.dials.Load(); n != 2 {
		t.Errorf("%d connections", n)
	}
}

func TestClient_idleConnectionsAreClosedInTime(t *testing.T) {
	ended := make(chan struct{})
	c, _ := scripted(t, func(_ int, conn net.Conn) {
		answers(conn, hello, "")
		close(ended)
	})
	said(t, c, post(t, "x"))
	select {
	case <-ended:
	case <-time.After(3 * idleLimit):
		t.Error("the connection stayed")
	}
}

func TestClient_connectionsOfAPausedAgentDoNotAge(t *testing.T) {
	c, l := scripted(t, func(_ int, conn net.Conn) { answers(conn, hello, hello) })
	said(t, c, post(t, "x"))
	c.pause()
	c.idle[0].since = time.Now().Add(-2 * idleLimit)
	c.expire()
	c.resume()
	if got := said(t, c, post(t, "x")); got != "hello" || l.dials.Load() != 1 {
		t.Errorf("%q after %d connections", got, l.dials.Load())
	}
}

func TestClient_callerWhoLeavesEndsTheCall(t *testing.T) {
	asked, ended := make(chan struct{}, 2), make(chan struct{}, 2)
	c, _ := scripted(t, func(n int, conn net.Conn) {
		in := bufio.NewReader(conn)
		http.ReadRequest(in)
		if n == 1 {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")
		}
		asked <- struct{}{}
		io.Copy(io.Discard, in)
		ended <- struct{}{}
	})
	cause := errors.New("the caller left")
	for n := range 2 {
		ctx, cancel := context.WithCancelCause(t.Context())
		leave := func() { <-asked; cancel(cause) }
		if n == 0 {
			go leave()
		}
		response, err := c.RoundTrip(post(t, "x").WithContext(ctx))
		if n == 1 {
			if err != nil {
				t.Fatal(err)
			}
			go leave()
			_, err = io.ReadAll(response.Body)
		}
		if !errors.Is(err, cause) {
			t.Errorf("call %d: %v", n, err)
		}
		<-ended
	}
}

func TestClient_announcementsAreSkipped(t *testing.T) {
	c, l := scripted(t, func(_ int, conn net.Conn) {
		answers(conn, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"+hello, hello)
	})
	for range 2 {
		if got := said(t, c, post(t, "x")); got != "hello" {
			t.Errorf("%q", got)
		}
	}
	if n := l.dials.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestClient_answersThatAreNone(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"nothing":        {"", "without an answer"},
		"not HTTP":       {"SSH-2.0-OpenSSH_9.9\r\n", "not HTTP"},
		"half a head":    {"HTTP/1.1 200 OK\r\nContent-Le", "not HTTP"},
		"two lengths":    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", "multiple Content-Length"},
		"long headers":   {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", maxHead), "bytes of headers"},
		"endless hints":  {strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", maxHead/20), "bytes of headers"},
		"a bad length":   {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "not HTTP"},
		"a strange code": {"HTTP/1.1 two OK\r\n\r\n", "not HTTP"},
	} {
		t.Run(name, func(t *testing.T) {
			client, _ := scripted(t, func(_ int, conn net.Conn) { answers(conn, c.text) })
			response, err := client.RoundTrip(post(t, "x"))
			var coded *moorage.Error // its message is what callers see
			if !errors.As(err, &coded) || coded.Code != moorage.AgentFailed || !strings.Contains(coded.Message, c.want) {
				t.Errorf("%v, %v", response, err)
			}
		})
	}
}

func TestClient_answerCutShortIsAnError(t *testing.T) {
	for _, text := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
	} {
		c, _ := scripted(t, func(_ int, conn net.Conn) { answers(conn, text) })
		response, err := c.RoundTrip(post(t, "x"))
		if err != nil {
			t.Fatal(err)
		}
		if raw, err := io.ReadAll(response.Body); err == nil {
			t.Errorf("%q ended as if it were whole", raw)
		}
	}
}

func TestClient_connectionsThatCannotBeKept(t *testing.T) {
	for _, text := range []string{
		"HTTP/1.0 200 OK\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\n\r\nhello",
	} {
		c, l := scripted(t, func(_ int, conn net.Conn) { answers(conn, text) })
		for range 2 {
			if got := said(t, c, post(t, "x")); got != "hello" {
				t.Errorf("%q", got)
			}
		}
		if n := l.dials.Load(); n != 2 {
			t.Errorf("%q: %d connections", text, n)
		}
	}
}

func TestClient_chunksComeAsTheyAreWritten(t *testing.T) {
	next := make(chan string)
	c, l := server(t, func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).Flush()
		for text := range next {
			io.WriteString(w, text)
			http.NewResponseController(w).Flush()
		}
	})
	response, err := c.RoundTrip(post(t, "x"))
	if err != nil {
		t.Fatal(err) // the head came before the first chunk
	}
	for _, text := range []string{"one", "two", "three"} {
		next <- text
		got := make([]byte, len(text))
		if _, err := io.ReadFull(response.Body, got); err != nil || string(got) != text {
			t.Fatalf("%q, %v", got, err)
		}
		if n := response.Body.(*answer).Buffered(); n != 0 {
			t.Errorf("%d bytes can be read without waiting, when the agent has sent none", n)
		}
	}
	close(next)
	if n, err := response.Body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Error(n, err)
	}
	next = make(chan string)
	close(next)
	if said(t, c, post(t, "x")); l.dials.Load() != 1 {
		t.Errorf("%d connections", l.dials.Load())
	}
}

// Wherever the network cuts an answer in chunks, Buffered never promises what a Read would wait for.
func TestAnswer_bufferedPromisesNothingThatIsNotThere(t *testing.T) {
	const text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n0\r\n\r\nxx\r\n5\r\n\r\nabc\r\n0\r\n\r\n"
	const want = "0\r\n\r\nxx\r\nabc"
	for cut := strings.Index(text, "\r\n\r\n") + 4; cut <= len(text); cut++ {
		rest := make(chan struct{})
		c, _ := scripted(t, func(_ int, conn net.Conn) {
			answers(conn, text[:cut])
			<-rest
			io.WriteString(conn, text[cut:])
		})
		response, err := c.RoundTrip(post(t, "x"))
		if err != nil {
			t.Fatal(err)
		}
		body := response.Body.(*answer)
		var got []byte
		buf := make([]byte, 100)
		for sent := false; err == nil; {
			if body.Buffered() == 0 && !sent {
				close(rest)
				sent = true
				if cut == len(text) {
					t.Error("an answer that is all there is not known to be")
				}
			}
			var n int
			n, err = body.Read(buf) // waits for ever where a promise was false
			got = append(got, buf[:n]...)
		}
		if string(got) != want || err != io.EOF {
			t.Errorf("cut at %d: %q, %v", cut, got, err)
		}
	}
}

// slow is a body whose end its caller holds back.
type slow struct{ io.Reader }

func (slow) Close() error { return nil }

func TestClient_agentAnswersBeforeItHasReadAll(t *testing.T) {
	c, l := scripted(t, func(n int, conn net.Conn) {
		if n > 0 {
			answers(conn, hello)
			return
		}
		http.ReadRequest(bufio.NewReader(conn))
		io.WriteString(conn, hello)
		io.Copy(io.Discard, conn)
	})
	from, to := io.Pipe()
	defer to.Close()
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://agent/invocations", slow{from})
	if err != nil {
		t.Fatal(err)
	}
	if got := said(t, c, r); got != "hello" {
		t.Errorf("%q", got)
	}
	if got := said(t, c, post(t, "x")); got != "hello" || l.dials.Load() != 2 {
		t.Errorf("%q after %d connections: one that still carried a body was used", got, l.dials.Load())
	}
}

func TestClient_largeBodyThatTheAgentRefuses(t *testing.T) {
	c, _ := scripted(t, func(_ int, conn net.Conn) {
		http.ReadRequest(bufio.NewReader(conn))
		io.WriteString(conn, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		io.Copy(io.Discard, conn)
	})
	response, err := c.RoundTrip(post(t, strings.Repeat("x", 8<<20)))
	if err != nil || response.StatusCode != 413 {
		t.Fatalf("%v, %v", response, err)
	}
}

func TestClient_bodyThatBreaksOff(t *testing.T) {
	ended := make(chan struct{})
	c, _ := scripted(t, func(_ int, conn net.Conn) {
		in := bufio.NewReader(conn)
		if r, err := http.ReadRequest(in); err == nil {
			io.Copy(io.Discard, r.Body)
		}
		close(ended)
	})
	broken := slow{io.MultiReader(strings.NewReader("half"), failing{})}
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://agent/invocations", broken)
	if err != nil {
		t.Fatal(err)
	}
	if response, err := c.RoundTrip(r); err == nil {
		t.Errorf("%v", response)
	}
	<-ended
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("the caller's line is dead") }

func TestClient_closeWakesARead(t *testing.T) {
	c, _ := scripted(t, func(_ int, conn net.Conn) {
		answers(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", "")
	})
	response, err := c.RoundTrip(post(t, "x"))
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan error)
	go func() {
		_, err := io.ReadAll(response.Body)
		read <- err
	}()
	response.Body.Close()
	if err := <-read; err == nil {
		t.Error("the answer ended as if it were whole")
	}
	response.Body.Close()
}
