package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/door"
	"golang.org/x/net/dns/dnsmessage"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

const patience = 10 * time.Second

// inside is a network stack at the sandbox's end of a link: the one that the engine has, on a link
// that can be taken from it. The engine's own kind of link locks up now and then when its stack ends
// while frames come, and an engine ends with its process.
type inside struct{ stack *stack.Stack }

func open(t *testing.T, n sandbox.Network) (*Gateway, inside) {
	t.Helper()
	return openWith(t, n, Platform{})
}

func openWith(t *testing.T, n sandbox.Network, p Platform) (*Gateway, inside) {
	t.Helper()
	g, link, err := Open(n, p)
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	l, err := newLink(link, SandboxMAC)
	if err != nil {
		t.Fatal(err)
	}
	in := inside{newStack(t, l.endpoint())}
	l.start()
	t.Cleanup(func() {
		in.stack.Destroy()
		if err := errors.Join(l.close(), g.Close()); err != nil {
			t.Error(err)
		}
	})
	return g, in
}

func newStack(t *testing.T, link stack.LinkEndpoint) *stack.Stack {
	t.Helper()
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol},
	})
	if err := s.CreateNIC(1, link); err != nil {
		t.Fatal(err)
	}
	address := tcpip.AddressWithPrefix{Address: tcpip.AddrFrom4(SandboxAddr.As4()), PrefixLen: Subnet.Bits()}
	s.AddProtocolAddress(1, tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: address}, stack.AddressProperties{})
	s.SetRouteTable([]tcpip.Route{
		{Destination: address.Subnet(), NIC: 1},
		{Destination: header.IPv4EmptySubnet, Gateway: tcpip.AddrFrom4(Addr.As4()), NIC: 1},
	})
	return s
}

func full(to netip.AddrPort) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: 1, Addr: tcpip.AddrFrom4(to.Addr().As4()), Port: to.Port()}
}

func (in inside) dial(t *testing.T, to string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return gonet.DialContextTCP(ctx, in.stack, full(netip.MustParseAddrPort(to)), ipv4.ProtocolNumber)
}

func (in inside) udp(t *testing.T, to string) net.Conn {
	t.Helper()
	remote := full(netip.MustParseAddrPort(to))
	c, err := gonet.DialUDP(in.stack, nil, &remote, ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// serveTCP runs a server of the outside on the host's loopback.
func serveTCP(t *testing.T, serve func(*net.TCPConn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c.(*net.TCPConn))
			}()
		}
	}()
	return l.Addr().String()
}

func TestPlatform_answersAtItsOwnAddressesOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "guest.sock")
	l, err := door.Listen(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			from := c.(*door.Conn)
			fmt.Fprintf(c, "server: %s on %d", from.Sandbox, from.Port)
			c.Close()
		}
	}()
	g, in := openWith(t, sandbox.Network{Door: path}, Platform{
		Dial: func(ctx context.Context, port uint16) (*net.UnixConn, error) {
			return door.Dial(ctx, path, "one", port)
		},
		Serve: map[uint16]func(net.Conn){9999: func(c net.Conn) { io.WriteString(c, "gateway") }},
	})
	for to, want := range map[string]string{
		"169.254.169.254:80":   "server: one on 80",
		"169.254.169.254:4318": "server: one on 4318",
		"169.254.170.2:80":     "server: one on 80",
		"169.254.169.254:9999": "gateway",
		"169.254.169.254:22":   "",
		"169.254.170.2:9999":   "",
		"169.254.170.2:4318":   "",
		"169.254.169.253:80":   "",
		"8.8.8.8:80":           "",
	} {
		c, err := in.dial(t, to)
		if (err == nil) != (want != "") {
			t.Errorf("%s: %v", to, err)
		}
		if err != nil {
			continue
		}
		c.SetDeadline(time.Now().Add(patience))
		if b, err := io.ReadAll(c); err != nil || string(b) != want {
			t.Errorf("%s said %q, %v; want %q", to, b, err, want)
		}
		c.Close()
	}
	if g.Sent() != 0 || g.Received() != 0 || g.Connections() != 0 {
		t.Errorf("the platform counts as outside: %d sent, %d received, %d connections", g.Sent(), g.Received(), g.Connections())
	}
	l.Close()
	if c, err := in.dial(t, "169.254.169.254:80"); err == nil {
		c.Close()
		t.Error("a server that is away answers")
	}
}

func port(address string) string {
	_, p, _ := net.SplitHostPort(address)
	return p
}

func TestTCP_carriesBothWaysAndEachEndByItself(t *testing.T) {
	server := serveTCP(t, func(c *net.TCPConn) {
		b, _ := io.ReadAll(c) // until the sandbox is done writing
		c.Write(bytes.ToUpper(b))
	})
	g, in := open(t, sandbox.Network{Allow: []string{server}})
	c, err := in.dial(t, Addr.String()+":"+port(server))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	sent := strings.Repeat("payload ", 200_000)
	go func() {
		io.WriteString(c, sent)
		c.(*gonet.TCPConn).CloseWrite()
	}()
	b, err := io.ReadAll(c)
	if err != nil || string(b) != strings.ToUpper(sent) {
		t.Fatalf("%d bytes came back, %v", len(b), err)
	}
	if g.Sent() != int64(len(sent)) || g.Received() != int64(len(sent)) {
		t.Errorf("%d sent and %d received of %d", g.Sent(), g.Received(), len(sent))
	}
}

// TestTCP_aPortIsGoodAgainAtOnce has a server end a connection, and its caller dial again from the same port.
func TestTCP_aPortIsGoodAgainAtOnce(t *testing.T) {
	server := serveTCP(t, func(c *net.TCPConn) { io.WriteString(c, "once") })
	_, in := open(t, sandbox.Network{Allow: []string{server}})
	for i := range 3 {
		c, err := in.dialFrom(t, 41_000, Addr.String()+":"+port(server))
		if err != nil {
			t.Fatalf("call %d: %v", i+1, err)
		}
		c.SetDeadline(time.Now().Add(patience))
		if b, err := io.ReadAll(c); err != nil || string(b) != "once" {
			t.Fatalf("call %d: %q, %v", i+1, b, err)
		}
		c.Close()
	}
}

// dialFrom dials from a port, once what used it in the sandbox is gone.
func (in inside) dialFrom(t *testing.T, port uint16, to string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for {
		c, err := gonet.DialTCPWithBind(ctx, in.stack, full(netip.AddrPortFrom(SandboxAddr, port)), full(netip.MustParseAddrPort(to)), ipv4.ProtocolNumber)
		if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), "port is in use") {
			return c, err
		}
		<-again.C
	}
}

func TestTCP_refusesAtOnceWhatIsNotAllowed(t *testing.T) {
	server := serveTCP(t, func(*net.TCPConn) { t.Error("the host's loopback was reached") })
	_, in := open(t, sandbox.Network{Egress: sandbox.EgressPublic})
	own, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	targets := []string{"169.254.169.254:80", "10.0.2.2:" + port(server), "10.0.2.101:80", "192.168.0.1:80", "100.64.0.1:80"}
	for _, a := range own {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
			targets = append(targets, p.Addr().String()+":22")
		}
	}
	for _, to := range targets {
		began := time.Now()
		if c, err := in.dial(t, to); err == nil {
			c.Close()
			t.Errorf("%s was reached", to)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("%s took %v to refuse", to, took)
		}
	}
}

func TestClose_cutsOpenConnections(t *testing.T) {
	server := serveTCP(t, func(c *net.TCPConn) { io.Copy(io.Discard, c) })
	g, in := open(t, sandbox.Network{Allow: []string{server}})
	c, err := in.dial(t, Addr.String()+":"+port(server))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	done := make(chan error, 1)
	go func() { done <- g.Close() }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("Close hangs")
	}
}

func TestUDP_carriesFlowsThatAreAllowed(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		b := make([]byte, 100)
		for {
			n, from, err := server.ReadFrom(b)
			if err != nil {
				return
			}
			server.WriteTo(bytes.ToUpper(b[:n]), from)
		}
	}()
	_, in := open(t, sandbox.Network{Allow: []string{server.LocalAddr().String()}})
	c := in.udp(t, Addr.String()+":"+port(server.LocalAddr().String()))
	c.SetDeadline(time.Now().Add(patience))
	for range 3 {
		io.WriteString(c, "packet")
		b := make([]byte, 100)
		n, err := c.Read(b)
		if err != nil || string(b[:n]) != "PACKET" {
			t.Fatalf("%q, %v", b[:n], err)
		}
	}
	refused := in.udp(t, "192.168.0.1:9")
	refused.SetDeadline(time.Now().Add(200 * time.Millisecond))
	io.WriteString(refused, "packet")
	if n, err := refused.Read(make([]byte, 100)); err == nil {
		t.Errorf("%d bytes came from a private address", n)
	}
}

// names runs the host's resolver, as the gateway sees it.
func names(t *testing.T, g *Gateway, zone map[string][]string) {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := server.ReadFrom(b)
			if err != nil {
				return
			}
			if reply := zoneReply(b[:n], zone); reply != nil {
				server.WriteTo(reply, from)
			}
		}
	}()
	g.policy.resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}

func zoneReply(query []byte, zone map[string][]string) []byte {
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	addrs, ok := zone[strings.TrimSuffix(q.Name.String(), ".")]
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	if !ok {
		m.RCode = dnsmessage.RCodeNameError
	}
	for _, a := range addrs {
		m.Answers = append(m.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET, TTL: 5},
			Body:   &dnsmessage.AResource{A: netip.MustParseAddr(a).As4()},
		})
	}
	b, _ := m.Pack()
	return b
}

// lookup asks the gateway from inside.
func (in inside) lookup(t *testing.T, network, name string) (string, error) {
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		to := netip.AddrPortFrom(Addr, 53)
		if network == "tcp" {
			return gonet.DialContextTCP(ctx, in.stack, full(to), ipv4.ProtocolNumber)
		}
		remote := full(to)
		return gonet.DialUDP(in.stack, nil, &remote, ipv4.ProtocolNumber)
	}}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	addrs, err := r.LookupHost(ctx, name+".")
	return strings.Join(addrs, " "), err
}

func TestDNS_answersByThePolicy(t *testing.T) {
	zone := map[string][]string{
		"public.test": {"8.8.8.8", "8.8.4.4"}, "listed.test": {"8.8.8.8"}, "inner.test": {"10.0.0.1"},
		"mixed.test": {"10.0.0.1", "8.8.8.8"}, "index.test": {"127.0.0.1"}, "company.test": {"192.168.7.7"},
	}
	public := sandbox.Network{Egress: sandbox.EgressPublic, Allow: []string{"index.test:80", "company.test:80"}}
	listed := sandbox.Network{Egress: sandbox.EgressPublic, Hosts: []string{"listed.test:443"}}
	for _, c := range []struct {
		network    sandbox.Network
		name, want string // empty: no such host
	}{
		{public, "public.test", "8.8.4.4 8.8.8.8"},
		{public, "inner.test", ""},
		{public, "mixed.test", "8.8.8.8"},
		{public, "absent.test", ""},
		{public, "index.test", "10.0.2.2"},
		{public, "company.test", "192.168.7.7"},
		{listed, "listed.test", "8.8.8.8"},
		{listed, "public.test", ""},
		{sandbox.Network{Allow: []string{"index.test:80"}}, "public.test", ""},
	} {
		g, in := open(t, c.network)
		names(t, g, zone)
		for _, network := range []string{"udp", "tcp"} {
			got, err := in.lookup(t, network, c.name)
			sorted := got
			if got == "8.8.8.8 8.8.4.4" {
				sorted = "8.8.4.4 8.8.8.8"
			}
			if sorted != c.want || (err == nil) != (c.want != "") {
				t.Errorf("%s over %s is %q, %v; want %q", c.name, network, got, err, c.want)
			}
		}
	}
}

func TestDNS_aNameOfTheHostsLoopbackIsReachedThroughTheGateway(t *testing.T) {
	server := serveTCP(t, func(c *net.TCPConn) { io.WriteString(c, "index") })
	g, in := open(t, sandbox.Network{Allow: []string{"index.test:" + port(server)}})
	names(t, g, map[string][]string{"index.test": {"127.0.0.1"}})
	address, err := in.lookup(t, "udp", "index.test")
	if err != nil {
		t.Fatal(err)
	}
	c, err := in.dial(t, address+":"+port(server))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if b, err := io.ReadAll(c); string(b) != "index" {
		t.Errorf("%q, %v", b, err)
	}
}
