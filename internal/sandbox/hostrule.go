package sandbox

import (
	"net/netip"
	"strconv"
	"strings"
)

// HostRule is one entry of Network.Hosts or Network.Allow: a name, an address or a CIDR, and a port.
type HostRule struct {
	Name   string       // lower case, without a final dot; "*.example.com" is every name below example.com
	Prefix netip.Prefix // valid when the entry is an address or a CIDR; Name is then empty
	Port   uint16       // 0 is any
}

// ParseHostRule reads "host", "host:port", "address:port" or "CIDR:port", where a port may be "*".
// IPv6 addresses are not taken: sandboxes speak IPv4 outward.
func ParseHostRule(s string) (HostRule, error) {
	host, port, hasPort := strings.Cut(s, ":")
	r := HostRule{Name: strings.ToLower(strings.TrimSuffix(host, "."))}
	if hasPort && port != "*" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return r, invalid("%q has no valid port: want host:port", s)
		}
		r.Port = uint16(n)
	}
	if r.Prefix = parsePrefix(host); r.Prefix.IsValid() {
		r.Name = ""
		return r, nil
	}
	if !isHostName(strings.TrimPrefix(r.Name, "*.")) {
		return r, invalid("%q names no host: want host:port, with a name, an IPv4 address or a CIDR", s)
	}
	return r, nil
}

func parsePrefix(s string) netip.Prefix {
	if p, err := netip.ParsePrefix(s); err == nil && p.Addr().Is4() {
		return p.Masked()
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Is4() {
		return netip.PrefixFrom(a, 32)
	}
	return netip.Prefix{}
}

func isHostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for _, c := range label {
			if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
				return false
			}
		}
	}
	return true
}

// MatchesName reports whether the rule is for the name, whatever the port. The name is in lower
// case without a final dot.
func (r HostRule) MatchesName(name string) bool {
	if r.Name == "" {
		return false
	}
	if suffix, wild := strings.CutPrefix(r.Name, "*"); wild {
		return strings.HasSuffix(name, suffix)
	}
	return r.Name == name
}

// MatchesPort reports whether the rule is for the port.
func (r HostRule) MatchesPort(port uint16) bool { return r.Port == 0 || r.Port == port }

// MatchesAddr reports whether the rule names the address itself, whatever the port.
func (r HostRule) MatchesAddr(addr netip.Addr) bool {
	return r.Prefix.IsValid() && r.Prefix.Contains(addr)
}
