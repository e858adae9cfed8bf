package bearer

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/moorage-dev/moorage"
)

const (
	inside = "rcfg-0123456789abcdefg"
	other  = "rcfg-zzzzzzzzzzzzzzzzz"
)

// privateProvider answers as example.com, whose certificate httptest has, with its keys at www.example.com.
func privateProvider(t *testing.T) (p *fakeProvider, address, ca string) {
	p = newProvider(t)
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"issuer":"https://example.com","jwks_uri":"https://www.example.com/keys"}`)
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &p.key.PublicKey, KeyID: "one", Algorithm: "RS256", Use: "sig"}}})
	})
	mux.HandleFunc("/moved/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://example.com/.well-known/openid-configuration", http.StatusFound)
	})
	mux.HandleFunc("/away/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://www.example.com/.well-known/openid-configuration", http.StatusFound)
	})
	mux.HandleFunc("/down/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://example.com/.well-known/openid-configuration", http.StatusFound)
	})
	s := httptest.NewTLSServer(mux)
	t.Cleanup(s.Close)
	ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return p, u.Host, ca
}

func through(ids ...string) (a moorage.JWTAuthorizer) {
	a.DiscoveryURL, a.Clients = "https://example.com/.well-known/openid-configuration", []string{"app"}
	for i, id := range ids {
		e := moorage.PrivateEndpoint{Resource: id}
		if i == 0 {
			a.Private = &e
			continue
		}
		host, id, _ := strings.Cut(id, "=")
		a.Overrides = append(a.Overrides, moorage.PrivateOverride{Domain: host, Endpoint: moorage.PrivateEndpoint{Resource: id}})
	}
	return a
}

// The verifier of this test reaches public addresses only, and the provider is at none.
func TestEndpoints_openTheWayToTheirHostAlone(t *testing.T) {
	p, address, ca := privateProvider(t)
	claims := with(p.claims(), "iss", "https://example.com")
	arn := "arn:aws:vpc-lattice:us-east-1:123456789012:resourceconfiguration/" + inside
	for name, c := range map[string]struct {
		a       moorage.JWTAuthorizer
		refusal string
	}{
		"both hosts":            {through(inside, "www.example.com="+inside), ""},
		"by ARN":                {through(arn, "WWW.Example.com="+arn), ""},
		"the keys' host not":    {through(inside), "www.example.com"},
		"another host instead":  {through(inside, "keys.example.com="+inside), "www.example.com"},
		"an endpoint gone":      {through("rcfg-aaaaaaaaaaaaaaaaa"), "no private endpoint rcfg-aaaaaaaaaaaaaaaaa"},
		"certificate not named": {through(other), "certificate"},
		"redirected":            {at(through(inside, "www.example.com="+inside), "/moved"), ""},
		"redirected elsewhere":  {at(through(inside, "www.example.com="+inside), "/away"), "sends its callers elsewhere"},
		"redirected in clear":   {at(through(inside, "www.example.com="+inside), "/down"), "https://"},
	} {
		t.Run(name, func(t *testing.T) {
			endpoints, err := ParseEndpoints([]string{inside + "=" + address, other + "=" + address}, []string{inside + "=" + ca})
			if err != nil {
				t.Fatal(err)
			}
			v := &Verifier{Client: &http.Client{Transport: noNetwork{}, CheckRedirect: sameHost}, Endpoints: endpoints}
			t.Cleanup(v.Close)
			_, err = v.Verify(t.Context(), c.a, p.good(t, claims))
			if c.refusal == "" && err != nil || c.refusal != "" && (moorage.CodeOf(err) != moorage.Unavailable || !strings.Contains(whole(err), c.refusal)) {
				t.Errorf("%v, want %q", whole(err), c.refusal)
			}
		})
	}
}

// noNetwork has no way to any host.
type noNetwork struct{}

func (noNetwork) RoundTrip(r *http.Request) (*http.Response, error) {
	return nil, fmt.Errorf("there is no public way to %s", r.URL.Host)
}

func at(a moorage.JWTAuthorizer, path string) moorage.JWTAuthorizer {
	a.DiscoveryURL = "https://example.com" + path + "/.well-known/openid-configuration"
	return a
}

// whole is an error with what lies under it, which callers are not told.
func whole(err error) string {
	if e, ok := err.(*moorage.Error); ok && e.Err != nil {
		return e.Message + ": " + e.Err.Error()
	}
	return fmt.Sprint(err)
}

// A certificate of the tenant's is trusted beside the operator's, read anew for each connection.
func TestEndpoints_aCertificateIsTrustedToo(t *testing.T) {
	p, address, ca := privateProvider(t)
	good, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	endpoints, err := ParseEndpoints([]string{inside + "=" + address}, nil)
	if err != nil {
		t.Fatal(err)
	}
	stored := map[string][]byte{"s3://b/good": good, "s3://b/none": []byte("no certificate")}
	token := p.good(t, with(p.claims(), "iss", "https://example.com"))
	for uri, words := range map[string]string{"s3://b/good": "", "s3://b/none": "holds no certificate", "s3://b/gone": "not there"} {
		v := &Verifier{Client: &http.Client{Transport: noNetwork{}}, Endpoints: endpoints, Certificates: func(ref moorage.CertificateRef) ([]byte, error) {
			if pem, ok := stored[ref.URI]; ok {
				return pem, nil
			}
			return nil, moorage.Errorf(moorage.Invalid, "not there")
		}}
		t.Cleanup(v.Close)
		a := through(inside, "www.example.com="+inside)
		a.Certificate = &moorage.CertificateRef{URI: uri}
		_, err := v.Verify(t.Context(), a, token)
		if words == "" && err != nil || words != "" && (moorage.CodeOf(err) != moorage.Unavailable || !strings.Contains(whole(err), words)) {
			t.Errorf("%s: %v", uri, whole(err))
		}
		if err := v.Check("x", a); words == "" && err != nil || words != "" && (moorage.CodeOf(err) != moorage.Invalid || !strings.Contains(err.Error(), words)) {
			t.Errorf("%s, when it is named: %v", uri, err)
		}
	}
	wrong := through(inside, "www.example.com="+inside)
	wrong.DiscoveryURL, wrong.Certificate = strings.Replace(wrong.DiscoveryURL, "example.com", "other.test", 1), &moorage.CertificateRef{URI: "s3://b/good"}
	v := &Verifier{Client: &http.Client{Transport: noNetwork{}}, Endpoints: endpoints, Certificates: func(moorage.CertificateRef) ([]byte, error) { return good, nil }}
	t.Cleanup(v.Close)
	if _, err := v.Verify(t.Context(), wrong, token); !strings.Contains(whole(err), "not other.test") {
		t.Errorf("a host in whose name nobody signed: %v", whole(err))
	}
}

// What one way brought is not believed of another: two networks may have a host of one name.
func TestEndpoints_keysOfOneWayAreNotAnothers(t *testing.T) {
	p, address, ca := privateProvider(t)
	endpoints, err := ParseEndpoints([]string{inside + "=" + address, other + "=127.0.0.1:1"}, []string{inside + "=" + ca})
	if err != nil {
		t.Fatal(err)
	}
	v := &Verifier{Client: &http.Client{Transport: noNetwork{}}, Endpoints: endpoints}
	t.Cleanup(v.Close)
	token := p.good(t, with(p.claims(), "iss", "https://example.com"))
	if _, err := v.Verify(t.Context(), through(inside, "www.example.com="+inside), token); err != nil {
		t.Fatal(whole(err))
	}
	for name, a := range map[string]moorage.JWTAuthorizer{"another endpoint": through(other, "www.example.com="+other), "none": through()} {
		if _, err := v.Verify(t.Context(), a, token); moorage.CodeOf(err) != moorage.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A VPC is a network: names resolve as ever, and have to lie in it.
func TestEndpoints_aVPCIsANetwork(t *testing.T) {
	if ips, err := net.LookupHost("localhost"); err != nil || len(ips) == 0 {
		t.Skip("localhost has no address here")
	}
	p, address, ca := privateProvider(t)
	_, port, _ := net.SplitHostPort(address)
	for name, c := range map[string]struct {
		network, family, domain, refusal string
	}{
		"inside":               {"127.0.0.0/8", "IPV4", "localhost", ""},
		"outside":              {"10.0.0.0/8", "IPV4", "localhost", "outside the networks of vpc-01234567"},
		"of the other family":  {"127.0.0.0/8", "IPV6", "127.0.0.1", "tcp6"},
		"a name that is not":   {"127.0.0.0/8", "IPV4", "nowhere.invalid", "nowhere.invalid"},
		"a public one instead": {"127.0.0.0/8", "IPV4", "192.0.2.1", "outside the networks"},
	} {
		endpoints, err := ParseEndpoints([]string{"vpc-01234567=" + c.network, "vpc-01234567=172.16.0.0/12"}, []string{"vpc-01234567=" + ca})
		if err != nil {
			t.Fatal(err)
		}
		e := moorage.PrivateEndpoint{VPC: &moorage.PrivateVPC{ID: "vpc-01234567", AddressType: c.family, RoutingDomain: c.domain}}
		a := moorage.JWTAuthorizer{DiscoveryURL: "https://example.com:" + port + "/.well-known/openid-configuration", Clients: []string{"app"}, Private: &e}
		a.Overrides = []moorage.PrivateOverride{{Domain: "www.example.com", Endpoint: e}}
		v := &Verifier{Client: &http.Client{Transport: noNetwork{}}, Endpoints: endpoints}
		t.Cleanup(v.Close)
		_, err = v.Verify(t.Context(), a, p.good(t, with(p.claims(), "iss", "https://example.com")))
		if c.refusal == "" { // its keys are at port 443, where nobody is
			c.refusal = "https://www.example.com/keys: "
		}
		if moorage.CodeOf(err) != moorage.Unavailable || !strings.Contains(whole(err), c.refusal) {
			t.Errorf("%s: %v, want %q", name, whole(err), c.refusal)
		}
	}
}

func TestParseEndpoints_saysWhatIsWrong(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none.pem")
	if err := os.WriteFile(none, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ place, ca, words string }{
		{"rcfg-1=10.0.0.1", "", "neither rcfg-"},
		{"", "", "neither rcfg-"},
		{inside, "", "HOST or HOST:PORT"},
		{inside + "=https://idp.example.com", "", "HOST or HOST:PORT"},
		{inside + "=a b", "", "HOST or HOST:PORT"},
		{inside + "=host:", "", "HOST or HOST:PORT"},
		{"vpc-01234567=10.0.0.1", "", "such as 10.0.0.0/16"},
		{inside + "=10.0.0.1", "missing", "ID=FILE"},
		{inside + "=10.0.0.1", other + "=" + none, "ID=FILE"},
		{inside + "=10.0.0.1", inside + "=" + none, "has to be PEM"},
		{inside + "=10.0.0.1", inside + "=" + none + ".gone", "no such file"},
	} {
		var authorities []string
		if c.ca != "" {
			authorities = []string{c.ca}
		}
		if _, err := ParseEndpoints([]string{c.place}, authorities); moorage.CodeOf(err) != moorage.Invalid || !strings.Contains(fmt.Sprint(err), c.words) {
			t.Errorf("%q %q: %v, want %q", c.place, c.ca, err, c.words)
		}
	}
	for _, good := range []string{"10.0.0.1", "10.0.0.1:8443", "idp.corp.example", "idp.corp.example:443", "fd00::1", "[fd00::1]:443"} {
		if _, err := ParseEndpoints([]string{inside + "=" + good}, nil); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	if _, err := ParseEndpoints([]string{inside + "=a", inside + "=b"}, nil); err == nil {
		t.Error("two places for one resource are accepted")
	}
}
