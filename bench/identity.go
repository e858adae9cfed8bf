package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"golang.org/x/sys/unix"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity"
	"github.com/moorage-dev/moorage/internal/identity/bearer"
	"github.com/moorage-dev/moorage/internal/identity/policy"
	"github.com/moorage-dev/moorage/internal/identity/vault"
	"github.com/moorage-dev/moorage/internal/identity/workload"
	"github.com/moorage-dev/moorage/internal/store"
)

// identity measures what it costs to know who calls and what they may: alone, in processor time, and as what a call takes longer.
func (b *bench) identity(ctx context.Context) error {
	for _, measure := range []func(context.Context) error{b.signatures, b.tokens, b.decisions, b.releases, b.identifiedCalls} {
		if err := measure(ctx); err != nil {
			return err
		}
	}
	return nil
}

// inProcess says that a row was measured without a server.
const inProcess = "in this process, one after another"

// costs runs do n times and adds a row: processor time of each, all threads and garbage collection included.
func (b *bench) costs(what, of string, n int, limit float64, do func() error) error {
	n = b.samples(n)
	for range n / 10 {
		if err := do(); err != nil {
			return err
		}
	}
	before, began := processorTime(), time.Now()
	for range n {
		if err := do(); err != nil {
			return err
		}
	}
	each := (processorTime() - before).Seconds() * 1e6 / float64(n)
	r := row{
		What: what, Agent: of, Root: inProcess, Value: each, Unit: "µs of processor", Samples: n,
		Detail: fmt.Sprintf("%.0f a second and core; %.1f µs by the clock", 1e6/each, time.Since(began).Seconds()*1e6/float64(n)),
	}
	if limit > 0 {
		r.Goal, r.Met = goal(fmt.Sprintf("< %.0f µs", limit), each < limit)
	}
	b.add(r)
	return nil
}

// processorTime is what this process used so far.
func processorTime() time.Duration {
	var u unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &u) // fails for bad arguments only
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

const benchPath = "/runtimes/arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A123456789012%3Aruntime%2Fdemo-abcdefghij/invocations?qualifier=DEFAULT"

// signatures verifies a call with a body of 1 KiB as an SDK signs it: the hash of the body is not sent, so it is calculated.
func (b *bench) signatures(ctx context.Context) error {
	now := time.Now()
	body := bytes.Repeat([]byte("x"), 1<<10)
	r, err := http.NewRequestWithContext(ctx, "POST", "http://localhost:9400"+benchPath, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(sessionHeader, newSession())
	r.ContentLength = int64(len(body))
	key := aws.Credentials{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
	if err := v4.NewSigner().SignHTTP(ctx, key, r, hash(string(body)), identity.AgentCore, "us-east-1", now); err != nil {
		return err
	}
	r.Host = r.URL.Host
	v := &identity.Verifier{
		Keys: func(context.Context, string) (identity.AccessKey, error) {
			return identity.AccessKey{Secret: key.SecretAccessKey, Principal: "arn:aws:iam::123456789012:user/ada"}, nil
		},
		Services: map[string]int64{identity.AgentCore: 0},
	}
	return b.costs("signature verified", "SigV4, a body of 1 KiB", 50_000, 60, func() error {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		_, err := v.Verify(r)
		if err == nil {
			r.Body.Close()
		}
		return err
	})
}

// tokenIssuer is a provider with one key, which signs what it is asked to.
type tokenIssuer struct {
	*httptest.Server
	key *rsa.PrivateKey
}

func newTokenIssuer() (*tokenIssuer, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	p := &tokenIssuer{key: key}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, p.URL, p.URL+"/keys")
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		n, e := base64.RawURLEncoding.EncodeToString(key.N.Bytes()), base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes())
		fmt.Fprintf(w, `{"keys":[{"kid":"one","kty":"RSA","alg":"RS256","use":"sig","n":%q,"e":%q}]}`, n, e)
	})
	p.Server = httptest.NewServer(mux)
	return p, nil
}

func (p *tokenIssuer) discovery() string { return p.URL + "/.well-known/openid-configuration" }

func (p *tokenIssuer) token() (string, error) {
	claims, err := json.Marshal(map[string]any{
		"iss": p.URL, "sub": "ada", "client_id": "app", "scope": "read write", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(), "jti": newSession(),
	})
	if err != nil {
		return "", err
	}
	input := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","kid":"one","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(claims)
	sum := sha256.Sum256([]byte(input))
	signature, err := rsa.SignPKCS1v15(nil, p.key, crypto.SHA256, sum[:])
	return input + "." + base64.RawURLEncoding.EncodeToString(signature), err
}

// tokens verifies a bearer token by a key that is known.
func (b *bench) tokens(ctx context.Context) error {
	p, err := newTokenIssuer()
	if err != nil {
		return err
	}
	defer p.Close()
	raw, err := p.token()
	if err != nil {
		return err
	}
	v := &bearer.Verifier{Client: bearer.NewClient([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})}
	defer v.Close()
	a := moorage.JWTAuthorizer{DiscoveryURL: p.discovery(), Clients: []string{"app"}, Scopes: []string{"read"}}
	return b.costs("bearer token verified", "RS256 with 2,048 bits, the key known", 30_000, 150, func() error {
		_, err := v.Verify(ctx, a, raw)
		return err
	})
}

// decisions evaluates 100 statements of which the last one allows.
func (b *bench) decisions(context.Context) error {
	var all []*policy.Document
	for i := range 100 {
		team, user := fmt.Sprintf("team%d", i), fmt.Sprintf("user%d", i)
		if i == 99 {
			team, user = "demo", "ada"
		}
		d, err := policy.Parse(policy.Identity, fmt.Sprint("p", i), fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":"Allow",
			"Action":["bedrock-agentcore:Invoke*","bedrock-agentcore:StopRuntimeSession"],"Resource":["arn:aws:bedrock-agentcore:*:*:runtime/%s-*"],
			"Condition":{"StringEquals":{"aws:username":%q}}}}`, team, user))
		if err != nil {
			return err
		}
		all = append(all, d)
	}
	q := &policy.Request{
		Principal: policy.Principal{ARN: "arn:aws:iam::123456789012:user/ada", Account: "123456789012"},
		Action:    "bedrock-agentcore:InvokeAgentRuntime", Resource: "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/demo-abcdefghij",
		Values: func(string) []string { return []string{"ada"} },
	}
	return b.costs("policy decision", "100 statements in IAM's language", 200_000, 25, func() error {
		if m := policy.Evaluate(all, q); len(m) != 1 || m[0].Deny {
			return fmt.Errorf("the statements that match are %+v", m)
		}
		return nil
	})
}

// releases hands out a client's token that the vault has already, and an API key.
func (b *bench) releases(ctx context.Context) error {
	dir := filepath.Join(b.server.work, "vault")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	db, err := store.Open(ctx, dir)
	if err != nil {
		return err
	}
	defer db.Close()
	service := &workload.Service{Store: db, Key: bytes.Repeat([]byte("w"), 32), Region: "us-east-1", Account: "123456789012"}
	if err := service.Load(ctx); err != nil {
		return err
	}
	if _, err := service.Create(ctx, "agent", nil, nil); err != nil {
		return err
	}
	token, err := service.Token(ctx, "agent")
	if err != nil {
		return err
	}
	key, err := vault.NewLocalKey("bench", bytes.Repeat([]byte("k"), 32))
	if err != nil {
		return err
	}
	release, err := vault.ParsePolicy("the default policy", []byte(vault.DefaultPolicy))
	if err != nil {
		return err
	}
	v := &vault.Vault{Store: db, Workloads: service, Key: key, Client: http.DefaultClient, Region: "us-east-1", Account: "123456789012", Log: slog.New(slog.DiscardHandler), Policy: release}
	if err := v.Load(ctx); err != nil {
		return err
	}
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"access_token":"a-token","token_type":"Bearer","expires_in":3600}`)
	}))
	defer issuer.Close()
	provider := vault.Provider{Kind: vault.OAuth2, Name: "crm", Client: vault.Client{
		Vendor: "CustomOauth2", ID: "app", Server: vault.Server{Issuer: issuer.URL, Token: issuer.URL + "/token", Authorization: issuer.URL + "/authorize"},
	}}
	if _, err := v.Create(ctx, provider, "client-secret", nil); err != nil {
		return err
	}
	if _, err := v.Create(ctx, vault.Provider{Kind: vault.APIKey, Name: "weather"}, "an-api-key", nil); err != nil {
		return err
	}
	request := vault.Request{Token: token, Provider: "crm", Scopes: []string{"read"}, Flow: vault.FlowM2M}
	err = b.costs("token released", "of a client, kept in the vault", 50_000, 0, func() error {
		got, err := v.AccessToken(ctx, request)
		if err == nil && got.AccessToken != "a-token" {
			err = fmt.Errorf("the vault answers %+v", got)
		}
		return err
	})
	if err != nil {
		return err
	}
	return b.costs("API key released", "kept in the vault", 50_000, 0, func() error {
		got, err := v.APIKey(ctx, token, "weather")
		if err == nil && got != "an-api-key" {
			err = errors.New("the vault answers with another key")
		}
		return err
	})
}

// identifiedCalls measures whole calls, signed and with a token, beside ones that are dialled into the same sandbox, in turns.
func (b *bench) identifiedCalls(ctx context.Context) error {
	p, err := newTokenIssuer()
	if err != nil {
		return err
	}
	defer p.Close()
	k := goAgent
	k.name, k.jwt = "bench_go_bearer", p.discovery()
	signed, err := b.open(ctx, goAgent)
	if err != nil {
		return err
	}
	bearing, end, err := b.openBearing(ctx, k, p)
	if err != nil {
		return err
	}
	var took [3][]time.Duration
	plain := plainRequest()
	for i := range b.samples(2000) + 50 {
		for n, call := range []func() (time.Duration, error){
			func() (time.Duration, error) { return signed.direct.call(plain) },
			func() (time.Duration, error) { return signed.through.call(signed.request) },
			bearing,
		} {
			t, err := call()
			if err != nil {
				return err
			}
			if i >= 50 {
				took[n] = append(took[n], t)
			}
		}
	}
	for n, way := range []string{"signed", "with a bearer token"} {
		for _, q := range []int{50, 99} {
			whole, bare := percentile(took[n+1], q)*1000, percentile(took[0], q)*1000
			b.add(row{
				What: fmt.Sprintf("added to a call, p%d", q), Agent: k.label + ", " + way, Root: erofs, Unit: "µs", Samples: len(took[n+1]),
				Value: whole - bare, Beside: bare, Against: "the whole call, dialled into the sandbox", Detail: fmt.Sprintf("through the data plane %.0f µs", whole),
			})
		}
	}
	return errors.Join(signed.end(), end())
}

// openBearing opens a session of an agent behind a provider, and returns a call of it and its end.
func (b *bench) openBearing(ctx context.Context, k kind, p *tokenIssuer) (call func() (time.Duration, error), end func() error, err error) {
	arn, err := b.server.deploy(ctx, k)
	if err != nil {
		return nil, nil, err
	}
	token, err := p.token()
	if err != nil {
		return nil, nil, err
	}
	conn, err := b.server.dial(ctx)
	if err != nil {
		return nil, nil, err
	}
	on, session := newLine(conn), newSession()
	request := func(what, body string) ([]byte, error) {
		r, err := http.NewRequestWithContext(ctx, "POST", b.server.Endpoint+"/runtimes/"+strings.ReplaceAll(strings.ReplaceAll(arn, ":", "%3A"), "/", "%2F")+what+"?qualifier=DEFAULT", strings.NewReader(body))
		if err != nil {
			return nil, err
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set(sessionHeader, session)
		r.Header.Set("Authorization", "Bearer "+token)
		return prepared(r)
	}
	ask, err := request("/invocations", payload)
	if err != nil {
		return nil, nil, err
	}
	stop, err := request("/stopruntimesession", "{}")
	if err != nil {
		return nil, nil, err
	}
	end = func() error {
		_, err := on.call(stop)
		return errors.Join(err, conn.Close())
	}
	return func() (time.Duration, error) { return on.call(ask) }, end, nil
}
