package gateway

import (
	"io"
	"net"
	"net/netip"
	"sync/atomic"

	"github.com/moorage-dev/moorage/internal/sandbox/door"
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
	if serve := g.platform.Serve[to.Port()]; serve != nil && to.Addr() == door.Addr {
		g.answerHere(r, serve)
		return
	}
	if g.platform.held() {
		select {
		case <-g.platform.Held:
		case <-g.policy.ctx.Done():
		}
	}
	if door.Leads(to) && g.platform.Dial != nil {
		g.connect(r, g.visits, new(traffic), func() (stream, error) { return g.platform.Dial(g.policy.ctx, to.Port()) })
		return
	}
	if to.Addr() == door.Broker && g.platform.DialBroker != nil {
		g.connect(r, g.conns, &g.outward, func() (stream, error) { return g.platform.DialBroker(g.policy.ctx, to.Port()) })
		return
	}
	g.connect(r, g.conns, &g.outward, func() (stream, error) {
		c, err := g.policy.dial("tcp", to)
		if err != nil {
			return nil, err
		}
		return c.(*net.TCPConn), nil
	})
}

// answerHere serves a connection in this process.
func (g *Gateway) answerHere(r *tcp.ForwarderRequest, serve func(net.Conn)) {
	if !take(g.visits) {
		r.Complete(true)
		return
	}
	accepted := g.acceptTCP(r, func(inner *gonet.TCPConn) {
		defer func() { <-g.visits }()
		serve(inner)
	})
	if !accepted {
		<-g.visits
	}
}

// connect carries a connection to where dial leads, in one of the places.
func (g *Gateway) connect(r *tcp.ForwarderRequest, places chan struct{}, count *traffic, dial func() (stream, error)) {
	if !take(places) {
		r.Complete(true)
		return
	}
	outer, err := dial()
	if err != nil || !g.hold(outer) {
		<-places
		r.Complete(true) // a reset: the sandbox sees a refused connection at once
		return
	}
	accepted := g.acceptTCP(r, func(inner *gonet.TCPConn) {
		defer func() { <-places }()
		defer g.release(outer)
		splice(inner, outer, count)
	})
	if !accepted {
		g.release(outer)
		<-places
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

// stream is a connection of which each direction ends on its own.
type stream interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// traffic counts payload, not headers.
type traffic struct{ sent, received atomic.Int64 }

// splice copies both ways until both are done.
func splice(inner, outer stream, count *traffic) {
	back := make(chan struct{})
	go func() {
		defer close(back)
		pipe(inner, outer, &count.received)
	}()
	pipe(outer, inner, &count.sent)
	<-back
}

// pipe copies one direction and passes its end on. When the copy fails, the other direction is of
// no use either: both ends are told.
func pipe(dst, src stream, count *atomic.Int64) {
	_, err := io.Copy(counted{dst, count}, src)
	dst.CloseWrite()
	if err != nil {
		src.CloseWrite()
		src.Close()
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
