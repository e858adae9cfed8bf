// Package lane answers the plainest of requests itself, in front of net/http: a small POST that came
// whole, on a kept connection.
//
// net/http starts a second goroutine for every request, to learn whether the client hangs up, and stops it again
// before the next one: two wake-ups and a handful of system calls. The lane reads, calls the handler and
// writes on one goroutine, and looks from time to time which clients are gone.
//
//	Accept ─▶ next request ─▶ plain, small, here? ── yes ─▶ Handler ─┐
//	               ▲                   │ no                          │
//	               │                   ▼                             │
//	               │      net/http has the connection from here on   │
//	               └─────────────────────────────────────────────────┘
//
// It recognises rather than tolerates. Whatever is long, late, in chunks, odd or malformed goes to net/http
// with its connection, every byte of it, and net/http judges it. Of what the lane takes it makes what
// net/http's parser would; a fuzz test holds the two together. It speaks no TLS.
package lane

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Lane is a listener to give to [http.Server.Serve]: it accepts what is left to that. Closing it, as the
// server's Shutdown does, also closes the lane's idle connections; [Lane.Wait] for those that carry a request.
type Lane struct {
	net.Listener
	// ConnContext is [http.Server.ConnContext], for the connections that the lane serves. It is set before the first Accept.
	ConnContext func(context.Context, net.Conn) context.Context

	handler http.Handler
	takes   func(target string) bool
	log     *slog.Logger

	starting sync.Once
	others   chan accepted
	closing  chan struct{}
	work     sync.WaitGroup // the accepting goroutine, and one for each connection

	mu       sync.Mutex
	conns    map[*conn]bool
	watch    *time.Timer
	watching atomic.Bool // watch is set
	said     atomic.Pointer[said]
}

// accepted is what Accept returns.
type accepted struct {
	conn net.Conn
	err  error
}

// New returns a lane over l, which it owns. It answers requests by handler if takes says so of their target, as
// that came over the wire. The context of such a request ends when its client hangs up; their writers can
// flush, take read deadlines for granted, and have nothing else of net/http's optional methods. A panic of the handler's ends the connection.
func New(l net.Listener, handler http.Handler, takes func(target string) bool, log *slog.Logger) *Lane {
	n := &Lane{
		Listener: l, handler: handler, takes: takes, log: log,
		others: make(chan accepted), closing: make(chan struct{}), conns: map[*conn]bool{},
	}
	n.watch = time.AfterFunc(watchEvery, n.look)
	return n
}

// Accept returns the next connection, from its next request on, that the lane leaves to others.
func (n *Lane) Accept() (net.Conn, error) {
	n.starting.Do(func() { n.work.Go(n.acceptAll) })
	select {
	case a := <-n.others:
		return a.conn, a.err
	case <-n.closing:
		return nil, net.ErrClosed
	}
}

// acceptAll leaves errors to net/http, which pauses before it asks for more.
func (n *Lane) acceptAll() {
	for {
		raw, err := n.Listener.Accept()
		if socket, ok := raw.(*net.TCPConn); ok {
			n.enter(socket)
		} else if !n.leave(accepted{raw, err}) {
			return
		}
	}
}

// enter takes in a new connection.
func (n *Lane) enter(socket *net.TCPConn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c, err := newConn(n, socket)
	if err != nil || n.isClosing() {
		socket.Close()
		return
	}
	n.conns[c] = true
	n.work.Go(c.serve)
}

// leave gives a connection to Accept, unless the lane closes.
func (n *Lane) leave(a accepted) bool {
	select {
	case n.others <- a:
		return true
	case <-n.closing:
		if a.conn != nil {
			a.conn.Close()
		}
		return false
	}
}

func (n *Lane) isClosing() bool {
	select {
	case <-n.closing:
		return true
	default:
		return false
	}
}

// watchEvery is how often the lane looks, while requests are open, whether their clients are still there.
const watchEvery = 250 * time.Millisecond

// watched sees to it that look comes. A request is open before it is watched.
func (n *Lane) watched() {
	if n.watching.CompareAndSwap(false, true) {
		n.watch.Reset(watchEvery)
	}
}

// look ends the requests of clients that hung up.
func (n *Lane) look() {
	n.watching.Store(false) // first: a request that opens from here on sets the timer itself
	busy := false
	for _, c := range n.open() {
		busy = true
		if c.hungUp() {
			c.cut()
		}
	}
	if busy {
		n.watched()
	}
}

// open lists the connections that carry a request.
func (n *Lane) open() (open []*conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		if c.busy.Load() {
			open = append(open, c)
		}
	}
	return open
}

// Close stops accepting. It may be called twice.
func (n *Lane) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.isClosing() {
		close(n.closing)
	}
	for c := range n.conns {
		if !c.busy.Load() {
			c.Close()
		}
	}
	return n.Listener.Close()
}

// Wait waits, after Close, for the requests that the lane carries. Those that go on when ctx ends are cut.
func (n *Lane) Wait(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		n.work.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		for _, c := range n.open() {
			c.cut()
			c.Close()
		}
	}
}
