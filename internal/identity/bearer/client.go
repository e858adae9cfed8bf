package bearer

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// NewClient returns a client for addresses that tenants choose: whoever may deploy an agent names a
// discovery URL. It connects to public addresses only, looked at after the name was resolved, and to
// those within exceptions; it speaks TLS, but for exceptions; and it follows no redirect to another host.
func NewClient(exceptions []netip.Prefix) *http.Client {
	guard := guard(exceptions)
	dialer := &net.Dialer{Timeout: fetchLimit, Control: guard.control}
	transport := &http.Transport{
		DialContext: dialer.DialContext, TLSHandshakeTimeout: fetchLimit, ResponseHeaderTimeout: fetchLimit,
		MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true, MaxResponseHeaderBytes: 64 << 10,
	}
	return &http.Client{Transport: plainGuard{guard, transport}, CheckRedirect: sameHost, Timeout: fetchLimit}
}

// NewDialer returns a dialer with the same bounds on addresses.
func NewDialer(exceptions []netip.Prefix) *net.Dialer {
	return &net.Dialer{Timeout: fetchLimit, Control: guard(exceptions).control}
}

// guard holds the networks that are reached although they are not public.
type guard []netip.Prefix

func (g guard) allows(ip netip.Addr) bool {
	for _, p := range g {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// control looks at the address that a connection is about to be made to: a name may resolve to
// anything, and to something else than a moment ago.
func (g guard) control(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	ip := to.Addr().Unmap()
	if g.allows(ip) || isPublic(ip) {
		return nil
	}
	return fmt.Errorf("%s is not a public address; allow its network with --provider-network", ip)
}

// shared is the range of carriers' own networks (RFC 6598).
var shared = netip.MustParsePrefix("100.64.0.0/10")

func isPublic(ip netip.Addr) bool {
	return ip.IsGlobalUnicast() && !ip.IsPrivate() && !shared.Contains(ip)
}

// plainGuard refuses to fetch keys in the clear: whoever sits between could let anybody in.
type plainGuard struct {
	guard guard
	next  http.RoundTripper
}

func (p plainGuard) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		ip, err := netip.ParseAddr(strings.Replace(r.URL.Hostname(), "localhost", "127.0.0.1", 1))
		if r.URL.Scheme != "http" || err != nil || !p.guard.allows(ip.Unmap()) {
			return nil, errors.New("the address of a provider must begin with https://")
		}
	}
	return p.next.RoundTrip(r)
}

func sameHost(r *http.Request, via []*http.Request) error {
	if len(via) > 3 || r.URL.Host != via[0].URL.Host {
		return errors.New("the provider sends its callers elsewhere")
	}
	return nil
}
