package lane

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/moorage-dev/moorage/internal/socket"
)

const (
	maxRequest  = 16 << 10               // bytes of head and body: what a connection's buffer holds
	patience    = 100 * time.Millisecond // with a request that has begun: the rest is to be on its way
	firstWait   = 30 * time.Second       // for a new connection's first byte
	idleLimit   = 2 * time.Minute        // between requests, at most
	idleAtLeast = time.Minute            // the same: to set a deadline for every request costs more than to be exact
)

// conn is a connection. All but busy and cut belongs to the goroutine that serves it.
type conn struct {
	*net.TCPConn
	lane   *Lane
	like   *http.Request // what its requests have in common: their context ends with the connection
	cut    func()        // ends that context
	socket syscall.RawConn
	in     *bufio.Reader
	out    *bufio.Writer
	limit  time.Time // for the client's next byte: as set on the socket, zero when that is another

	busy atomic.Bool // a request is open
}

func newConn(n *Lane, tcp *net.TCPConn) (*conn, error) {
	raw, err := tcp.SyscallConn()
	quiet, ctx := socket.Quiet(tcp), context.Background()
	if n.ConnContext != nil {
		ctx = n.ConnContext(ctx, tcp)
	}
	ctx, cut := context.WithCancel(ctx)
	like := plainRequest.WithContext(ctx)
	like.RemoteAddr = tcp.RemoteAddr().String()
	return &conn{TCPConn: tcp, lane: n, like: like, cut: cut, socket: raw, in: bufio.NewReaderSize(quiet, maxRequest), out: bufio.NewWriter(quiet)}, err
}

// serve answers requests until one is not for the lane, or none comes.
func (c *conn) serve() {
	defer c.forget()
	defer c.cut()
	for wait := firstWait; c.begun(wait); wait = idleLimit {
		request, here := c.read()
		if request == nil {
			c.SetReadDeadline(time.Time{})
			c.lane.leave(accepted{conn: &begun{c.TCPConn, here}})
			return
		}
		if !c.answer(request) {
			break
		}
	}
	c.Close()
}

func (c *conn) forget() {
	c.lane.mu.Lock()
	defer c.lane.mu.Unlock()
	delete(c.lane.conns, c)
}

// begun waits for the first byte of a request.
func (c *conn) begun(wait time.Duration) bool {
	if c.lane.isClosing() {
		return false
	}
	if now := time.Now(); c.limit.Sub(now) < idleAtLeast {
		c.limit = now.Add(wait)
		c.SetReadDeadline(c.limit)
	}
	_, err := c.in.Peek(1)
	return err == nil
}

// read returns a request for the lane; or nil, and the bytes that are here of another.
func (c *conn) read() (request *http.Request, here []byte) {
	for {
		here, _ = c.in.Peek(c.in.Buffered())
		switch verdict, length := judge(here, c.lane.takes); verdict {
		case plain:
			if request, size := parse(c.like, here, length); request != nil {
				c.in.Discard(size)
				return request, nil
			}
		case partial:
			if len(here) < maxRequest && c.more(len(here)) {
				continue
			}
		}
		return nil, bytes.Clone(here)
	}
}

// more waits for more than n bytes, for a moment.
func (c *conn) more(n int) bool {
	c.limit = time.Time{}
	c.SetReadDeadline(time.Now().Add(patience))
	_, err := c.in.Peek(n + 1)
	return err == nil
}

// answer has a request handled and reports whether another may follow.
func (c *conn) answer(r *http.Request) (next bool) {
	c.busy.Store(true)
	defer c.busy.Store(false)
	c.lane.watched()
	w := &reply{lane: c.lane, out: c.out, header: http.Header{}}
	if !c.handle(w, r) {
		return false
	}
	return w.finish() == nil
}

// handle reports whether the handler came to its end. Like net/http it survives one that panics.
func (c *conn) handle(w http.ResponseWriter, r *http.Request) (ended bool) {
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler {
			c.lane.log.Error("a handler panicked", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	c.lane.handler.ServeHTTP(w, r)
	return true
}

// hungUp reports whether the client closed its side. It may be called by anybody.
func (c *conn) hungUp() (gone bool) {
	c.socket.Control(func(fd uintptr) {
		var next [1]byte
		n, _, err := unix.Recvfrom(int(fd), next[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		gone = err == nil && n == 0 || err != nil && err != unix.EAGAIN && err != unix.EINTR
	})
	return gone
}

// begun is a connection of which the beginning was read.
type begun struct {
	*net.TCPConn
	here []byte
}

func (b *begun) Read(p []byte) (int, error) {
	if len(b.here) == 0 {
		return b.TCPConn.Read(p)
	}
	n := copy(p, b.here)
	b.here = b.here[n:]
	return n, nil
}

// WriteTo implements [io.WriterTo], in the place of the socket's, which does not know of here.
func (b *begun) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{b})
}
