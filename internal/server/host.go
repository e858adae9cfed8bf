package server

import (
	"bytes"
	"io"
	"net"
	"slices"
)

// hostOnce is a listener for clients that send their Host header twice: the WebSocket client of the
// AgentCore Python SDK signs one and has its library send another. AWS lets that pass; net/http
// refuses it before any handler could.
type hostOnce struct{ net.Listener }

func (l hostOnce) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &hostOnceConn{Conn: c}, nil
}

// hostOnceConn looks at the first request of a connection, which for a WebSocket is the only one.
type hostOnceConn struct {
	net.Conn
	passing bool   // the first request's head was looked at
	head    []byte // of it, as far as it has come, and then what is still to be read
}

// maxHead is how much of a request's head is looked at, in bytes: more than a handshake has.
const maxHead = 16 << 10

func (c *hostOnceConn) Read(p []byte) (int, error) {
	for !c.passing {
		if err := c.readHead(p); err != nil {
			return 0, err
		}
	}
	if len(c.head) > 0 {
		n := copy(p, c.head)
		c.head = c.head[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// CloseWrite says that the answer is at its end, while the rest of the request may still come: net/http
// refuses long heads so, and the refusal would be lost otherwise.
func (c *hostOnceConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// readHead reads some more of the head, with p as its buffer. What cannot be a handshake passes at once.
func (c *hostOnceConn) readHead(p []byte) error {
	n, err := c.Conn.Read(p)
	c.head = append(c.head, p[:n]...)
	end := bytes.Index(c.head, []byte("\r\n\r\n"))
	switch {
	case err != nil && len(c.head) == 0:
		return err
	case !bytes.HasPrefix([]byte("GET /runtimes/"), c.head[:min(len(c.head), len("GET /runtimes/"))]), err != nil, end < 0 && len(c.head) >= maxHead:
		c.passing = true
	case end >= 0:
		c.head = slices.Concat(withoutRepeatedHost(c.head[:end]), c.head[end:])
		c.passing = true
	}
	return nil
}

// withoutRepeatedHost drops Host lines that say what the first one said. Different ones stay, and are refused.
func withoutRepeatedHost(head []byte) []byte {
	lines := bytes.Split(head, []byte("\r\n"))
	var first []byte
	return bytes.Join(slices.DeleteFunc(lines, func(line []byte) bool {
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || !bytes.EqualFold(name, []byte("host")) {
			return false
		}
		value = bytes.TrimSpace(value)
		if first == nil {
			first = value
			return false
		}
		return bytes.Equal(first, value)
	}), []byte("\r\n"))
}

// ReadFrom lets files leave as fast as they do without us.
func (c *hostOnceConn) ReadFrom(r io.Reader) (int64, error) { return io.Copy(c.Conn, r) }
