// Package door is the way from inside a sandbox to the server.
//
// A connection that a sandbox opens to one of [Addrs] ends in its gateway, in the shim, which dials
// the server's socket and says for which sandbox and to which port. So the server knows who asks by
// where the connection comes from, and nothing that is said on it can claim to be another sandbox:
//
//	agent ──169.254.169.254:80──▶ gateway ──DIR/guest.sock: sandbox, port──▶ server
//
// Both ends are processes of one user; others are refused. A server that is away refuses the
// connection, and so does the gateway then, at once.
package door

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox/peer"
)

// The platform's addresses inside every sandbox that has a door.
var (
	Addr        = netip.MustParseAddr("169.254.169.254") // where AWS's clients look for a machine's metadata
	Credentials = netip.MustParseAddr("169.254.170.2")   // where they look for a container's credentials
)

// Broker is where names lead whose calls the server makes in the sandbox's stead, with credentials that the
// sandbox does not have. Every port of it leads to the server.
var Broker = netip.MustParseAddr("169.254.170.3")

// The ports of Addr. Credentials has the first of them only.
const (
	Metadata = 80
	OTLPGRPC = 4317
	OTLPHTTP = 4318
	AWS      = 9400
)

// Leads reports whether an address is one of the platform's.
func Leads(to netip.AddrPort) bool {
	switch to.Port() {
	case Metadata:
		return to.Addr() == Addr || to.Addr() == Credentials
	case OTLPGRPC, OTLPHTTP, AWS:
		return to.Addr() == Addr
	}
	return false
}

// A connection begins with version, port (2 bytes, big endian), the length of the sandbox's id, and the id.
const (
	version  = 1 // of a connection to Addr or Credentials
	brokered = 2 // one to Broker
	question = 3 // the gateway's own: a name, to which the server answers 1 where it leads to Broker
	headSize = 4

	// patience is how long a connection may take to say where it comes from: the gateway says so at once.
	patience = 5 * time.Second
)

// Dial connects a sandbox to the server whose socket is at path.
func Dial(ctx context.Context, path, sandbox string, port uint16) (*net.UnixConn, error) {
	return dial(ctx, version, path, sandbox, port)
}

// DialBroker connects a sandbox to the server's broker.
func DialBroker(ctx context.Context, path, sandbox string, port uint16) (*net.UnixConn, error) {
	return dial(ctx, brokered, path, sandbox, port)
}

// Ask asks the server, on a gateway's behalf, whether a name leads to Broker. A server that is away answers no.
func Ask(ctx context.Context, path, sandbox, name string) bool {
	c, err := dial(ctx, question, path, sandbox, 0)
	if err != nil || len(name) > 255 {
		return false
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write(append([]byte{byte(len(name))}, name...)); err != nil {
		return false
	}
	var answer [1]byte
	_, err = io.ReadFull(c, answer[:])
	return err == nil && answer[0] == 1
}

// Answer reads the name that a question is about and answers it.
func (c *Conn) Answer(leads func(name string) bool) error {
	c.SetDeadline(time.Now().Add(patience))
	var size [1]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return err
	}
	name := make([]byte, size[0])
	if _, err := io.ReadFull(c, name); err != nil {
		return err
	}
	answer := byte(0)
	if leads(string(name)) {
		answer = 1
	}
	_, err := c.Write([]byte{answer})
	return err
}

func dial(ctx context.Context, kind byte, path, sandbox string, port uint16) (*net.UnixConn, error) {
	if len(sandbox) > 255 {
		return nil, moorage.Errorf(moorage.Invalid, "the sandbox id %q is too long", sandbox)
	}
	c, err := peer.Dial(ctx, path)
	if err != nil {
		return nil, err
	}
	head := append([]byte{kind, byte(port >> 8), byte(port), byte(len(sandbox))}, sandbox...)
	if _, err := c.Write(head); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Conn is a connection that came from inside a sandbox.
type Conn struct {
	*net.UnixConn
	Sandbox  string // id
	Port     uint16 // that the sandbox dialled
	Brokered bool   // to Broker
	Question bool   // of the gateway, see Answer
}

// Listener is the server's end: a net.Listener whose connections are all of type *Conn.
type Listener struct {
	socket *peer.Listener
	log    *slog.Logger
	conns  chan *Conn
	closed chan struct{}
	once   sync.Once
	work   sync.WaitGroup
}

// Listen opens the socket at path. One server at a time may do so: it holds a lock on the directory.
func Listen(path string, log *slog.Logger) (*Listener, error) {
	socket, err := peer.Listen(path)
	if err != nil {
		return nil, err
	}
	l := &Listener{socket: socket, log: log, conns: make(chan *Conn), closed: make(chan struct{})}
	l.work.Go(l.accept)
	return l, nil
}

func (l *Listener) accept() {
	for {
		c, err := l.socket.AcceptUnix()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // out of descriptors, say: it passes
			l.log.Error("accept a connection from a sandbox", "err", err)
			select {
			case <-l.closed:
			case <-time.After(10 * time.Millisecond):
			}
		default:
			l.work.Go(func() { l.admit(c) })
		}
	}
}

// admit learns where a connection comes from, and hands it to Accept.
func (l *Listener) admit(raw *net.UnixConn) {
	stop := make(chan struct{})
	defer close(stop)
	l.work.Go(func() { // Close does not wait for a slow one
		select {
		case <-l.closed:
			raw.SetReadDeadline(time.Unix(1, 0))
		case <-stop:
		}
	})
	c, err := greet(raw)
	if err != nil {
		l.log.Warn("a connection to the door was refused", "err", err)
		raw.Close()
		return
	}
	select {
	case l.conns <- c:
	case <-l.closed:
		raw.Close()
	}
}

// greet reads the head of a connection.
func greet(raw *net.UnixConn) (*Conn, error) {
	if err := peer.Check(raw); err != nil {
		return nil, err
	}
	raw.SetReadDeadline(time.Now().Add(patience))
	var head [headSize]byte
	if _, err := io.ReadFull(raw, head[:]); err != nil {
		return nil, err
	}
	if head[0] < version || head[0] > question {
		return nil, moorage.Errorf(moorage.Unsupported, "version %d of the door is not known here", head[0])
	}
	id := make([]byte, head[3])
	if _, err := io.ReadFull(raw, id); err != nil {
		return nil, err
	}
	c := &Conn{UnixConn: raw, Sandbox: string(id), Port: uint16(head[1])<<8 | uint16(head[2]), Brokered: head[0] == brokered, Question: head[0] == question}
	return c, raw.SetReadDeadline(time.Time{})
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return l.socket.Addr() }

// Close stops listening; connections that were accepted stay. It may be called twice.
func (l *Listener) Close() (err error) {
	l.once.Do(func() {
		close(l.closed)
		err = l.socket.Close()
		l.work.Wait()
	})
	return err
}
