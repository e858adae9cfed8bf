package bearer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/moorage-dev/moorage"
)

// Endpoints are the private endpoints of a server by their ids: what its operator says stands here for the resource
// configurations and VPCs that authorizers name. Whoever deploys an agent picks one by its id, and gets no further than that.
type Endpoints map[string]Endpoint

// Endpoint is where a private endpoint is. TLS is spoken with it in the name of the host that is asked for, whatever is dialled.
type Endpoint struct {
	Address  string         // of a resource configuration: HOST or HOST:PORT
	Networks []netip.Prefix // of a VPC: where the addresses are that names have
	Roots    *x509.CertPool // who signs for what is there; nil for this machine's authorities
}

var (
	resourceID = regexp.MustCompile(`^rcfg-[0-9a-z]{17}$`)
	vpcID      = regexp.MustCompile(`^vpc-(?:[0-9a-z]{8}|[0-9a-z]{17})$`)
)

// ParseEndpoints reads places, each rcfg-…=HOST[:PORT] or vpc-…=NETWORK, of which a VPC may have several, and authorities, each
// ID=FILE with certificates in PEM. Errors: Invalid, which names the option at fault.
func ParseEndpoints(places, authorities []string) (Endpoints, error) {
	all := Endpoints{}
	for _, text := range places {
		if err := all.place(text); err != nil {
			return nil, err
		}
	}
	for _, text := range authorities {
		id, file, ok := strings.Cut(text, "=")
		e, there := all[idOf(id)]
		if !ok || !there {
			return nil, moorage.Errorf(moorage.Invalid, "--private-endpoint-ca %q is not ID=FILE with the id of a --private-endpoint", text)
		}
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, moorage.Errorf(moorage.Invalid, "--private-endpoint-ca %q: %v", text, err)
		}
		if e.Roots == nil {
			e.Roots = x509.NewCertPool()
		}
		if !e.Roots.AppendCertsFromPEM(pem) {
			return nil, moorage.Errorf(moorage.Invalid, "--private-endpoint-ca %q: there is no certificate in that file; it has to be PEM", text)
		}
		all[idOf(id)] = e
	}
	return all, nil
}

// idOf accepts the ARN of a resource configuration for its id.
func idOf(text string) string { return text[strings.LastIndexByte(text, '/')+1:] }

func (all Endpoints) place(text string) error {
	name, place, _ := strings.Cut(text, "=")
	id := idOf(name)
	e, again := all[id]
	switch {
	case resourceID.MatchString(id) && again:
		return moorage.Errorf(moorage.Invalid, "--private-endpoint is given twice for %s", id)
	case resourceID.MatchString(id):
		if !isPlace(place) {
			return moorage.Errorf(moorage.Invalid, "--private-endpoint %q: the place of a resource configuration is HOST or HOST:PORT, such as 10.0.0.7:8443", text)
		}
		e.Address = place
	case vpcID.MatchString(id):
		network, err := netip.ParsePrefix(place)
		if err != nil {
			return moorage.Errorf(moorage.Invalid, "--private-endpoint %q: the place of a VPC is a network, such as 10.0.0.0/16", text)
		}
		e.Networks = append(e.Networks, network.Masked())
	default:
		return moorage.Errorf(moorage.Invalid, "--private-endpoint %q is neither rcfg-…=ADDRESS, with 17 lower-case letters and digits, nor vpc-…=NETWORK, with 8 or 17", text)
	}
	all[id] = e
	return nil
}

func isPlace(text string) bool {
	u, err := url.Parse("//" + text)
	if ip, bad := netip.ParseAddr(text); bad == nil && ip.Is6() { // without brackets, and so without a port
		return true
	}
	return err == nil && u.Host == text && u.Hostname() != "" && u.User == nil && !strings.HasSuffix(text, ":")
}

// Way is how a provider off the public network is reached: the host of URL by Private, others by Overrides. Without Private all
// are public.
type Way struct {
	URL       string
	Private   *moorage.PrivateEndpoint
	Overrides []moorage.PrivateOverride
	// Certificate is of an authority beside the endpoints' own; Read reads it, for each connection anew, so that it can be replaced.
	Certificate *moorage.CertificateRef
	Read        ReadCertificate
}

// ReadCertificate reads what a reference names. Errors: Invalid for what is not there, or another account's.
type ReadCertificate func(ref moorage.CertificateRef) (pem []byte, err error)

// Client returns base with the private endpoints of a way for their hosts; to others it goes as ever. It keeps connections.
func (all Endpoints) Client(base *http.Client, w Way) (*http.Client, error) {
	if w.Private == nil {
		return base, nil
	}
	u, err := url.Parse(w.URL)
	if err != nil {
		return nil, err
	}
	ways := ways{rest: base.Transport, byHost: map[string]http.RoundTripper{}}
	for _, o := range append([]moorage.PrivateOverride{{Domain: u.Hostname(), Endpoint: *w.Private}}, w.Overrides...) { // an override beats what goes for the discovery URL
		e, ok := all[o.Endpoint.ID()]
		if !ok {
			return nil, fmt.Errorf("this server has no private endpoint %[1]s: start it with --private-endpoint %[1]s=…", o.Endpoint.ID())
		}
		ways.byHost[hostOf(o.Domain)] = e.transport(o.Endpoint.VPC, w)
	}
	return &http.Client{Transport: ways, CheckRedirect: sameHost, Timeout: fetchLimit}, nil
}

// hostOf is a host's name as it is compared.
func hostOf(name string) string { return strings.TrimSuffix(strings.ToLower(name), ".") }

// ways sends requests through the private endpoint of their host.
type ways struct {
	byHost map[string]http.RoundTripper
	rest   http.RoundTripper
}

// RoundTrip is [http.RoundTripper]'s.
func (w ways) RoundTrip(r *http.Request) (*http.Response, error) {
	private, ok := w.byHost[hostOf(r.URL.Hostname())]
	if !ok {
		return w.rest.RoundTrip(r)
	}
	if r.URL.Scheme != "https" {
		return nil, errors.New("behind a private endpoint the address of a provider must begin with https://")
	}
	return private.RoundTrip(r)
}

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

func (e Endpoint) transport(vpc *moorage.PrivateVPC, w Way) *http.Transport {
	dial := e.dial
	if vpc != nil {
		dial = e.dialWithin(*vpc)
	}
	t := &http.Transport{
		DialContext: dial, TLSClientConfig: &tls.Config{RootCAs: e.Roots}, TLSHandshakeTimeout: fetchLimit, ResponseHeaderTimeout: fetchLimit,
		MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true, MaxResponseHeaderBytes: 64 << 10,
	}
	if w.Certificate != nil {
		t.DialTLSContext = e.dialTLS(dial, w)
	}
	return t
}

// dialTLS trusts the authority of a way's certificate, too.
func (e Endpoint) dialTLS(dial dialer, w Way) dialer {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		roots, err := w.roots(e.Roots)
		if err != nil {
			return nil, err
		}
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, fetchLimit)
		defer cancel()
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c := tls.Client(conn, &tls.Config{ServerName: host, RootCAs: roots, NextProtos: []string{"h2", "http/1.1"}})
		if err := c.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, err
		}
		return c, nil
	}
}

// roots are those that are trusted anyway, this machine's if there are no others, and the certificate's.
func (w Way) roots(own *x509.CertPool) (all *x509.CertPool, err error) {
	pem, err := w.Read(*w.Certificate)
	if err != nil {
		return nil, err
	}
	if own != nil {
		all = own.Clone()
	} else if all, err = x509.SystemCertPool(); err != nil {
		all = x509.NewCertPool() // a machine without any
	}
	if !all.AppendCertsFromPEM(pem) {
		return nil, moorage.Errorf(moorage.Invalid, "%s holds no certificate in PEM", w.Certificate.URI)
	}
	return all, nil
}

// dial connects to where the resource is, at the port that the host was asked for unless the operator names another.
func (e Endpoint) dial(ctx context.Context, network, address string) (net.Conn, error) {
	to := e.Address
	if _, _, err := net.SplitHostPort(to); err != nil {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		to = net.JoinHostPort(strings.Trim(to, "[]"), port)
	}
	d := net.Dialer{Timeout: fetchLimit}
	return d.DialContext(ctx, network, to)
}

// dialWithin connects to the address that the host's name has, or the routing domain in its stead, if that is in the VPC.
func (e Endpoint) dialWithin(vpc moorage.PrivateVPC) dialer {
	family := "tcp4"
	if vpc.AddressType == "IPV6" {
		family = "tcp6"
	}
	d := net.Dialer{Timeout: fetchLimit, Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		if ip := to.Addr().Unmap(); !guard(e.Networks).allows(ip) {
			return fmt.Errorf("%s is outside the networks of %s", ip, vpc.ID)
		}
		return nil
	}}
	return func(ctx context.Context, _, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		if vpc.RoutingDomain != "" {
			host = vpc.RoutingDomain
		}
		return d.DialContext(ctx, family, net.JoinHostPort(host, port))
	}
}

// Key tells apart what is reached by one URL in different ways: what answers there may differ.
func (w Way) Key() string {
	if w.Private == nil {
		return w.URL
	}
	var out strings.Builder
	out.WriteString(w.URL)
	one := func(domain string, e moorage.PrivateEndpoint) {
		fmt.Fprintf(&out, " %q %s", domain, e.ID())
		if e.VPC != nil {
			fmt.Fprintf(&out, " %s %q", e.VPC.AddressType, e.VPC.RoutingDomain)
		}
	}
	one("", *w.Private)
	for _, o := range w.Overrides {
		one(hostOf(o.Domain), o.Endpoint)
	}
	if w.Certificate != nil {
		fmt.Fprintf(&out, " %q", w.Certificate.URI)
	}
	return out.String()
}
