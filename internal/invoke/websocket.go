package invoke

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/telemetry"
)

// Limits of a WebSocket. Source: AgentCore quotas.
const (
	maxFrame       = 64 << 10 // bytes of payload
	framesInSecond = 250
	handshakeLimit = 30 * time.Second
)

// WebSocket relays one connection between the caller and the agent's /ws. The error is for the
// caller as long as nothing was written to w, which is until the agent accepted the upgrade; after
// that the connection is closed with a code and WebSocket returns nil.
func (s *Service) WebSocket(w http.ResponseWriter, r *http.Request, call Call) (err error) {
	if !upgrades(r) {
		return errNoUpgrade
	}
	conn, err := s.open(r.Context(), "InvokeAgentRuntimeWithWebSocketStream", call)
	if err != nil {
		return err
	}
	defer func() { conn.release(err) }()
	agent, answer, err := conn.upgrade(r, call)
	if err != nil {
		return err
	}
	defer agent.Close()
	caller, err := accept(w, answer, conn.sessionID, call.Subprotocol)
	if err != nil {
		return err
	}
	defer caller.Close()
	conn.lease.Passive() // from here on it is messages that keep the session, not the open connection
	ctx, stop := context.WithTimeoutCause(conn.lease.Ended, streamTimeout, errSocketTooLong)
	defer stop()
	conn.relay(ctx, caller, agent)
	return nil
}

var errNoUpgrade = moorage.Errorf(moorage.Invalid, "this address takes WebSocket connections only: send Connection: Upgrade and Upgrade: websocket")

var errSocketTooLong = moorage.Errorf(moorage.AgentFailed, "the connection reached its maximum of %s", streamTimeout)

func upgrades(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket") && strings.Contains(strings.ToLower(r.Header.Get("Connection")), "upgrade")
}

// wire is one end of the relay: a connection whose reads may begin with buffered bytes.
type wire struct {
	net.Conn
	in     *bufio.Reader
	masks  bool // frames that we send here must be masked: the agent sees us as a client
	output sync.Mutex
}

var handshakeHeaders = []string{"Sec-Websocket-Key", "Sec-Websocket-Version", "Sec-Websocket-Protocol", "Sec-Websocket-Extensions"}

// upgrade shakes hands with the agent, for as long as caller and session are there.
func (c *connection) upgrade(r *http.Request, call Call) (*wire, *http.Response, error) {
	ctx, cancel := c.context(r.Context())
	defer cancel(nil)
	request, err := c.handshake(ctx, r, call)
	if err != nil {
		return nil, nil, err
	}
	raw, err := c.lease.Agent.Dial(ctx)
	if err != nil {
		return nil, nil, c.broken(ctx, err)
	}
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	raw.SetDeadline(time.Now().Add(handshakeLimit))
	in := bufio.NewReader(raw)
	err = request.Write(raw)
	var answer *http.Response
	if err == nil {
		answer, err = http.ReadResponse(in, request)
	}
	switch {
	case err != nil:
		err = c.broken(ctx, err)
	case answer.StatusCode != http.StatusSwitchingProtocols:
		err = c.agentError(answer.StatusCode)
	default:
		raw.SetDeadline(time.Time{})
		return &wire{Conn: raw, in: in, masks: true}, answer, nil
	}
	raw.Close()
	return nil, nil, err
}

// handshake is the request for the upgrade, as the agent gets it.
func (c *connection) handshake(ctx context.Context, r *http.Request, call Call) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, "GET", "http://agent/ws", nil)
	if err != nil {
		return nil, err
	}
	if request.Header, err = c.headers(ctx, call); err != nil {
		return nil, err
	}
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", "websocket")
	for _, name := range handshakeHeaders {
		for _, v := range r.Header.Values(name) {
			request.Header.Add(name, v)
		}
	}
	return request, nil
}

// accept passes the agent's handshake on to the caller.
func accept(w http.ResponseWriter, answer *http.Response, sessionID, subprotocol string) (*wire, error) {
	raw, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, moorage.Errorf(moorage.Invalid, "WebSocket needs HTTP/1.1: %w", err)
	}
	raw.SetDeadline(time.Time{})
	h := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}
	for _, name := range []string{"Sec-Websocket-Accept", "Sec-Websocket-Protocol", "Sec-Websocket-Extensions"} {
		if v := answer.Header.Get(name); v != "" {
			h.Set(name, v)
		}
	}
	if subprotocol != "" {
		h.Set("Sec-Websocket-Protocol", subprotocol)
	}
	h.Set(HeaderSession, sessionID)
	fmt.Fprint(raw, "HTTP/1.1 101 Switching Protocols\r\n")
	err = h.Write(raw)
	if _, e := raw.Write([]byte("\r\n")); err == nil {
		err = e
	}
	return &wire{Conn: raw, in: buffered.Reader}, err
}

// closeError is a reason to end a WebSocket, with its close code (RFC 6455 §7.4).
type closeError struct {
	code uint16
	text string
}

func (e *closeError) Error() string { return e.text }

// relay copies frames both ways until one side closes, ctx ends, or a limit is broken.
func (c *connection) relay(ctx context.Context, caller, agent *wire) {
	asked, answered := make(chan error, 1), make(chan error, 1)
	var both sync.WaitGroup
	c.count(telemetry.SocketsOpen, "Count", 1)
	both.Go(func() { asked <- copyFrames(agent, caller, framesInSecond, c.frame(telemetry.SocketBytesIn)) })
	both.Go(func() { answered <- copyFrames(caller, agent, 0, c.frame(telemetry.SocketBytesOut)) })
	var reason *closeError
	select {
	case err := <-asked:
		reason = closing(err, &closeError{1001, "the caller went away"})
	case err := <-answered:
		if reason = closing(err, agentLost); reason == agentLost {
			reason = c.lostAgent(ctx)
		}
	case <-ctx.Done():
		reason = &closeError{1001, context.Cause(ctx).Error()}
	}
	if reason != nil {
		caller.sendClose(reason)
		agent.sendClose(reason)
	}
	// The other side may still say goodbye. Closing a connection with bytes unread would also take
	// back the close frame that was just sent on it.
	caller.SetDeadline(time.Now().Add(goodbye))
	agent.SetDeadline(time.Now().Add(goodbye))
	both.Wait()
	if reason != nil {
		io.Copy(io.Discard, caller.in)
	}
	caller.Close()
	agent.Close()
}

// frame says what happens for each frame of a direction: it keeps the session, and is counted.
func (c *connection) frame(series string) func(size uint64) {
	return func(size uint64) {
		c.lease.Touch()
		c.count(series, "Bytes", float64(size))
	}
}

func (c *connection) count(series, unit string, value float64) {
	c.span.Count(series, unit, value)
}

// goodbye is how long the sides have to close after one of them did.
const goodbye = time.Second

var agentLost = &closeError{1011, "the agent closed the connection without a close frame"}

// lostAgent tells a session that ended from an agent that dropped the connection.
func (c *connection) lostAgent(ctx context.Context) *closeError {
	if cause := c.lease.Failure(ctx); cause != nil {
		return &closeError{1001, cause.Error()}
	}
	return agentLost
}

// closing is the reason to give when a direction ended with err: its own, lost for a connection that
// broke, and nil when a close frame went through.
func closing(err error, lost *closeError) *closeError {
	var reason *closeError
	if errors.Is(err, errClosed) || errors.As(err, &reason) {
		return reason
	}
	return lost
}

// errClosed ends a direction after its close frame was passed on.
var errClosed = errors.New("closed")

const opClose = 8

// copyFrames relays frames from one wire to the other, unopened, telling touch of each and its size. perSecond
// bounds their rate; 0 does not.
func copyFrames(to, from *wire, perSecond int, touch func(size uint64)) error {
	rate := frameRate{perSecond: perSecond}
	for {
		header, size, err := readFrameHeader(from.in)
		if err != nil {
			return err
		}
		touch(size)
		if size > maxFrame {
			return &closeError{1009, fmt.Sprintf("a frame has at most %d bytes", maxFrame)}
		}
		if err := rate.count(time.Now()); err != nil {
			return err
		}
		if err := to.passFrame(header, from.in, int64(size)); err != nil {
			return err
		}
		if header[0]&0x0f == opClose {
			return errClosed
		}
	}
}

// frameRate bounds how many frames come in a second; 0 does not.
type frameRate struct {
	perSecond int
	second    time.Time
	n         int
}

// count counts a frame that came now.
func (r *frameRate) count(now time.Time) error {
	if now.Sub(r.second) > time.Second {
		r.second, r.n = now, 0
	}
	if r.n++; r.perSecond > 0 && r.n > r.perSecond {
		return &closeError{1008, fmt.Sprintf("at most %d frames a second", r.perSecond)}
	}
	return nil
}

func (w *wire) passFrame(header []byte, payload io.Reader, size int64) error {
	w.output.Lock()
	defer w.output.Unlock()
	if _, err := w.Write(header); err != nil {
		return err
	}
	_, err := io.CopyN(w, payload, size)
	return err
}

// readFrameHeader reads a frame up to its payload (RFC 6455 §5.2), masking key included.
func readFrameHeader(in *bufio.Reader) (header []byte, size uint64, err error) {
	header = make([]byte, 2, 14)
	if _, err := io.ReadFull(in, header); err != nil {
		return nil, 0, err
	}
	size = uint64(header[1] & 0x7f)
	more := 0
	switch size {
	case 126:
		more = 2
	case 127:
		more = 8
	}
	length := more
	if header[1]&0x80 != 0 {
		more += 4
	}
	header = header[:2+more]
	if _, err := io.ReadFull(in, header[2:]); err != nil {
		return nil, 0, err
	}
	switch length {
	case 2:
		size = uint64(binary.BigEndian.Uint16(header[2:]))
	case 8:
		size = binary.BigEndian.Uint64(header[2:])
	}
	return header, size, nil
}

// sendClose ends the conversation with a code; errors do not matter any more.
func (w *wire) sendClose(reason *closeError) {
	if !w.output.TryLock() {
		return // a frame is being written: there is no place for another
	}
	defer w.output.Unlock()
	payload := binary.BigEndian.AppendUint16(nil, reason.code)
	text, _, _ := strings.Cut(reason.text, "\n")
	payload = append(payload, strings.ToValidUTF8(text[:min(len(text), 120)], "")...)
	frame := []byte{0x80 | opClose, byte(len(payload))}
	if w.masks {
		frame[1] |= 0x80
		frame = append(frame, 0, 0, 0, 0) // a key of zeros leaves the payload as it is
	}
	w.SetWriteDeadline(time.Now().Add(time.Second))
	w.Write(append(frame, payload...))
}
