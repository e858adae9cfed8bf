package inject

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity/vault"
	"github.com/moorage-dev/moorage/internal/identity/workload"
	"github.com/moorage-dev/moorage/internal/store"
)

const secret = "sk-canary-of-the-broker"

// scene is a host behind TLS, which answers as it is told, and a broker that has credentials for it.
type scene struct {
	broker  *Broker
	port    uint16
	handle  http.HandlerFunc
	handled []*http.Request // headers and address only
	mu      sync.Mutex
}

const hostName = "example.com" // what httptest's certificate is for

func newScene(t *testing.T) *scene {
	t.Helper()
	db, err := store.Open(context.Background(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s := &scene{}
	host := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.handled = append(s.handled, r)
		s.mu.Unlock()
		s.handle(w, r)
	}))
	t.Cleanup(host.Close)
	_, port, _ := net.SplitHostPort(host.Listener.Addr().String())
	n, _ := strconv.Atoi(port)
	s.port = uint16(n)
	s.handle = func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "you sent ", r.Header.Get("Authorization"))
	}

	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, clientSecret, _ := r.BasicAuth()
		w.Header().Set("Content-Type", "application/json")
		if id != "robot" || clientSecret != "hush" {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":"invalid_client"}`)
			return
		}
		fmt.Fprintf(w, `{"access_token":"token-for-%s","token_type":"Bearer","expires_in":600}`, strings.ReplaceAll(r.FormValue("scope"), " ", "+"))
	}))
	t.Cleanup(tokens.Close)
	key, err := vault.NewLocalKey("test", []byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	v := &vault.Vault{Store: db, Workloads: &workload.Service{}, Key: key, Client: http.DefaultClient, Region: "us-east-1", Account: "123456789012", Log: log}
	if err := v.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	rule := map[string]string{vault.TagInject: "GET " + hostName + ":" + port + "/v1/", vault.TagInjectScopes: "write read"}
	client := func(id string) vault.Client {
		return vault.Client{Vendor: "CustomOauth2", ID: id, Server: vault.Server{Issuer: tokens.URL, Token: tokens.URL}}
	}
	for _, p := range []struct {
		vault.Provider
		secret string
	}{
		{vault.Provider{Kind: vault.APIKey, Name: "weather"}, secret},
		{vault.Provider{Kind: vault.OAuth2, Name: "crm", Client: client("robot")}, "hush"},
		{vault.Provider{Kind: vault.OAuth2, Name: "locked", Client: client("stranger")}, "hush"},
	} {
		if _, err := v.Create(t.Context(), p.Provider, p.secret, rule); err != nil {
			t.Fatal(err)
		}
	}
	authority, err := NewAuthority([]byte(strings.Repeat("a", 32)))
	if err != nil {
		t.Fatal(err)
	}
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, host.Listener.Addr().String())
	}
	roots := x509.NewCertPool()
	roots.AddCert(host.Certificate())
	transport := &http.Transport{DialContext: dial, TLSClientConfig: &tls.Config{RootCAs: roots}, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	s.broker = &Broker{Authority: authority, Vault: v, Transport: transport, Log: log}
	return s
}

// client is a client in a sandbox: what it dials reaches the broker, whom it trusts.
func (s *scene) client(t *testing.T) *http.Client {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.broker.Authority.PEM())
	var work sync.WaitGroup
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DialContext: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		work.Go(func() {
			s.broker.Serve(context.Background(), far, Place{Sandbox: "box", Workload: "agent", Session: "s", Port: s.port})
		})
		return near, nil
	}}
	t.Cleanup(work.Wait)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// asks sends one request with an Authorization header; path may hold a query.
func (s *scene) asks(t *testing.T, method, path, authorization string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, fmt.Sprintf("https://%s:%d%s", hostName, s.port, path), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", authorization)
	answer, err := s.client(t).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

// got is what the host was last sent as Authorization.
func (s *scene) got() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.handled) == 0 {
		return ""
	}
	return s.handled[len(s.handled)-1].Header.Get("Authorization")
}

func TestBroker_keysAndTokensOfClients(t *testing.T) {
	s := newScene(t)
	for placeholder, want := range map[string]string{
		"Bearer moorage-credential-weather": "Bearer " + secret,
		"Bearer moorage-credential-crm":     "Bearer token-for-read+write",
		"Bearer moorage-credential-none":    "Bearer moorage-credential-none",
		"Bearer their own":                  "Bearer their own",
	} {
		_, body := s.asks(t, "GET", "/v1/x", placeholder)
		if s.got() != want || body != "you sent "+placeholder {
			t.Errorf("%s: the host got %q, and its answer came as %q", placeholder, s.got(), body)
		}
	}
	for _, in := range [][2]string{{"POST", "/v1/x"}, {"GET", "/v2/x"}, {"GET", "/v1/%2e%2e/x"}} {
		if s.asks(t, in[0], in[1], "Bearer moorage-credential-crm"); s.got() != "Bearer moorage-credential-crm" {
			t.Errorf("%v: the host got %q", in, s.got())
		}
	}
	before := len(s.handled)
	answer, body := s.asks(t, "GET", "/v1/x", "Bearer moorage-credential-locked")
	if answer.StatusCode != http.StatusBadGateway || !strings.Contains(body, "refuses: invalid_client") || strings.Contains(body, "hush") || len(s.handled) != before {
		t.Errorf("a client that its provider refuses: %s %q", answer.Status, body)
	}
	policy, err := vault.ParsePolicy("test", []byte(vault.DefaultPolicy+`forbid (principal, action, resource) when { context.injected && context.flow == "M2M" };`))
	if err != nil {
		t.Fatal(err)
	}
	s.broker.Vault.Policy = policy
	if answer, _ := s.asks(t, "GET", "/v1/x", "Bearer moorage-credential-crm"); answer.StatusCode != http.StatusForbidden || len(s.handled) != before {
		t.Errorf("what a policy forbids: %s", answer.Status)
	}
}

func TestBroker_nothingOfAnAnswerHoldsTheCredential(t *testing.T) {
	s := newScene(t)
	s.handle = func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", secret)
		w.WriteHeader(http.StatusEarlyHints) // which HTTP sends on at once
		w.Header().Set("Trailer", "X-Last")
		w.Header().Set("X-First", "a "+secret+" b")
		for _, piece := range []string{"one ", secret[:5], secret[5:], " two ", secret, secret[:4]} {
			fmt.Fprint(w, piece)
			w.(http.Flusher).Flush()
		}
		w.Header().Set("X-Last", secret)
	}
	answer, body := s.asks(t, "GET", "/v1/x", "moorage-credential-weather")
	const placeholder = "moorage-credential-weather"
	if body != "one "+placeholder+" two "+placeholder+secret[:4] {
		t.Errorf("the body is %q", body)
	}
	if answer.Header.Get("X-First") != "a "+placeholder+" b" || answer.Trailer.Get("X-Last") != placeholder {
		t.Errorf("headers %v, trailers %v", answer.Header, answer.Trailer)
	}
	if all := fmt.Sprint(answer.Header, answer.Trailer); strings.Contains(all, secret) {
		t.Errorf("what came back holds it: %s", all)
	}
	s.handle = func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Encoding", "gzip") }
	if answer, _ := s.asks(t, "GET", "/v1/x", placeholder); answer.StatusCode != http.StatusBadGateway {
		t.Errorf("an answer that cannot be looked through: %s", answer.Status)
	}
}

func TestBroker_hintsAreNotHandedOn(t *testing.T) {
	s := newScene(t)
	s.handle = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", secret)
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
	}
	near, far := net.Pipe()
	go s.broker.Serve(context.Background(), far, Place{Sandbox: "box", Workload: "agent", Port: s.port})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.broker.Authority.PEM())
	c := tls.Client(near, &tls.Config{RootCAs: roots, ServerName: hostName, NextProtos: []string{"http/1.1"}})
	fmt.Fprintf(c, "GET /v1/x HTTP/1.1\r\nHost: %s:%d\r\nAuthorization: moorage-credential-weather\r\nConnection: close\r\n\r\n", hostName, s.port)
	raw, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	if strings.Contains(string(raw), secret) || !strings.HasPrefix(string(raw), "HTTP/1.1 200") {
		t.Errorf("the answer is %q", raw)
	}
}

func TestBroker_isForItsHostOnly(t *testing.T) {
	s := newScene(t)
	r, err := http.NewRequestWithContext(t.Context(), "GET", fmt.Sprintf("https://%s:%d/v1/x", hostName, s.port), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "another.example"
	answer, err := s.client(t).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("a request for another host: %s", answer.Status)
	}
	if _, err := s.client(t).Get(fmt.Sprintf("https://another.example:%d/v1/x", s.port)); err == nil {
		t.Error("the broker speaks for a host that no rule names")
	}
}

func TestFill_everywhereThatACredentialMayBe(t *testing.T) {
	find := func(provider string) (string, bool, error) {
		if provider == "broken" {
			return "", false, moorage.Errorf(moorage.Denied, "no")
		}
		return "S:" + provider, provider != "none", nil
	}
	r := httptest.NewRequest("GET", "/x?a=moorage-credential-one&b=2", nil)
	r.Header.Set("X-Key", "moorage-credential-two,moorage-credential-none moorage-credential-")
	r.SetBasicAuth("user", "moorage-credential-three")
	if err := fill(r, find); err != nil {
		t.Fatal(err)
	}
	user, password, _ := r.BasicAuth()
	if got := []string{r.URL.RawQuery, r.Header.Get("X-Key"), user, password}; fmt.Sprint(got) != fmt.Sprint([]string{
		"a=S:one&b=2", "S:two,moorage-credential-none S:", "user", "S:three",
	}) {
		t.Errorf("%q", got)
	}
	r.Header.Set("X-Key", "moorage-credential-broken")
	if err := fill(r, find); moorage.CodeOf(err) != moorage.Denied {
		t.Errorf("a credential that is refused: %v", err)
	}
}

func TestScrubber_seesThroughAnyPieces(t *testing.T) {
	text := "a" + secret + secret[:7] + secret + "\n" + strings.Repeat("x", 40<<10) + secret[:len(secret)-1] + "!" + secret
	want := strings.ReplaceAll(text, secret, "P")
	for _, pieces := range []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader, func(r io.Reader) io.Reader { return r }} {
		s := &scrubber{ReadCloser: io.NopCloser(pieces(strings.NewReader(text))), secrets: map[string]string{secret: "P"}}
		if got, err := io.ReadAll(s); err != nil || string(got) != want {
			t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
		}
	}
}

func TestAuthority_vouchesForOneSandboxAndHost(t *testing.T) {
	a, err := NewAuthority([]byte(strings.Repeat("a", 32)))
	if err != nil {
		t.Fatal(err)
	}
	same, err := NewAuthority([]byte(strings.Repeat("a", 32)))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(same.PEM()) // of an earlier start
	cert, err := a.Certificate("box", "api.example")
	if err != nil {
		t.Fatal(err)
	}
	between := x509.NewCertPool()
	inner, err := x509.ParseCertificate(cert.Certificate[1])
	if err != nil {
		t.Fatal(err)
	}
	between.AddCert(inner)
	if _, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: "api.example"}); err != nil {
		t.Error(err)
	}
	if _, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: "other.example"}); err == nil {
		t.Error("the certificate is good for another host")
	}
	again, _ := a.Certificate("box", "api.example")
	other, _ := a.Certificate("another box", "api.example")
	if again != cert || other == cert || string(other.Certificate[1]) == string(cert.Certificate[1]) {
		t.Error("sandboxes share an authority, or a certificate is made for each connection")
	}
	if _, err := NewAuthority([]byte("short")); err == nil {
		t.Error("a key of another length was taken")
	}
}
