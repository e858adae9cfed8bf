package gateway

import (
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	flowIdle   = time.Minute // a flow ends after this long without a packet either way
	maxPayload = 65507
)

// forwardUDP serves the first packet of a flow. It is called on the link's own goroutine and must
// not wait.
func (g *Gateway) forwardUDP(r *udp.ForwarderRequest) bool {
	id := r.ID()
	to := netip.AddrPortFrom(addrOf(id.LocalAddress), id.LocalPort)
	if to.Addr() == SandboxAddr || to.Addr().IsMulticast() || to.Addr() == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return true // dropped: nobody to tell
	}
	dns := to == netip.AddrPortFrom(Addr, dnsPort)
	if !dns {
		if _, ok := g.policy.target(to, time.Now()); !ok {
			return false // the stack answers with "port unreachable"
		}
	}
	if !dns && g.platform.held() || !take(g.flows) {
		return true
	}
	var queue waiter.Queue
	endpoint, err := r.CreateEndpoint(&queue)
	if err != nil {
		<-g.flows
		return true
	}
	inner := gonet.NewUDPConn(&queue, endpoint)
	ok := g.hold(inner) && g.serve(func() {
		defer func() { <-g.flows }()
		defer g.release(inner)
		if dns {
			g.serveDNSPackets(inner)
		} else {
			g.relay(inner, to)
		}
	})
	if !ok {
		g.release(inner)
		<-g.flows
	}
	return true
}

// relay carries a flow until it is idle.
func (g *Gateway) relay(inner net.Conn, to netip.AddrPort) {
	outer, err := g.policy.dial("udp", to)
	if err != nil || !g.hold(outer) {
		return
	}
	defer g.release(outer)
	last := new(atomic.Int64)
	last.Store(time.Now().UnixNano())
	back := make(chan struct{})
	go func() {
		defer close(back)
		relayPackets(inner, outer, &g.outward.received, last)
		inner.Close()
	}()
	relayPackets(outer, inner, &g.outward.sent, last)
	outer.Close()
	<-back
}

// relayPackets copies packets until a read fails or neither direction had one for flowIdle.
func relayPackets(dst, src net.Conn, count, last *atomic.Int64) {
	buf := make([]byte, maxPayload)
	for {
		src.SetReadDeadline(time.Unix(0, last.Load()).Add(flowIdle))
		n, err := src.Read(buf)
		if err != nil {
			if timeout, ok := err.(net.Error); ok && timeout.Timeout() && time.Since(time.Unix(0, last.Load())) < flowIdle {
				continue // the other direction was alive meanwhile
			}
			return
		}
		last.Store(time.Now().UnixNano())
		if _, err := dst.Write(buf[:n]); err == nil {
			count.Add(int64(n))
		}
	}
}
