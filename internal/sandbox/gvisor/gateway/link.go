package gateway

import (
	"context"
	"net"
	"os"
	"sync"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// queueLength is how many packets may wait for the sandbox to take them; more are lost, as on any link.
const queueLength = 4096

// maxFrame is the longest frame of a link, in bytes.
const maxFrame = MTU + header.EthernetMinimumSize

// link carries Ethernet frames between a stack and a packet socket, one per read and write.
//
// gVisor has an endpoint for descriptors of its own, which engines use. It holds a thread per link
// and never closes two of its descriptors: nothing for a process that outlives ten thousand links.
type link struct {
	conn    net.Conn
	packets *channel.Endpoint
	stop    context.CancelFunc
	done    sync.WaitGroup
}

func newLink(socket *os.File, mac tcpip.LinkAddress) (*link, error) {
	conn, err := net.FileConn(socket)
	if err != nil {
		return nil, err
	}
	l := &link{conn: conn, packets: channel.New(queueLength, maxFrame, mac)}
	// Frames cross memory only: neither side need sum them up.
	l.packets.LinkEPCapabilities = stack.CapabilityRXChecksumOffload | stack.CapabilityTXChecksumOffload
	return l, nil
}

// endpoint is what a stack attaches to.
func (l *link) endpoint() stack.LinkEndpoint { return ethernet.New(l.packets) }

// start begins to carry frames. The stack must have the endpoint by now.
func (l *link) start() {
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	l.done.Go(l.receive)
	l.done.Go(func() { l.transmit(ctx) })
}

func (l *link) receive() {
	frame := make([]byte, maxFrame+1)
	for {
		n, err := l.conn.Read(frame)
		if err != nil || n == 0 {
			return // the engine is gone
		}
		if n > maxFrame {
			continue // no engine of ours sends such a frame, and the rest of it is lost
		}
		pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame[:n])})
		l.packets.InjectInbound(tcpip.NetworkProtocolNumber(0), pkt)
		pkt.DecRef()
	}
}

func (l *link) transmit(ctx context.Context) {
	for {
		pkt := l.packets.ReadContext(ctx)
		if pkt == nil {
			return
		}
		view := pkt.ToView()
		_, err := l.conn.Write(view.AsSlice())
		view.Release()
		pkt.DecRef()
		if err != nil {
			return
		}
	}
}

// close stops carrying frames and waits for the goroutines.
func (l *link) close() error {
	if l.stop != nil {
		l.stop()
	}
	err := l.conn.Close()
	l.done.Wait()
	return err
}
