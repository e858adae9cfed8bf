package gateway

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/moorage-dev/moorage/internal/sandbox/door"
	"golang.org/x/net/dns/dnsmessage"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
)

const (
	dnsPort    = 53
	dnsTimeout = 10 * time.Second
	dnsIdle    = 10 * time.Second
	answerTTL  = 30 // seconds; the host's resolver does not tell the true one
	maxQuery   = 4096
	maxRecords = 32 // fits into the least UDP message, with the longest name
)

// serveDNSPackets answers queries of one source port until it is quiet.
func (g *Gateway) serveDNSPackets(conn *gonet.UDPConn) {
	buf := make([]byte, maxQuery)
	for {
		conn.SetReadDeadline(time.Now().Add(dnsIdle))
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		query := append([]byte(nil), buf[:n]...)
		// A resolver asks for A and AAAA at once from one port: neither waits for the other.
		g.query(func() {
			if reply := g.answer(query); reply != nil {
				conn.WriteTo(reply, from)
			}
		})
	}
}

// query runs f unless too many queries are open; the sandbox asks again by itself.
func (g *Gateway) query(f func()) {
	if !take(g.queries) {
		return
	}
	if !g.serve(func() { defer func() { <-g.queries }(); f() }) {
		<-g.queries
	}
}

// serveDNSStream answers queries over TCP, one after another.
func (g *Gateway) serveDNSStream(conn *gonet.TCPConn) {
	for {
		conn.SetDeadline(time.Now().Add(dnsIdle))
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, query); err != nil {
			return
		}
		reply := g.answer(query)
		if reply == nil {
			return
		}
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)); err != nil {
			return
		}
	}
}

// answer makes the reply to a query, or nil for what is not one.
func (g *Gateway) answer(query []byte) []byte {
	var parser dnsmessage.Parser
	head, err := parser.Start(query)
	if err != nil || head.Response {
		return nil
	}
	reply := dnsmessage.Header{ID: head.ID, Response: true, OpCode: head.OpCode, RecursionDesired: head.RecursionDesired, RecursionAvailable: true}
	q, err := parser.Question()
	switch {
	case err != nil:
		reply.RCode = dnsmessage.RCodeFormatError
		return pack(reply, nil, nil)
	case head.OpCode != 0 || q.Class != dnsmessage.ClassINET:
		reply.RCode = dnsmessage.RCodeNotImplemented
		return pack(reply, &q, nil)
	}
	addrs, code := g.resolve(q)
	reply.RCode = code
	return pack(reply, &q, addrs)
}

// resolve tells a name that leads to the broker apart from all others.
func (g *Gateway) resolve(q dnsmessage.Question) ([]netip.Addr, dnsmessage.RCode) {
	name := strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))
	if !g.isBrokered(name) {
		return g.policy.resolve(q)
	}
	if q.Type != dnsmessage.TypeA {
		return nil, dnsmessage.RCodeSuccess
	}
	return []netip.Addr{door.Broker}, dnsmessage.RCodeSuccess
}

// resolve looks a name up for the sandbox. Names it may not ask for do not exist, for it.
func (p *policy) resolve(q dnsmessage.Question) ([]netip.Addr, dnsmessage.RCode) {
	name := strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))
	if name == "" || !p.resolves(name) {
		return nil, dnsmessage.RCodeNameError
	}
	if q.Type != dnsmessage.TypeA {
		return nil, dnsmessage.RCodeSuccess // nothing of this type: clients go on with A
	}
	ctx, cancel := context.WithTimeout(p.ctx, dnsTimeout)
	defer cancel()
	found, err := p.resolver.LookupNetIP(ctx, "ip4", name+".") // the dot: none of the host's search domains
	if err != nil {
		var dnsErr *net.DNSError
		if errors.As(err, &dnsErr) && dnsErr.IsNotFound {
			return nil, dnsmessage.RCodeNameError
		}
		return nil, dnsmessage.RCodeServerFailure
	}
	told := p.answers(name, found, time.Now())
	return told[:min(len(told), maxRecords)], dnsmessage.RCodeSuccess
}

func pack(head dnsmessage.Header, q *dnsmessage.Question, addrs []netip.Addr) []byte {
	msg := dnsmessage.Message{Header: head}
	if q != nil {
		msg.Questions = []dnsmessage.Question{*q}
	}
	for _, a := range addrs {
		msg.Answers = append(msg.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET, TTL: answerTTL},
			Body:   &dnsmessage.AResource{A: a.As4()},
		})
	}
	b, err := msg.Pack()
	if err != nil {
		return nil
	}
	return b
}
