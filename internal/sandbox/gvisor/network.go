package gvisor

import (
	"context"
	"fmt"
	"net"
	"os"

	"github.com/moorage-dev/moorage/internal/sandbox/door"
	"github.com/moorage-dev/moorage/internal/sandbox/gvisor/gateway"
	"github.com/moorage-dev/moorage/internal/sandbox/reseed"
	"gvisor.dev/gvisor/pkg/urpc"
	"gvisor.dev/gvisor/runsc/boot"
	"gvisor.dev/gvisor/runsc/config"
)

// loopbackOnly is the network of a sandbox that may reach nothing.
func loopbackOnly() *boot.CreateLinksAndRoutesArgs {
	return &boot.CreateLinksAndRoutesArgs{LoopbackLinks: []boot.LoopbackLink{boot.DefaultLoopbackLink}}
}

// throughGateway is a network with one interface, whose frames go to the given end of a socket pair.
//
// Segmentation offload stays off: gVisor's engine panics when it resumes a connection that had it.
func throughGateway(link *os.File) *boot.CreateLinksAndRoutesArgs {
	ipv4 := func(p [4]byte) net.IP { return net.IP(p[:]) }
	args := loopbackOnly()
	args.FilePayload = urpc.FilePayload{Files: []*os.File{link}}
	args.FDBasedLinks = []boot.FDBasedLink{{
		Name:                 "eth0",
		InterfaceIndex:       2,
		MTU:                  gateway.MTU,
		NumChannels:          1,
		ProcessorsPerChannel: 1,
		QDisc:                config.QDiscFIFO,
		LinkAddress:          net.HardwareAddr(gateway.SandboxMAC),
		RXChecksumOffload:    true,
		TXChecksumOffload:    true,
		Addresses:            []boot.IPWithPrefix{{Address: ipv4(gateway.SandboxAddr.As4()), PrefixLen: gateway.Subnet.Bits()}},
		Routes:               []boot.Route{{Destination: net.IPNet{IP: ipv4(gateway.Subnet.Addr().As4()), Mask: net.CIDRMask(gateway.Subnet.Bits(), 32)}}},
	}}
	args.Defaultv4Gateway = boot.DefaultRoute{Name: "eth0", Route: boot.Route{
		Destination: net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
		Gateway:     ipv4(gateway.Addr.As4()),
	}}
	return args
}

// withNetwork calls f with the network that the sandbox shall have, its gateway open.
func (b *box) withNetwork(f func(*boot.CreateLinksAndRoutesArgs) error) error {
	if !gateway.Wanted(b.spec.Network) && !b.spec.Reseeder {
		return f(loopbackOnly())
	}
	g, link, err := gateway.Open(b.spec.Network, b.platform())
	if err != nil {
		return err
	}
	defer link.Close()
	b.gateway = g
	b.later(g.Close)
	return f(throughGateway(link))
}

// platform is what answers the sandbox at the platform's own addresses.
func (b *box) platform() (p gateway.Platform) {
	if path, id := b.spec.Network.Door, b.info.ID; path != "" {
		p.DialBroker = func(ctx context.Context, port uint16) (*net.UnixConn, error) {
			return door.DialBroker(ctx, path, id, port)
		}
		p.Brokered = func(ctx context.Context, name string) bool { return door.Ask(ctx, path, id, name) }
		p.Dial = func(ctx context.Context, port uint16) (*net.UnixConn, error) { return door.Dial(ctx, path, id, port) }
	}
	if b.spec.Reseeder {
		p.Serve = map[uint16]func(net.Conn){reseed.Port: b.desk.Serve}
		p.Held = b.held
	}
	return p
}

// startAgent sets the engine's network and starts the agent.
func (b *box) startAgent(args *boot.CreateLinksAndRoutesArgs) error {
	conn, err := b.control()
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.Call(boot.ContMgrSetNetworkArgs, args, nil); err != nil {
		return fmt.Errorf("set the sandbox's network: %w", err)
	}
	return conn.Call(boot.ContMgrRootContainerStart, &b.container.ID, nil)
}
