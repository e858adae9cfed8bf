package compat

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	datatypes "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore/types"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	controltypes "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/zitadel/oidc/v3/example/server/storage"
)

// Where the provider of these tests says it is: an address of a private network that nobody has here, and a name that none resolves.
const (
	privateHost = "10.11.12.13"
	keysHost    = "keys.corp.test"
)

// newPrivateProvider is a real provider with a certificate by an authority of its own. At /split its metadata says that the keys
// are on another host.
func newPrivateProvider(t *testing.T) (p openIDProvider, port, ca string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{keysHost}, IPAddresses: []net.IP{net.ParseIP(privateHost)}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	roots, block := x509.NewCertPool(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	roots.AppendCertsFromPEM(block)
	ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	var real http.Handler
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path, _ = strings.CutPrefix(r.URL.Path, "/split"); r.RequestURI == r.URL.Path {
			real.ServeHTTP(w, r)
			return
		}
		doc := httptest.NewRecorder()
		real.ServeHTTP(doc, r)
		w.Write(bytes.ReplaceAll(doc.Body.Bytes(), []byte(p.issuer+"/keys"), []byte("https://"+keysHost+":"+port+"/keys")))
	}))
	address := s.Listener.Addr().String()
	if _, port, err = net.SplitHostPort(address); err != nil {
		t.Fatal(err)
	}
	p.issuer = "https://" + privateHost + ":" + port
	real = p.handler(tokenStorage{Storage: storage.NewStorage(storage.NewUserStore(p.issuer))})
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	s.StartTLS()
	t.Cleanup(s.Close)
	p.client = &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}}
	return p, port, ca
}

// stalled takes connections and says nothing.
func stalled(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts: the kernel does
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

const (
	rcfgGood    = "rcfg-0a1b2c3d4e5f6a7b8"
	rcfgStalled = "rcfg-0a1b2c3d4e5f6a7b9"
	rcfgRefused = "rcfg-0a1b2c3d4e5f6a7c0"
	rcfgBare    = "rcfg-0a1b2c3d4e5f6a7c1" // the good one, without an authority
	vpcGood     = "vpc-0a1b2c3d"
)

func lattice(id string) controltypes.PrivateEndpoint {
	return &controltypes.PrivateEndpointMemberSelfManagedLatticeResource{
		Value: &controltypes.SelfManagedLatticeResourceMemberResourceConfigurationIdentifier{Value: id},
	}
}

func override(domain, id string) controltypes.PrivateEndpointOverride {
	return controltypes.PrivateEndpointOverride{Domain: &domain, PrivateEndpoint: lattice(id)}
}

// Providers on private networks are reached through the endpoints that the operator allows, each host by its own and no other.
func TestBearer_privateEndpoints(t *testing.T) {
	p, port, ca := newPrivateProvider(t)
	s := own(t)
	refused, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{
		"--private-endpoint", rcfgGood + "=127.0.0.1", "--private-endpoint-ca", rcfgGood + "=" + ca, "--private-endpoint", rcfgStalled + "=" + stalled(t),
		"--private-endpoint", rcfgRefused + "=" + refused, "--private-endpoint", rcfgBare + "=127.0.0.1", "--private-endpoint", vpcGood + "=127.0.0.0/8", "--private-endpoint-ca", vpcGood + "=" + ca,
	}
	s.again(t, args...)
	token := "Bearer " + p.token(t)
	split := strings.Replace(p.discovery(), ":"+port, ":"+port+"/split", 1)
	d := probe
	d.name, d.authorizer, d.tags = "private_provider", p.authorizer(nil), map[string]string{"moorage:clones": "off", "moorage:pool": "off"}
	a := s.deployed(t, d)
	type jwt = controltypes.CustomJWTAuthorizerConfiguration
	for _, c := range []struct {
		name   string
		change func(*jwt)
		status int
		logged string // why, for the operator
	}{
		{"no endpoint", nil, 503, privateHost + " is not a public address"},
		{"its endpoint", func(c *jwt) { c.PrivateEndpoint = lattice(rcfgGood) }, 200, ""},
		{"a VPC", func(c *jwt) {
			c.PrivateEndpoint = &controltypes.PrivateEndpointMemberManagedVpcResource{Value: controltypes.ManagedVpcResource{
				VpcIdentifier: aws.String(vpcGood), SubnetIds: []string{"subnet-0a1b2c3d", "subnet-0a1b2c3e"}, EndpointIpAddressType: controltypes.EndpointIpAddressTypeIpv4,
				SecurityGroupIds: []string{"sg-0a1b2c3d"}, Tags: map[string]string{"team": "identity"}, RoutingDomain: aws.String("127.0.0.1"),
			}}
		}, 200, ""},
		{"an override for another host", func(c *jwt) {
			c.DiscoveryUrl, c.PrivateEndpoint = &split, lattice(rcfgGood)
			c.PrivateEndpointOverrides = []controltypes.PrivateEndpointOverride{override("x."+keysHost, rcfgGood)}
		}, 503, keysHost},
		{"an endpoint that says nothing", func(c *jwt) { c.PrivateEndpoint = lattice(rcfgStalled) }, 503, privateHost},
		{"an endpoint that refuses", func(c *jwt) { c.PrivateEndpoint = lattice(rcfgRefused) }, 503, "connection refused"},
		{"an override for the keys' host", func(c *jwt) {
			c.DiscoveryUrl, c.PrivateEndpoint = &split, lattice(rcfgGood)
			c.PrivateEndpointOverrides = []controltypes.PrivateEndpointOverride{override("Keys.corp.test", rcfgGood), override("other.corp.test", rcfgRefused)}
		}, 200, ""},
	} {
		d.authorizer = p.authorizer(c.change)
		if _, err := a.update(t.Context(), d); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		a.wantAuthorizer(t, d.authorizer)
		info, err := os.Stat(s.log)
		if err != nil {
			t.Fatal(err)
		}
		status, _, body := a.callWith(t, token, newSession(t))
		if status != c.status || c.status == 503 && !strings.Contains(body, "the identity provider's keys cannot be had; try again later") {
			t.Errorf("%s: %d %s, want %d", c.name, status, body, c.status)
		}
		if log := s.logTail(info.Size()); !strings.Contains(log, c.logged) {
			t.Errorf("%s: the log does not say %q:\n%s", c.name, c.logged, log)
		}
	}
	t.Run("metadata", func(t *testing.T) { a.wantMetadata(t, p) })
	t.Run("tokens for other services", func(t *testing.T) { s.wantPrivateClients(t, p) })
	t.Run("certificates", func(t *testing.T) {
		runChecksOn(t, s, "certificates.py", map[string]any{"discovery": p.discovery(), "ca": ca, "bare": rcfgBare, "token": strings.TrimPrefix(token, "Bearer "), "runtime": a.id})
	})
	if _, err := a.update(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	t.Run("after a restart", func(t *testing.T) {
		s.again(t, args...)
		if status, _, body := a.callWith(t, token, newSession(t)); status != 200 {
			t.Errorf("%d %s", status, body)
		}
	})
	t.Run("not without the operator", func(t *testing.T) {
		s.again(t)
		if status, _, body := a.callWith(t, token, newSession(t)); status != 503 {
			t.Errorf("%d %s", status, body)
		}
		wantWords(t, s.logTail(0), "no private endpoint "+rcfgGood)
	})
}

// wantAuthorizer asks what a runtime's authorizer is.
func (a *agent) wantAuthorizer(t *testing.T, want controltypes.AuthorizerConfiguration) {
	t.Helper()
	got, err := a.server.control().GetAgentRuntime(t.Context(), &control.GetAgentRuntimeInput{AgentRuntimeId: &a.id})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.AuthorizerConfiguration, want) {
		t.Errorf("the authorizer is %+v, want %+v", got.AuthorizerConfiguration, want)
	}
}

// wantPrivateClients gets tokens of a provider at a private endpoint, and none without it.
func (s *server) wantPrivateClients(t *testing.T, p openIDProvider) {
	t.Helper()
	token := s.workloadToken(t, s.workload(t, "machine"))
	type custom = controltypes.CustomOauth2ProviderConfigInput
	for _, c := range []struct {
		name   string
		change func(*custom)
		got    bool
	}{
		{"no endpoint", nil, false},
		{"its endpoint", func(c *custom) { c.PrivateEndpoint = lattice(rcfgGood) }, true},
		{"its endpoint, by its token endpoint", func(c *custom) {
			c.PrivateEndpoint = lattice(rcfgGood)
			c.OauthDiscovery = &controltypes.Oauth2DiscoveryMemberAuthorizationServerMetadata{Value: controltypes.Oauth2AuthorizationServerMetadata{
				Issuer: &p.issuer, AuthorizationEndpoint: aws.String(p.issuer + "/authorize"), TokenEndpoint: aws.String(p.issuer + "/oauth/token"),
			}}
		}, true},
		{"another's", func(c *custom) {
			c.PrivateEndpoint = lattice(rcfgGood)
			c.PrivateEndpointOverrides = []controltypes.PrivateEndpointOverride{override(privateHost, rcfgRefused)}
		}, false},
	} {
		name, _ := s.keepsClient(t, p, "sid1", "verysecret", c.change)
		shown, err := s.control().GetOauth2CredentialProvider(t.Context(), &control.GetOauth2CredentialProviderInput{Name: &name})
		if err != nil {
			t.Fatal(err)
		}
		sent := custom{}
		if c.change != nil {
			c.change(&sent)
		}
		out := shown.Oauth2ProviderConfigOutput.(*controltypes.Oauth2ProviderConfigOutputMemberCustomOauth2ProviderConfig).Value
		if !reflect.DeepEqual(out.PrivateEndpoint, sent.PrivateEndpoint) || !reflect.DeepEqual(out.PrivateEndpointOverrides, sent.PrivateEndpointOverrides) {
			t.Errorf("%s: it is shown as %+v", c.name, out)
		}
		got, err := s.data().GetResourceOauth2Token(t.Context(), &data.GetResourceOauth2TokenInput{
			WorkloadIdentityToken: &token, ResourceCredentialProviderName: &name, Scopes: []string{"openid"}, Oauth2Flow: datatypes.Oauth2FlowTypeM2m,
		})
		if c.got != (err == nil && strings.Count(aws.ToString(got.AccessToken), ".") == 2) {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
		if err != nil {
			wantWords(t, err.Error(), "cannot be re") // reached, or read
		}
	}
}

// What names no endpoint of this server, or makes no sense, is refused with what to do.
func TestBearer_privateEndpointsThatMakeNoSense(t *testing.T) {
	p, s := openIDProvider{issuer: "https://idp.example.com"}, shared(t)
	type jwt = controltypes.CustomJWTAuthorizerConfiguration
	vpc := &controltypes.PrivateEndpointMemberManagedVpcResource{Value: controltypes.ManagedVpcResource{
		VpcIdentifier: aws.String(vpcGood), SubnetIds: []string{"subnet-0a1b2c3d"}, EndpointIpAddressType: controltypes.EndpointIpAddressTypeIpv4,
	}}
	for name, c := range map[string]struct {
		change func(*jwt)
		words  string
	}{
		"an endpoint that is not here": {func(c *jwt) { c.PrivateEndpoint = lattice(rcfgGood) }, "moorage serve --private-endpoint " + rcfgGood + "=ADDRESS"},
		"a VPC that is not here":       {func(c *jwt) { c.PrivateEndpoint = vpc }, "moorage serve --private-endpoint " + vpcGood + "=NETWORK"},
		"overrides alone": {func(c *jwt) {
			c.PrivateEndpointOverrides = []controltypes.PrivateEndpointOverride{override("idp.example.com", rcfgGood)}
		}, "can only be used when privateEndpoint is also set"},
		"no TLS": {func(c *jwt) {
			c.DiscoveryUrl, c.PrivateEndpoint = aws.String("http://idp.example.com/.well-known/openid-configuration"), lattice(rcfgGood)
		}, "must begin with https://"},
	} {
		d := probe
		d.name, d.authorizer = "no_way", p.authorizer(c.change)
		_, err := s.create(t.Context(), d)
		if err == nil {
			t.Errorf("%s: it was accepted", name)
			continue
		}
		wantWords(t, wantError(t, err, "ValidationException"), c.words)
	}
	_, err := s.control().CreateOauth2CredentialProvider(t.Context(), &control.CreateOauth2CredentialProviderInput{
		Name: aws.String("no_way"), CredentialProviderVendor: controltypes.CredentialProviderVendorTypeCustomOauth2,
		Oauth2ProviderConfigInput: &controltypes.Oauth2ProviderConfigInputMemberCustomOauth2ProviderConfig{Value: controltypes.CustomOauth2ProviderConfigInput{
			ClientId: aws.String("x"), ClientSecret: aws.String("y"), PrivateEndpoint: vpc, OauthDiscovery: &controltypes.Oauth2DiscoveryMemberDiscoveryUrl{Value: p.discovery()},
		}},
	})
	wantWords(t, wantError(t, err, "ValidationException"), "moorage serve --private-endpoint "+vpcGood+"=NETWORK")
}
