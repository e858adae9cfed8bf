package gateway

import (
	"io"
	"net"
	"net/netip"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// forwardTCP serves one connection attempt of the sandbox. The forwarder calls it on a goroutine
// of its own, which ends when the outer half is decided.
func (g *Gateway) forwardTCP(r *tcp.ForwarderRequest) {
	id := r.ID()
	to := netip.AddrPortFrom(addrOf(id.LocalAddress), id.LocalPort)
	if to == netip.AddrPortFrom(Addr, dnsPort) {
		g.acceptTCP(r, g.serveDNSStream)
		return
	}
	if !take(g.conns) {
		r.Complete(true)
		return
	}
	outer, err := g.policy.dial("tcp", to)
	if err != nil || !g.hold(outer) {
		<-g.conns
		r.Complete(true) // a reset: the sandbox sees a refused connection at once
		return
	}
	accepted := g.acceptTCP(r, func(inner *gonet.TCPConn) {
		defer func() { <-g.conns }()
		defer g.release(outer)
		g.splice(inner, outer.(*net.TCPConn))
	})
	if !accepted {
		g.release(outer)
		<-g.conns
	}
}

// acceptTCP completes the handshake with the sandbox and serves the connection on a goroutine.
func (g *Gateway) acceptTCP(r *tcp.ForwarderRequest, serve func(*gonet.TCPConn)) bool {
	var queue waiter.Queue
	endpoint, err := r.CreateEndpoint(&queue)
	if err != nil {
		r.Complete(true)
		return false
	}
	r.Complete(false)
	endpoint.SocketOptions().SetKeepAlive(true)
	inner := gonet.NewTCPConn(&queue, endpoint)
	if !g.hold(inner) {
		return false
	}
	ok := g.serve(func() {
		defer g.release(inner)
		serve(inner)
	})
	if !ok {
		g.release(inner)
	}
	return ok
}

// halfCloser is a stream of which each direction ends on its own.
type halfCloser interface {
	io.ReadWriter
	CloseWrite() error
}

// splice copies both ways until both are done.
func (g *Gateway) splice(inner, outer halfCloser) {
	back := make(chan struct{})
	go func() {
		defer close(back)
		pipe(inner, outer, &g.received)
	}()
	pipe(outer, inner, &g.sent)
	<-back
}

// pipe copies one direction and passes its end on. When the copy fails, the other direction is of
// no use either: both ends are told.
func pipe(dst, src halfCloser, count *atomic.Int64) {
	_, err := io.Copy(counted{dst, count}, src)
	dst.CloseWrite()
	if err != nil {
		src.CloseWrite()
		if c, ok := src.(io.Closer); ok {
			c.Close()
		}
	}
}

type counted struct {
	w     io.Writer
	count *atomic.Int64
}

func (c counted) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.count.Add(int64(n))
	return n, err
}
