package image

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"syscall"

	"github.com/moorage-dev/moorage"
)

// reach is how far requests of a pull may go. A containerUri is anybody's who may deploy, and where a
// registry sends on to is the registry's word alone, so addresses are checked when they are dialled:
// whatever a name resolved to.
//
// The registry that a reference names may be in a private network, as companies' are. What it sends on
// to must be at the same host, or public. Loopback is refused, unless the operator allows registries
// there, and link-local addresses always are: there clouds keep credentials.
type reach struct {
	named, elsewhere *http.Transport
	proxied          *http.Transport // for requests that this machine's settings give to a proxy, whose rules hold then
}

// newReach keeps connections of each kind apart: one that was dialled to a named registry must not
// serve a request that was sent on.
func newReach(loopback bool, dial net.Dialer) reach {
	return reach{
		named:     dialling(dial, func(a netip.Addr) error { return mayBeNamed(a, loopback) }),
		elsewhere: dialling(dial, mayBeSentTo),
		proxied:   dialling(dial, func(netip.Addr) error { return nil }),
	}
}

func dialling(dial net.Dialer, allowed func(netip.Addr) error) *http.Transport {
	dial.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		return allowed(at.Addr().Unmap())
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = dial.DialContext
	t.TLSHandshakeTimeout = dial.Timeout
	return t
}

// toward chooses the transport for a request of a pull from the given registry.
func (r reach) toward(registry string, req *http.Request) http.RoundTripper {
	if proxy, err := http.ProxyFromEnvironment(req); proxy != nil && err == nil {
		return r.proxied
	}
	if named := (&url.URL{Host: registry}); named.Hostname() == req.URL.Hostname() {
		return r.named
	}
	return r.elsewhere
}

func mayBeNamed(a netip.Addr, loopback bool) error {
	switch {
	case a.IsLoopback() && loopback:
		return nil
	case a.IsLoopback() || a.IsUnspecified():
		return moorage.Errorf(moorage.Denied, "images are not pulled from this machine's own loopback: push to this server's registry, or start it with --local-registries")
	case a.IsLinkLocalUnicast() || a.IsMulticast() || a == metadataIPv6:
		return moorage.Errorf(moorage.Denied, "images are not pulled from link-local addresses")
	}
	return nil
}

// metadataIPv6 is where AWS keeps an instance's credentials, besides link-local 169.254.169.254.
var metadataIPv6 = netip.MustParseAddr("fd00:ec2::254")

// reserved are ranges that are neither private nor public. Source: IANA's special-purpose registries.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"), // may stand for IPv4 addresses
}

func mayBeSentTo(a netip.Addr) error {
	inside := func(p netip.Prefix) bool { return p.Contains(a) }
	if a.IsGlobalUnicast() && !a.IsPrivate() && !slices.ContainsFunc(reserved, inside) {
		return nil
	}
	return moorage.Errorf(moorage.Denied, "the registry sends on to a host that is neither itself nor public, which is not followed")
}

// isNetwork tells a registry that could not be asked from one that answered nonsense.
func isNetwork(err error) bool {
	var network net.Error // of net/http's client too
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// withoutAddresses says what was wrong with a connection, and not where: callers learn nothing of the
// networks that this machine is in.
func withoutAddresses(err error) string {
	var name *net.DNSError
	var op *net.OpError
	var request *url.Error
	switch {
	case errors.As(err, &name):
		return "its name does not resolve"
	case errors.As(err, &op):
		return op.Err.Error()
	case errors.As(err, &request):
		return request.Err.Error()
	}
	return err.Error()
}
