package compat

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	controltypes "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"golang.org/x/sys/unix"
)

// host is a service on this machine that wants a key, behind TLS, and repeats what it is sent.
type host struct {
	name, port string
	authority  []byte // PEM, of who vouches for it

	mu   sync.Mutex
	keys []string // that callers sent
}

func newHost(t *testing.T) *host {
	t.Helper()
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	h := &host{name: strings.ToLower(name)}
	if found, err := net.LookupHost(h.name); err != nil || len(found) == 0 {
		t.Skipf("this machine's own name, %s, has no address", h.name)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: h.name}, DNSNames: []string{h.name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	h.authority = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		h.keys = append(h.keys, r.Header.Get("Authorization")+r.Header.Get("X-Api-Key")+r.URL.Query().Get("key"))
		h.mu.Unlock()
		w.Header().Set("X-Echo", r.Header.Get("Authorization"))
		fmt.Fprintf(w, "you sent %s %s%s to %s", r.Header.Get("Authorization"), r.Header.Get("X-Api-Key"), r.URL.RawQuery, r.URL.Path)
	}))
	s.Listener, err = net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	s.StartTLS()
	t.Cleanup(s.Close)
	_, h.port, _ = net.SplitHostPort(s.Listener.Addr().String())
	return h
}

func (h *host) url(path string) string { return "https://" + h.name + ":" + h.port + path }

// last is the key that the latest caller sent.
func (h *host) last() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.keys) == 0 {
		return ""
	}
	return h.keys[len(h.keys)-1]
}

// trusting is a server of this test's own whose machine trusts an authority besides its others.
func trusting(t *testing.T, authority []byte, args ...string) *server {
	t.Helper()
	bundle, err := os.ReadFile("/etc/ssl/certs/ca-certificates.crt")
	if err != nil {
		t.Logf("this machine has no bundle of authorities: %v", err)
	}
	file := filepath.Join(t.TempDir(), "bundle.pem")
	if err := os.WriteFile(file, append(bundle, authority...), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSL_CERT_FILE", file)
	s, err := newServer()
	if err != nil {
		t.Fatal(err)
	}
	s.args = append(s.args, args...)
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.down(); err != nil {
			t.Error(err)
		}
		if err := s.remove(); err != nil {
			t.Error(err)
		}
	})
	s.watch(t)
	return s
}

func TestInject_agentsCallWithKeysThatTheyNeverHold(t *testing.T) {
	const canary = "sk-canary-4242-of-the-broker"
	h := newHost(t)
	s := trusting(t, h.authority)
	d := probe
	d.name, d.tags = "holds_nothing", map[string]string{"moorage:inject": "on"}
	d.env = map[string]string{"API_KEY": "moorage-credential-weather", "PASSWORD": "pw-canary-of-the-version"}
	_, err := s.control().CreateApiKeyCredentialProvider(t.Context(), &control.CreateApiKeyCredentialProviderInput{
		Name: aws.String("weather"), ApiKey: aws.String(canary), Tags: map[string]string{"moorage:inject": "GET " + h.name + ":" + h.port + "/v1/"},
	})
	if err != nil {
		t.Fatal(err)
	}
	a := s.deployed(t, d)
	session := newSession(t)
	fetch := func(in map[string]any) (out fetched) {
		t.Helper()
		in["op"] = "fetch"
		if err := a.call(t.Context(), session, in, &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	bearer := map[string]string{"Authorization": "Bearer moorage-credential-weather"}
	got := fetch(map[string]any{"url": h.url("/v1/today"), "headers": bearer})
	if h.last() != "Bearer "+canary || got.Status != 200 {
		t.Fatalf("the host got %q, the agent %+v", h.last(), got)
	}
	if got.Body != "you sent Bearer moorage-credential-weather  to /v1/today" {
		t.Errorf("the host's answer reached the agent as %q", got.Body)
	}
	if fetch(map[string]any{"url": h.url("/v1/today?key=moorage-credential-weather")}); h.last() != canary {
		t.Errorf("in the query the host got %q", h.last())
	}
	for name, in := range map[string]map[string]any{
		"another path":         {"url": h.url("/admin"), "headers": bearer},
		"a path with dots":     {"url": h.url("/v1/../admin"), "headers": bearer},
		"another method":       {"url": h.url("/v1/today"), "headers": bearer, "method": "POST"},
		"an unknown provider":  {"url": h.url("/v1/today"), "headers": map[string]string{"Authorization": "Bearer moorage-credential-none"}},
		"a name that goes on":  {"url": h.url("/v1/today"), "headers": map[string]string{"Authorization": "Bearer moorage-credential-weather2"}},
		"the host by a number": {"url": "https://169.254.170.3:" + h.port + "/v1/today", "headers": bearer},
	} {
		got := fetch(in)
		if strings.Contains(h.last(), canary) && in["url"] != "https://169.254.170.3:"+h.port+"/v1/today" || strings.Contains(got.Body, canary) {
			t.Errorf("%s: the host got %q, the agent %+v", name, h.last(), got)
		}
	}

	// The key is nowhere in the sandbox, nor in what the platform says of it.
	if !s.remembers(t, "moorage-credential-weather") {
		t.Error("the placeholder is not found in the sandbox's memory: the search finds nothing")
	}
	if s.remembers(t, canary) {
		t.Error("the key is in the memory of a sandbox, or of the shim")
	}
	var found struct{ Found []string }
	if err := a.call(t.Context(), session, map[string]any{"op": "search", "parts": []string{canary[:14], canary[14:]}}, &found); err != nil {
		t.Fatal(err)
	}
	if len(found.Found) > 0 {
		t.Errorf("the key is inside the sandbox: %v", found.Found)
	}
	s.holdsNowhere(t, canary)
	s.holdsNowhere(t, "pw-canary-of-the-version") // which the agent has in its environment, as it runs
	t.Run("tokens of a client", func(t *testing.T) { s.injectsTokens(t, h, fetch) })
	t.Run("by moorage.yaml", func(t *testing.T) { s.injectsByProject(t, h) })
}

// injectsByProject deploys an agent whose project says which of its calls get a key.
func (s *server) injectsByProject(t *testing.T, h *host) {
	const canary = "sk-canary-of-the-project"
	name := "declared"
	made, err := s.control().CreateApiKeyCredentialProvider(t.Context(), &control.CreateApiKeyCredentialProviderInput{
		Name: aws.String("news"), ApiKey: aws.String(canary), Tags: map[string]string{"moorage:inject:another": "GET another.example"},
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	code, err := os.ReadFile("testdata/probe/main.py")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "main.py"), code, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	deploy := func(inject string) (string, error) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "moorage.yaml"), []byte("name: "+name+"\n"+inject), 0o600); err != nil {
			t.Fatal(err)
		}
		return s.cli(t.Context(), "deploy", dir, "--json")
	}
	if _, err := deploy("inject:\n  nothing: [GET " + h.name + "]\n"); err == nil || !strings.Contains(err.Error(), "moorage credentials create nothing") {
		t.Errorf("a credential that is not there: %v", err)
	}
	if _, err := deploy("inject:\n  news: ['GET 192.0.2.1']\n"); err == nil || !strings.Contains(err.Error(), "is not [METHOD ...] HOST") {
		t.Errorf("a rule that is none: %v", err)
	}
	out, err := deploy("inject:\n  news:\n    - GET " + h.name + ":" + h.port + "/news/\n    - POST " + h.name + ":" + h.port + "/letters\n")
	if err != nil {
		t.Fatal(out, err)
	}
	var deployed struct {
		AgentRuntimeArn, AgentRuntimeID string
		Changed                         bool
	}
	if err := json.Unmarshal([]byte(out), &deployed); err != nil {
		t.Fatal(err)
	}
	a := &agent{server: s, arn: deployed.AgentRuntimeArn, id: deployed.AgentRuntimeID}
	session := newSession(t)
	sends := func(method, path string) string {
		t.Helper()
		var got fetched
		in := map[string]any{"op": "fetch", "method": method, "url": h.url(path), "headers": map[string]string{"X-Api-Key": "moorage-credential-news"}}
		if err := a.call(t.Context(), session, in, &got); err != nil || got.Status != 200 {
			t.Errorf("%+v, %v", got, err)
		}
		return h.last()
	}
	if sends("GET", "/news/today") != canary || sends("POST", "/letters") != canary || sends("POST", "/news/today") == canary {
		t.Error("the calls that the project names do not get the key, or others do")
	}
	if out, err = deploy("inject:\n  news: ['GET " + h.name + ":" + h.port + "/news/']\n"); err != nil || !strings.Contains(out, `"changed": false`) {
		t.Errorf("fewer rules, and the same code: %s (%v)", out, err)
	}
	if sends("GET", "/news/today") != canary || sends("POST", "/letters") == canary {
		t.Error("a rule that the project no longer has is in force, or one that it has is not")
	}
	if out, err = deploy(""); err != nil {
		t.Error(out, err)
	}
	if sends("GET", "/news/today") == canary {
		t.Error("the rules outlived the project's")
	}
	tags, err := s.control().ListTagsForResource(t.Context(), &control.ListTagsForResourceInput{ResourceArn: made.CredentialProviderArn})
	if err != nil || len(tags.Tags) != 1 || tags.Tags["moorage:inject:another"] == "" {
		t.Errorf("what somebody else set: %v, %v", tags, err)
	}
}

// fetched is what the agent says of a call that it made.
type fetched struct {
	Status int
	Body   string
	Error  string
}

// injectsTokens has the agent call the host as a client of an OpenID provider, whose token it never holds either.
func (s *server) injectsTokens(t *testing.T, h *host, fetch func(map[string]any) fetched) {
	p := newOpenIDProvider(t)
	rule := map[string]string{"moorage:inject": "GET POST " + h.name + ":" + h.port + "/crm/", "moorage:inject-scopes": "openid"}
	for name, clientSecret := range map[string]string{"crm": "verysecret", "locked": "a-secret-canary-that-is-wrong"} {
		_, err := s.control().CreateOauth2CredentialProvider(t.Context(), &control.CreateOauth2CredentialProviderInput{
			Name: &name, CredentialProviderVendor: controltypes.CredentialProviderVendorTypeCustomOauth2, Tags: rule,
			Oauth2ProviderConfigInput: &controltypes.Oauth2ProviderConfigInputMemberCustomOauth2ProviderConfig{Value: controltypes.CustomOauth2ProviderConfigInput{
				ClientId: aws.String("sid1"), ClientSecret: &clientSecret, OauthDiscovery: &controltypes.Oauth2DiscoveryMemberDiscoveryUrl{Value: p.discovery()},
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	as := func(name string) map[string]string {
		return map[string]string{"Authorization": "Bearer moorage-credential-" + name}
	}
	got := fetch(map[string]any{"url": h.url("/crm/people"), "headers": as("crm"), "method": "POST"})
	token := h.last()
	if strings.Count(token, ".") != 2 || got.Status != 200 || got.Body != "you sent Bearer moorage-credential-crm  to /crm/people" {
		t.Fatalf("the host got %q, the agent %+v", token, got)
	}
	if fetch(map[string]any{"url": h.url("/crm/people"), "headers": as("crm")}); h.last() != token {
		t.Error("a token that was live was asked for anew")
	}
	if fetch(map[string]any{"url": h.url("/v1/today"), "headers": as("crm")}); h.last() != "Bearer moorage-credential-crm" {
		t.Errorf("where no rule is, the host got %q", h.last())
	}
	if got := fetch(map[string]any{"url": h.url("/crm/people"), "headers": as("locked")}); got.Status != 502 || !strings.Contains(got.Body, "refuses") || strings.Contains(got.Body, "canary") {
		t.Errorf("a client whose secret is wrong: %+v", got)
	}
	token = strings.TrimPrefix(token, "Bearer ")
	if s.remembers(t, token[len(token)-40:]) {
		t.Error("the token is in the memory of a sandbox, or of the shim")
	}
	s.holdsNowhere(t, token[len(token)-40:])
	record, err := s.cli(t.Context(), "audit", "list", "--kind", "release", "--json")
	if err != nil {
		t.Fatal(err)
	}
	wantWords(t, record, "oauth2credentialprovider/crm", "injected", "M2M")
}

// holdsNowhere looks for a secret in everything that the server wrote: rows, spans, logs, journals, snapshots.
func (s *server) holdsNowhere(t *testing.T, secret string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(s.dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return nil // sockets, and what goes meanwhile
		}
		if info, err := e.Info(); err != nil || strings.Contains(name, "/images/") || strings.Contains(name, "/engines/") && info.Size() > 16<<20 {
			return nil // hundreds of megabytes that were there before the secret was
		}
		files++
		b, err := os.ReadFile(name)
		if err == nil && strings.Contains(string(b), secret) {
			t.Errorf("%s holds the secret", name)
		}
		return nil
	})
	if err != nil || files < 5 {
		t.Errorf("looked into %d files: %v", files, err)
	}
	if log, err := os.ReadFile(s.log); err != nil || strings.Contains(string(log), secret) {
		t.Errorf("the server's log holds the secret, or cannot be read: %v", err)
	}
}

// remembers looks for a text in the memory of the server's sandboxes, and of the shim between.
func (s *server) remembers(t *testing.T, text string) (found bool) {
	t.Helper()
	looked, seen := 0, map[uint64]bool{}
	for _, p := range processes() {
		if !strings.Contains(p.executable, s.dir) {
			continue
		}
		memory, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", p.pid))
		if err != nil {
			continue // it is gone
		}
		file, err := os.Open(fmt.Sprintf("/proc/%d/mem", p.pid))
		if err != nil {
			t.Skipf("the memory of processes cannot be read: %v", err)
		}
		defer file.Close()
		for line := range strings.Lines(string(memory)) {
			var from, to int64
			var mode string
			if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); err != nil || !strings.HasPrefix(mode, "rw") || len(strings.Fields(line)) > 5 {
				continue // code, files, and what is looked into below
			}
			n, has := holds(file, from, to, text)
			looked, found = looked+n, found || has
		}
		fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.pid))
		for _, fd := range fds {
			if to, _ := os.Readlink(fd); !strings.Contains(to, "memfd:") && !strings.Contains(to, "memory") {
				continue
			}
			if m, err := os.Open(fd); err == nil {
				defer m.Close()
				info, err := m.Stat()
				if err != nil || seen[info.Sys().(*syscall.Stat_t).Ino] {
					continue
				}
				seen[info.Sys().(*syscall.Stat_t).Ino] = true
				n, has := holds(m, 0, 8<<30, text)
				looked, found = looked+n, found || has
			}
		}
	}
	if looked < 32<<20 {
		t.Errorf("only %d bytes of the sandboxes' memory were looked into", looked)
	}
	return found
}

// holds looks for a text in the data of a file between two places, and says how much there was.
func holds(f *os.File, from, to int64, text string) (looked int, found bool) {
	const step = 1 << 20
	buf := make([]byte, step+len(text))
	for at := from; at < to; {
		if data, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA); err == nil {
			at = data
		} else if errors.Is(err, unix.ENXIO) {
			break
		}
		n, _ := f.ReadAt(buf[:min(int64(len(buf)), to-at)], at)
		if n == 0 {
			break
		}
		found = found || bytes.Contains(buf[:n], []byte(text))
		looked += min(n, step)
		at += step
	}
	return looked, found
}
