package gateway

import (
	"net/netip"
	"testing"
	"time"

	"github.com/moorage-dev/moorage/internal/sandbox"
	"golang.org/x/net/dns/dnsmessage"
)

func newTestPolicy(t testing.TB, n sandbox.Network) *policy {
	t.Helper()
	p, err := newPolicy(n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p
}

func TestIsPublic(t *testing.T) {
	for address, want := range map[string]bool{
		"8.8.8.8": true, "93.184.216.34": true, "2606:4700::1111": true,
		"127.0.0.1": false, "10.1.2.3": false, "172.16.0.1": false, "172.32.0.1": true, "192.168.1.1": false,
		"100.64.0.1": false, "169.254.169.254": false, "0.0.0.0": false, "224.0.0.1": false, "255.255.255.255": false,
		"198.18.0.1": false, "192.0.0.170": false, "::1": false, "fe80::1": false, "fd00::1": false,
		"::ffff:10.0.0.1": false, "::ffff:8.8.8.8": true, "64:ff9b::a00:1": false, "2002:a00:1::": false, "fd00:ec2::254": false,
	} {
		if got := isPublic(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: public is %v", address, got)
		}
	}
	if isPublic(netip.Addr{}) {
		t.Error("no address is public")
	}
}

func TestTarget(t *testing.T) {
	now := time.Now()
	public := sandbox.Network{Egress: sandbox.EgressPublic}
	listed := sandbox.Network{Egress: sandbox.EgressPublic, Hosts: []string{"api.test:443", "*.wild.test", "9.9.9.9:53"}}
	excepted := sandbox.Network{Allow: []string{"10.9.0.0/16:5000", "127.0.0.1:3141", "index.test:80"}}
	for _, c := range []struct {
		network sandbox.Network
		learned []learnedKey
		to      string
		want    string // empty: refused
	}{
		{network: public, to: "8.8.8.8:443", want: "8.8.8.8:443"},
		{network: public, to: "169.254.169.254:80"},
		{network: public, to: "10.0.2.2:80"},
		{network: public, to: "10.0.2.101:80"},
		{network: sandbox.Network{}, to: "8.8.8.8:443"},

		{network: listed, to: "8.8.8.8:443"},
		{network: listed, to: "9.9.9.9:53", want: "9.9.9.9:53"},
		{network: listed, to: "9.9.9.9:54"},
		{network: listed, learned: []learnedKey{{netip.MustParseAddr("8.8.8.8"), "api.test"}}, to: "8.8.8.8:443", want: "8.8.8.8:443"},
		{network: listed, learned: []learnedKey{{netip.MustParseAddr("8.8.8.8"), "api.test"}}, to: "8.8.8.8:80"},
		{network: listed, learned: []learnedKey{{netip.MustParseAddr("8.8.8.8"), "a.wild.test"}}, to: "8.8.8.8:80", want: "8.8.8.8:80"},
		{network: listed, learned: []learnedKey{{netip.MustParseAddr("10.0.0.1"), "api.test"}}, to: "10.0.0.1:443"},

		{network: excepted, to: "10.9.1.1:5000", want: "10.9.1.1:5000"},
		{network: excepted, to: "10.9.1.1:5001"},
		{network: excepted, to: "10.8.1.1:5000"},
		{network: excepted, to: "10.0.2.2:3141", want: "127.0.0.1:3141"},
		{network: excepted, to: "10.0.2.2:3142"},
		{network: excepted, learned: []learnedKey{{netip.MustParseAddr("192.168.0.9"), "index.test"}}, to: "192.168.0.9:80", want: "192.168.0.9:80"},
		{network: excepted, learned: []learnedKey{{Addr, "index.test"}}, to: "10.0.2.2:80", want: "127.0.0.1:80"},
	} {
		p := newTestPolicy(t, c.network)
		for _, k := range c.learned {
			p.learn(k, now)
		}
		got, ok := p.target(netip.MustParseAddrPort(c.to), now)
		if ok != (c.want != "") || ok && got.String() != c.want {
			t.Errorf("%+v with %v: %s becomes %v, %v; want %q", c.network, c.learned, c.to, got, ok, c.want)
		}
	}
}

func TestLearn_forgetsInTime(t *testing.T) {
	p := newTestPolicy(t, sandbox.Network{Egress: sandbox.EgressPublic, Hosts: []string{"api.test"}})
	now := time.Now()
	to := netip.MustParseAddrPort("8.8.8.8:443")
	p.learn(learnedKey{to.Addr(), "api.test"}, now)
	if _, ok := p.target(to, now.Add(learnedFor/2)); !ok {
		t.Error("it forgot too soon")
	}
	if _, ok := p.target(to, now.Add(learnedFor+time.Second)); ok {
		t.Error("it never forgets")
	}
	for i := range 3 * maxLearned {
		p.learn(learnedKey{netip.AddrFrom4([4]byte{1, byte(i >> 16), byte(i >> 8), byte(i)}), "api.test"}, now)
	}
	if len(p.learned) > maxLearned {
		t.Errorf("it remembers %d addresses", len(p.learned))
	}
}

func FuzzAnswer(f *testing.F) {
	query, err := (&dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 7, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName("refused.test."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}).Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(query)
	f.Add(query[:12])
	p := newTestPolicy(f, sandbox.Network{}) // resolves nothing: nobody outside is asked
	f.Fuzz(func(t *testing.T, query []byte) {
		reply := (&Gateway{policy: p}).answer(query)
		if reply == nil {
			return
		}
		var m dnsmessage.Message
		if err := m.Unpack(reply); err != nil {
			t.Fatalf("the reply %x to %x is broken: %v", reply, query, err)
		}
		if !m.Response || len(m.Answers) > 0 {
			t.Fatalf("the reply to %x says %+v", query, m)
		}
	})
}
