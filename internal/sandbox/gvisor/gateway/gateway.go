// Package gateway is the far end of a sandbox's network link: a router, resolver and firewall in
// user space, one per sandbox.
//
//	sandbox 10.0.2.100 ──frames over a socket pair──▶ gateway 10.0.2.2 ──sockets of this process──▶ outside
//
// The sandbox has no route but this one. The gateway ends every TCP connection and UDP flow itself
// and opens its own to the outside, if the sandbox's [sandbox.Network] permits the address. Private
// ranges, link-local addresses, the host's own and other sandboxes are refused after names were
// resolved, at the moment of dialling, so that no name can point at them.
//
// It resolves names for the sandbox at 10.0.2.2:53 through the host's resolver, and answers A
// records only. With a list of hosts, only names on it are resolved, and only addresses that were
// handed out for such a name are dialled.
//
// What the sandbox sends to the platform's own addresses, see package door, goes to the server, or is
// answered in this process. It is neither counted nor bounded with what goes outward.
//
// Names of hosts for which the server has credentials lead to its broker, at door.Broker, which calls them.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"

	"github.com/moorage-dev/moorage/internal/sandbox"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// The network of every sandbox; each has one of its own, so that all can look alike.
var (
	Subnet      = netip.MustParsePrefix("10.0.2.0/24")
	Addr        = netip.MustParseAddr("10.0.2.2")
	SandboxAddr = netip.MustParseAddr("10.0.2.100")
)

const (
	// MTU is what an Ethernet has: agents and servers outside meet no surprise.
	MTU = 1500

	SandboxMAC = "\x02\x00\x00\x00\x01\x00"
	gatewayMAC = "\x02\x00\x00\x00\x00\x02"

	nic = 1

	// Bounds of one sandbox. What is over them is refused, as by a full host.
	maxConns = 1024
	maxFlows = 256
	maxDNS   = 64
	maxDoor  = 64

	linkBuffer = 4 << 20
)

// Gateway serves one sandbox until it is closed.
type Gateway struct {
	stack  *stack.Stack
	link   *link
	policy *policy

	outward  traffic
	conns    chan struct{} // one element per open TCP connection
	flows    chan struct{}
	queries  chan struct{}
	platform Platform
	visits   chan struct{} // connections to the platform
	names    brokered

	mu     sync.Mutex
	open   map[io.Closer]struct{} // nil once closed
	served sync.WaitGroup
}

// Wanted reports whether a network needs a gateway at all.
func Wanted(n sandbox.Network) bool {
	return n.Egress == sandbox.EgressPublic || len(n.Allow) > 0 || n.Door != ""
}

// Platform is what answers at the platform's own addresses. The zero value refuses.
type Platform struct {
	// Dial connects to the server. Its error is a refused connection inside.
	Dial func(ctx context.Context, port uint16) (*net.UnixConn, error)
	// DialBroker connects to the server's broker, and Brokered says which names lead there. Both may be nil.
	DialBroker func(ctx context.Context, port uint16) (*net.UnixConn, error)
	Brokered   func(ctx context.Context, name string) bool
	// Serve answers ports of door.Addr in this process, and goes before Dial. The connection is closed
	// when it returns; it must return when the connection fails.
	Serve map[uint16]func(net.Conn)
	// Held, unless nil, keeps all other connections waiting, and datagrams outward from being sent, until
	// it is closed. Names are resolved meanwhile.
	Held <-chan struct{}
}

// held reports whether the sandbox may send nothing outward yet.
func (p Platform) held() bool {
	if p.Held == nil {
		return false
	}
	select {
	case <-p.Held:
		return false
	default:
		return true
	}
}

// Open starts a gateway. The link is the sandbox's end; the caller closes its copy once the engine
// has one.
func Open(n sandbox.Network, p Platform) (g *Gateway, link *os.File, err error) {
	rules, err := newPolicy(n)
	if err != nil {
		return nil, nil, err
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, nil, err
	}
	defer ours.Close()
	l, err := newLink(ours, gatewayMAC)
	if err != nil {
		return nil, nil, errors.Join(err, theirs.Close())
	}
	g = &Gateway{
		link: l, policy: rules, platform: p, names: brokered{asked: map[string]verdict{}}, open: map[io.Closer]struct{}{},
		conns: make(chan struct{}, maxConns), flows: make(chan struct{}, maxFlows), queries: make(chan struct{}, maxDNS),
		visits: make(chan struct{}, maxDoor),
	}
	if err := g.start(); err != nil {
		return nil, nil, errors.Join(err, l.close(), theirs.Close())
	}
	return g, theirs, nil
}

// socketPair makes the two ends of a link: a packet per message, in order, none lost on the way.
func socketPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	for _, fd := range fds {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, linkBuffer) != nil {
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, linkBuffer) // as much as an ordinary user gets
		}
	}
	return os.NewFile(uintptr(fds[0]), "gateway's end of a link"), os.NewFile(uintptr(fds[1]), "sandbox's end of a link"), nil
}

func (g *Gateway) start() error {
	g.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol},
	})
	if err := g.configure(g.link.endpoint()); err != nil {
		g.stack.Destroy()
		return fmt.Errorf("set up the gateway: %s", err)
	}
	g.link.start()
	return nil
}

// configure makes the stack answer for every address, so that all connections end here.
func (g *Gateway) configure(endpoint stack.LinkEndpoint) tcpip.Error {
	sack, autotune := tcpip.TCPSACKEnabled(true), tcpip.TCPModerateReceiveBufferOption(true)
	g.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &sack)
	g.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &autotune)
	// A connection that the other side ended would wait for a minute for what is late on the link, where nothing is; the engine's stack
	// takes no other from the same port meanwhile, whose caller would try for as long.
	var wait tcpip.TCPTimeWaitTimeoutOption
	g.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &wait)
	g.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, tcp.NewForwarder(g.stack, 0, maxConns, g.forwardTCP).HandlePacket)
	g.stack.SetTransportProtocolHandler(udp.ProtocolNumber, udp.NewForwarder(g.stack, g.forwardUDP).HandlePacket)
	if err := g.stack.CreateNIC(nic, endpoint); err != nil {
		return err
	}
	own := tcpip.ProtocolAddress{
		Protocol:          ipv4.ProtocolNumber,
		AddressWithPrefix: tcpip.AddrFrom4(Addr.As4()).WithPrefix(),
	}
	if err := g.stack.AddProtocolAddress(nic, own, stack.AddressProperties{}); err != nil {
		return err
	}
	g.stack.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nic}})
	if err := g.stack.SetPromiscuousMode(nic, true); err != nil {
		return err
	}
	return g.stack.SetSpoofing(nic, true)
}

// Sent is how many bytes the sandbox sent outward: payload, not headers.
func (g *Gateway) Sent() int64 { return g.outward.sent.Load() }

// Received is how many bytes came back.
func (g *Gateway) Received() int64 { return g.outward.received.Load() }

// Connections is how many TCP connections outward are open. Those to the platform are not outward.
func (g *Gateway) Connections() int { return len(g.conns) }

// Close cuts every connection and waits for their goroutines. It may be called twice.
func (g *Gateway) Close() error {
	g.mu.Lock()
	open := g.open
	g.open = nil
	g.mu.Unlock()
	if open == nil {
		return nil
	}
	for c := range open {
		c.Close()
	}
	g.policy.close()
	g.stack.Destroy()
	g.served.Wait()
	return g.link.close()
}

// hold registers something that Close must close. It reports false, and closes it, when Close has
// been already.
func (g *Gateway) hold(c io.Closer) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open == nil {
		c.Close()
		return false
	}
	g.open[c] = struct{}{}
	return true
}

func (g *Gateway) release(c io.Closer) {
	c.Close()
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.open, c)
}

// serve runs f so that Close waits for it. It reports false when Close has been already.
func (g *Gateway) serve(f func()) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open == nil {
		return false
	}
	g.served.Go(f)
	return true
}

// take reserves a place under a bound without waiting.
func take(places chan struct{}) bool {
	select {
	case places <- struct{}{}:
		return true
	default:
		return false
	}
}

func addrOf(a tcpip.Address) netip.Addr {
	addr, _ := netip.AddrFromSlice(a.AsSlice())
	return addr.Unmap()
}
