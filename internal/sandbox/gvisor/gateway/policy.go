package gateway

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/moorage-dev/moorage/internal/sandbox"
)

const (
	dialTimeout = 10 * time.Second

	// learnedFor is how long an address stays dialable after it was handed out for a name: clients
	// keep answers for longer than their time to live.
	learnedFor = time.Hour
	maxLearned = 8192
)

// blocked are the ranges that no sandbox reaches but by the platform's own exception.
// Source: IANA IPv4 and IPv6 Special-Purpose Address Registries; for IPv6 also the ranges that
// carry an IPv4 address inside.
var blocked = parsePrefixes(
	"0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 " +
		"192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 " +
		"::/3 4000::/2 8000::/1 2001::/23 2001:db8::/32 2002::/16 3fff::/20")

func parsePrefixes(list string) (out []netip.Prefix) {
	for s := range strings.FieldsSeq(list) {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// isPublic reports whether an address belongs to the internet at large, and not to the host.
func isPublic(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsValid() || a.Zone() != "" || slices.ContainsFunc(blocked, func(p netip.Prefix) bool { return p.Contains(a) }) {
		return false
	}
	return !isOwn(a)
}

// isOwn reports whether an address is one of the host's interfaces'.
func isOwn(a netip.Addr) bool {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return true // when in doubt, it is
	}
	return slices.ContainsFunc(addrs, func(i net.Addr) bool {
		p, err := netip.ParsePrefix(i.String())
		return err == nil && p.Addr().Unmap() == a
	})
}

// policy decides what a sandbox may reach.
type policy struct {
	public   bool
	hosts    []sandbox.HostRule // with listed: the only public hosts
	listed   bool
	allow    []sandbox.HostRule // the platform's exceptions
	resolver *net.Resolver

	ctx  context.Context // of lookups and dials; over when the gateway closes
	stop context.CancelFunc

	mu      sync.Mutex
	learned map[learnedKey]time.Time // until when
}

// learnedKey is an address that was handed out for a name.
type learnedKey struct {
	addr netip.Addr // as the sandbox sees it
	name string
}

func newPolicy(n sandbox.Network) (*policy, error) {
	p := &policy{
		public:   n.Egress == sandbox.EgressPublic,
		listed:   len(n.Hosts) > 0,
		resolver: &net.Resolver{PreferGo: true},
		learned:  map[learnedKey]time.Time{},
	}
	var err error
	if p.hosts, err = parseRules(n.Hosts); err != nil {
		return nil, err
	}
	if p.allow, err = parseRules(n.Allow); err != nil {
		return nil, err
	}
	p.ctx, p.stop = context.WithCancel(context.Background())
	return p, nil
}

func parseRules(entries []string) (rules []sandbox.HostRule, err error) {
	for _, s := range entries {
		r, err := sandbox.ParseHostRule(s)
		if err != nil {
			return nil, err
		}
		rules = append(rules, r)
	}
	return rules, nil
}

func (p *policy) close() { p.stop() }

// resolves reports whether the sandbox may ask for a name.
func (p *policy) resolves(name string) bool {
	if p.public && !p.listed {
		return true
	}
	return anyNames(p.allow, name) || p.public && anyNames(p.hosts, name)
}

func anyNames(rules []sandbox.HostRule, name string) bool {
	return slices.ContainsFunc(rules, func(r sandbox.HostRule) bool { return r.MatchesName(name) })
}

// answers filters what a name resolved to, and remembers what the sandbox is told. An address of
// the host's own loopback is told as the gateway's.
func (p *policy) answers(name string, found []netip.Addr, now time.Time) (told []netip.Addr) {
	excepted := anyNames(p.allow, name)
	for _, a := range found {
		a = a.Unmap()
		switch {
		case !a.Is4():
			continue
		case excepted && a.IsLoopback():
			a = Addr
		case !excepted && !isPublic(a) && !p.allowsAddr(a):
			continue
		}
		told = append(told, a)
		p.learn(learnedKey{a, name}, now)
	}
	return told
}

func (p *policy) allowsAddr(a netip.Addr) bool {
	return slices.ContainsFunc(p.allow, func(r sandbox.HostRule) bool { return r.MatchesAddr(a) })
}

func (p *policy) learn(k learnedKey, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.learned) >= maxLearned {
		p.forgetSome()
	}
	p.learned[k] = now.Add(learnedFor)
}

// forgetSome makes room by dropping a quarter, whichever: a sandbox that asked for so many names
// asks again.
func (p *policy) forgetSome() {
	for k := range p.learned {
		delete(p.learned, k)
		if len(p.learned) <= maxLearned*3/4 {
			return
		}
	}
}

// knows reports whether an address was handed out for a name that one of the rules permits with the port.
func (p *policy) knows(rules []sandbox.HostRule, to netip.AddrPort, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, until := range p.learned {
		if k.addr != to.Addr() || until.Before(now) {
			continue
		}
		for _, r := range rules {
			if r.MatchesPort(to.Port()) && r.MatchesName(k.name) {
				return true
			}
		}
	}
	return false
}

// target returns the address to dial for one that the sandbox dialled, and whether it may.
func (p *policy) target(to netip.AddrPort, now time.Time) (netip.AddrPort, bool) {
	excepted := p.knows(p.allow, to, now) || slices.ContainsFunc(p.allow, func(r sandbox.HostRule) bool {
		return r.MatchesPort(to.Port()) && r.MatchesAddr(to.Addr())
	})
	if to.Addr() == Addr {
		loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
		named := slices.ContainsFunc(p.allow, func(r sandbox.HostRule) bool {
			return r.MatchesPort(to.Port()) && r.MatchesAddr(loopback)
		})
		return netip.AddrPortFrom(loopback, to.Port()), excepted || named
	}
	if excepted {
		return to, true
	}
	if !p.public || !isPublic(to.Addr()) {
		return to, false
	}
	return to, !p.listed || p.knows(p.hosts, to, now) || slices.ContainsFunc(p.hosts, func(r sandbox.HostRule) bool {
		return r.MatchesPort(to.Port()) && r.MatchesAddr(to.Addr())
	})
}

// dial opens the outer half of a connection. What is dialled is checked once more as the kernel
// will see it: rules are about addresses, and nothing between may have changed it.
func (p *policy) dial(network string, to netip.AddrPort) (net.Conn, error) {
	target, ok := p.target(to, time.Now())
	if !ok {
		return nil, syscall.ECONNREFUSED
	}
	dialer := net.Dialer{Timeout: dialTimeout, Control: func(_, address string, _ syscall.RawConn) error {
		if address != target.String() {
			return syscall.ECONNREFUSED
		}
		return nil
	}}
	return dialer.DialContext(p.ctx, network, target.String())
}
