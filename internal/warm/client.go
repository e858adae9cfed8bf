package warm

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/socket"
)

// client speaks HTTP/1.1 to one agent over kept connections. It does what http.Transport does, less
// what an agent in a sandbox has no use for: one connection carries a call from the goroutine that
// makes it, where Transport takes three and hands over twice.
//
// A request whose body is at hand is written by that goroutine too; any other body is written beside
// the reading, since an agent may answer before it has read all. The zero client needs dial set.
type client struct {
	dial func(context.Context) (net.Conn, error)

	mu       sync.Mutex
	idle     []*conn // longest idle first
	sweep    *time.Timer
	sweeping bool // sweep is set
	still    bool // the agent is paused, and closes nothing: what is idle does not age
}

const (
	maxIdleConns = 64              // a new connection into a sandbox costs about 2 ms, a kept one nothing
	idleLimit    = 4 * time.Second // uvicorn and Node close theirs after 5: be first, or a call meets a closed one
	maxHead      = 1 << 20         // bytes of status line and headers, those of 1xx answers included
	maxInline    = 64 << 10        // bytes of a body that fit the socket's buffer: writing them does not wait for the agent
)

// errClosed is a kept connection that the agent had closed: the request never reached it.
var errClosed = errors.New("the agent closed the connection before the call")

// RoundTrip implements [http.RoundTripper]. The host of the request's URL is sent and not dialled. A
// body may still be read after the answer ended, and is closed then. Errors of the agent's making are
// moorage.AgentFailed.
func (c *client) RoundTrip(r *http.Request) (*http.Response, error) {
	for {
		conn, err := c.take(r.Context())
		if err != nil {
			closeBody(r)
			return nil, err
		}
		response, err := conn.call(r)
		if err == nil || !conn.kept || !repeatable(r, err) {
			return response, err
		}
		if r, err = rewound(r); err != nil {
			return nil, err
		}
	}
}

// repeatable reports whether a call that failed on a kept connection may be made once more: when the
// agent cannot have seen it, or when seeing it twice does no harm (RFC 9110, 9.2.2).
func repeatable(r *http.Request, err error) bool {
	if r.Context().Err() != nil {
		return false
	}
	return errors.Is(err, errClosed) || (r.Method == http.MethodGet || r.Method == http.MethodHead) && errors.Is(err, errNoAnswer)
}

// rewound is r with its body from the start.
func rewound(r *http.Request) (*http.Request, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return r, nil
	}
	if r.GetBody == nil {
		return nil, errClosed
	}
	body, err := r.GetBody()
	if err != nil {
		return nil, err
	}
	again := *r
	again.Body = body
	return &again, nil
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		r.Body.Close()
	}
}

// take returns the connection that was used last, or a new one.
func (c *client) take(ctx context.Context) (*conn, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	for {
		kept := c.pop()
		if kept == nil {
			break
		}
		if kept.fresh() {
			return kept, nil
		}
		kept.Close()
	}
	raw, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	return newConn(c, raw), nil
}

func (c *client) pop() *conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := len(c.idle) - 1
	if last < 0 {
		return nil
	}
	kept := c.idle[last]
	c.idle[last], c.idle = nil, c.idle[:last]
	return kept
}

// keep takes back a connection whose answer was read to its end.
func (c *client) keep(used *conn) {
	used.kept, used.since = true, time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.idle) == maxIdleConns {
		used.Close()
		return
	}
	c.idle = append(c.idle, used)
	if !c.sweeping {
		c.sweepIn(idleLimit)
	}
}

// sweepIn sets the timer. The caller holds mu.
func (c *client) sweepIn(d time.Duration) {
	c.sweeping = true
	if c.sweep == nil {
		c.sweep = time.AfterFunc(d, c.expire)
		return
	}
	c.sweep.Reset(d)
}

// expire closes what was idle too long, and comes back for the rest.
func (c *client) expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sweeping = false; c.still {
		return
	}
	n := 0
	for n < len(c.idle) && time.Since(c.idle[n].since) >= idleLimit {
		c.idle[n].Close()
		n++
	}
	c.idle = append(c.idle[:0], c.idle[n:]...)
	clear(c.idle[len(c.idle):cap(c.idle)])
	if len(c.idle) > 0 {
		c.sweepIn(idleLimit - time.Since(c.idle[0].since))
	}
}

// pause says that the agent is about to stand still. The connections that are idle are kept meanwhile.
func (c *client) pause() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.still = true
}

// resume says that the agent is about to go on: from here on what is idle ages again.
func (c *client) resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.still = false
	for _, kept := range c.idle {
		kept.since = time.Now()
	}
	if len(c.idle) > 0 && !c.sweeping {
		c.sweepIn(idleLimit)
	}
}

// CloseIdleConnections drops the connections that carry no call.
func (c *client) CloseIdleConnections() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, kept := range c.idle {
		kept.Close()
	}
	c.idle = nil // the timer finds nothing and rests
}

// conn is one connection. A call has it to itself.
type conn struct {
	net.Conn
	client *client
	kept   bool      // it has carried a call already
	since  time.Time // it is idle

	in      *bufio.Reader
	head    int64 // bytes that the head of the answer may still have; -1 while none is read
	out     *bufio.Writer
	written int64 // bytes of this request
	broken  error // what the last Write said
}

func newConn(c *client, raw net.Conn) *conn {
	n := &conn{Conn: socket.Quiet(raw), client: c, head: -1}
	n.in, n.out = bufio.NewReader(n), bufio.NewWriter(n)
	return n
}

// fresh reports whether the agent still holds a kept connection, and has said nothing unasked on it.
func (n *conn) fresh() bool {
	if time.Since(n.since) >= idleLimit {
		return false
	}
	kept, ok := n.Conn.(interface{ Silent() bool })
	return !ok || kept.Silent()
}

var errLongHead = moorage.Errorf(moorage.AgentFailed, "the agent's answer begins with more than %d bytes of headers", maxHead)

// Read is the reader's source: it holds the head of an answer to its limit.
func (n *conn) Read(p []byte) (int, error) {
	if n.head < 0 {
		return n.Conn.Read(p)
	}
	if n.head == 0 {
		return 0, errLongHead
	}
	if int64(len(p)) > n.head {
		p = p[:n.head]
	}
	got, err := n.Conn.Read(p)
	n.head -= int64(got)
	return got, err
}

// Write is the writer's end. It tells a connection that broke from a body that could not be read.
func (n *conn) Write(p []byte) (int, error) {
	put, err := n.Conn.Write(p)
	n.written += int64(put)
	if err != nil {
		n.broken = err
	}
	return put, err
}

// call sends a request and returns when the head of its answer is there. On failure the connection
// is closed.
func (n *conn) call(r *http.Request) (*http.Response, error) {
	stop := context.AfterFunc(r.Context(), func() { n.Close() })
	sent, err := n.send(r)
	var response *http.Response
	if err == nil {
		response, err = n.receive(r)
	}
	if err != nil {
		stop()
		n.Close()
		return nil, reason(r, err)
	}
	body := newAnswer(n, r, response)
	body.stop, body.sent = stop, sent
	if response.Body == http.NoBody {
		body.finish()
	}
	response.Body = body
	return response, nil
}

// reason is why a call failed: the caller's leaving comes first, since it closes the connection.
func reason(r *http.Request, err error) error {
	if cause := context.Cause(r.Context()); cause != nil {
		return cause
	}
	return err
}

// atHand is a body that knows how much of it a Read returns without waiting, in bytes.
type atHand interface{ Buffered() int }

// send writes the request: at once where that cannot wait for anybody, else beside the caller. The
// channel, if there is one, has how that ended.
func (n *conn) send(r *http.Request) (<-chan error, error) {
	n.written, n.broken = 0, nil
	if !inline(r) {
		sent := make(chan error, 1)
		go func() { sent <- n.write(r) }() // ends with the connection or with the body, which the caller closes
		return sent, nil
	}
	err := n.writeInOnePiece(r)
	switch {
	case err == nil:
		return nil, nil
	case n.broken == nil: // the body ended early
		return nil, err
	case n.written == 0 && n.kept:
		return nil, errClosed
	}
	done := make(chan error, 1) // the agent may have said why before it closed
	done <- err
	return done, nil
}

func inline(r *http.Request) bool {
	if r.Body == nil || r.Body == http.NoBody {
		return true
	}
	whole, ok := r.Body.(atHand)
	return ok && r.ContentLength <= maxInline && int64(whole.Buffered()) == r.ContentLength
}

// errNoAnswer is a connection that ended before the first byte of an answer.
var errNoAnswer = errors.New("no answer")

// receive reads the head of the answer, and skips those that announce another (1xx).
func (n *conn) receive(r *http.Request) (*http.Response, error) {
	n.head = maxHead
	defer func() { n.head = -1 }()
	if _, err := n.in.Peek(1); err != nil {
		return nil, &moorage.Error{
			Code: moorage.AgentFailed, Message: "the agent closed the connection without an answer",
			Err: fmt.Errorf("%w: %w", errNoAnswer, err),
		}
	}
	for {
		response, err := socket.ReadResponse(n.in, r)
		switch {
		case err != nil && n.head == 0: // what the reader makes of half a line says less
			return nil, errLongHead
		case err != nil:
			return nil, &moorage.Error{Code: moorage.AgentFailed, Message: fmt.Sprintf("the agent's answer is not HTTP: %.200s", err.Error()), Err: err}
		case response.StatusCode >= 200 || response.StatusCode == http.StatusSwitchingProtocols:
			return response, nil
		}
	}
}

// answer is the body of an answer. Read to its end it gives the connection back; closed before, it
// closes it. Close may come while Read waits.
type answer struct {
	body    io.ReadCloser
	in      *bufio.Reader   // below body; another call's once ended
	ctx     context.Context // of the call: why a Read failed
	stop    func() bool     // ends the watch over ctx
	sent    <-chan error    // how the request's writing ended; nil when it is known to have gone well
	keep    bool            // both sides leave the connection open
	chunked bool
	begun   bool // belongs to the reader, as does ended
	ended   bool

	mu   sync.Mutex
	conn *conn // nil once given back or closed
}

func newAnswer(n *conn, r *http.Request, response *http.Response) *answer {
	a := &answer{body: response.Body, in: n.in, ctx: r.Context(), conn: n, chunked: len(response.TransferEncoding) > 0}
	framed := a.chunked || response.ContentLength >= 0
	a.keep = framed && !response.Close && !r.Close && response.StatusCode != http.StatusSwitchingProtocols
	return a
}

// Read implements [io.Reader]. When the call's context ended, its cause is the error.
func (a *answer) Read(p []byte) (int, error) {
	if a.ended {
		return 0, io.EOF
	}
	a.begun = true
	n, err := a.body.Read(p)
	switch {
	case err == io.EOF:
		a.finish()
	case err != nil && context.Cause(a.ctx) != nil:
		err = context.Cause(a.ctx)
	}
	return n, err
}

// Buffered returns how many bytes are here already; 0 when Read may wait. Of a body in chunks it
// tells only whether all of it came together with the head.
func (a *answer) Buffered() int {
	if a.ended || a.chunked && a.begun {
		return 0
	}
	n := a.in.Buffered()
	if here, _ := a.in.Peek(n); a.chunked && !wholeChunks(here) {
		return 0
	}
	return n
}

// wholeChunks reports whether b is a body in chunks to its end, without trailers.
func wholeChunks(b []byte) bool {
	for {
		line, rest, _ := bytes.Cut(b, []byte("\r\n"))
		size, err := strconv.ParseUint(string(line), 16, 31)
		switch {
		case err != nil:
			return false
		case size == 0:
			return string(rest) == "\r\n"
		case len(rest) < int(size)+2:
			return false
		}
		b = rest[size+2:]
	}
}

// finish gives the connection back if it can carry another call.
func (a *answer) finish() {
	a.ended = true
	a.mu.Lock()
	defer a.mu.Unlock()
	n := a.conn
	if n == nil {
		return
	}
	a.conn = nil
	if a.stop() && a.keep && a.wasSent() && n.in.Buffered() == 0 {
		n.client.keep(n)
		return
	}
	n.Close()
}

// wasSent reports whether the whole request is written. An agent that answered before it had read all
// may never read the rest.
func (a *answer) wasSent() bool {
	if a.sent == nil {
		return true
	}
	select {
	case err := <-a.sent:
		return err == nil
	default:
		return false
	}
}

// Close implements [io.Closer]. A Read that waits returns.
func (a *answer) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.conn == nil {
		return nil
	}
	a.stop()
	err := a.conn.Close()
	a.conn = nil
	return err
}
