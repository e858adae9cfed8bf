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
func (s *Service) WebSocket(w http.ResponseWriter, r *http.Request, call Call) error {
	if !upgrades(r) {
		return moorage.Errorf(moorage.Invalid, "this address takes WebSocket connections only: send Connection: Upgrade and Upgrade: websocket")
	}
	conn, err := s.open(r.Context(), call.Address)
	if err != nil {
		return err
	}
	defer conn.lease.Release()
	ctx, cancel := conn.context(context.WithoutCancel(r.Context()))
	defer cancel(nil)
	ctx, stop := context.WithTimeout(ctx, streamTimeout)
	defer stop()

	agent, answer, err := conn.upgrade(ctx, r, call)
	if err != nil {
		return err
	}
	defer agent.Close()
	caller, err := accept(w, answer, conn.sessionID)
	if err != nil {
		return err
	}
	defer caller.Close()
	relay(ctx, caller, agent)
	return nil
}

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

// upgrade shakes hands with the agent.
func (c *connection) upgrade(ctx context.Context, r *http.Request, call Call) (*wire, *http.Response, error) {
	raw, err := c.lease.Agent.Dial(ctx)
	if err != nil {
		return nil, nil, c.broken(ctx, err)
	}
	request, err := http.NewRequestWithContext(ctx, "GET", "http://agent/ws", nil)
	if err != nil {
		return nil, nil, err
	}
	request.Header = c.headers(call.Header)
	request.Header.Set(HeaderRequest, call.RequestID)
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", "websocket")
	for _, name := range handshakeHeaders {
		for _, v := range r.Header.Values(name) {
			request.Header.Add(name, v)
		}
	}
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

// accept passes the agent's handshake on to the caller.
func accept(w http.ResponseWriter, answer *http.Response, sessionID string) (*wire, error) {
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
func relay(ctx context.Context, caller, agent *wire) {
	ended := make(chan error, 2)
	var both sync.WaitGroup
	both.Go(func() { ended <- copyFrames(agent, caller, framesInSecond) })
	both.Go(func() { ended <- copyFrames(caller, agent, 0) })
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		err = &closeError{1001, "the session ended"}
	}
	var reason *closeError
	if !errors.As(err, &reason) && !errors.Is(err, errClosed) {
		reason = &closeError{1011, "the other side went away"}
	}
	if reason != nil {
		caller.sendClose(reason)
		agent.sendClose(reason)
	}
	if errors.Is(err, errClosed) { // one side said goodbye: the other may answer
		select {
		case <-ended:
		case <-time.After(time.Second):
		}
	}
	caller.Close()
	agent.Close()
	both.Wait()
}

// errClosed ends a direction after its close frame was passed on.
var errClosed = errors.New("closed")

const opClose = 8

// copyFrames relays frames from one wire to the other, unopened. perSecond bounds their rate; 0 does not.
func copyFrames(to, from *wire, perSecond int) error {
	var second time.Time
	count := 0
	for {
		header, size, err := readFrameHeader(from.in)
		if err != nil {
			return err
		}
		if size > maxFrame {
			return &closeError{1009, fmt.Sprintf("a frame has at most %d bytes", maxFrame)}
		}
		if now := time.Now(); now.Sub(second) > time.Second {
			second, count = now, 0
		}
		if count++; perSecond > 0 && count > perSecond {
			return &closeError{1008, fmt.Sprintf("at most %d frames a second", perSecond)}
		}
		if err := to.passFrame(header, from.in, int64(size)); err != nil {
			return err
		}
		if header[0]&0x0f == opClose {
			return errClosed
		}
	}
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
	payload = append(payload, reason.text[:min(len(reason.text), 120)]...)
	frame := []byte{0x80 | opClose, byte(len(payload))}
	if w.masks {
		frame[1] |= 0x80
		frame = append(frame, 0, 0, 0, 0) // a key of zeros leaves the payload as it is
	}
	w.SetWriteDeadline(time.Now().Add(time.Second))
	w.Write(append(frame, payload...))
}
