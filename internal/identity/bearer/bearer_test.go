package bearer

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/moorage-dev/moorage"
)

// fakeProvider serves metadata and keys, and can be broken: what a real one does not let itself be.
type fakeProvider struct {
	*httptest.Server
	key     *rsa.PrivateKey
	ec      *ecdsa.PrivateKey
	down    atomic.Bool
	fetches atomic.Int64 // of keys
	kid     atomic.Value
}

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func newProvider(t *testing.T) *fakeProvider {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &fakeProvider{key: rsaKey(), ec: ec}
	p.kid.Store("one")
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		if p.down.Load() {
			http.Error(w, "down", http.StatusBadGateway)
			return
		}
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, p.URL, p.URL+"/keys")
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		p.fetches.Add(1)
		json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
			{Key: &p.key.PublicKey, KeyID: p.kid.Load().(string), Algorithm: "RS256", Use: "sig"},
			{Key: &p.ec.PublicKey, KeyID: "curve", Use: "sig"},
			{Key: &p.key.PublicKey, KeyID: "for-encryption", Use: "enc"},
		}})
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

func (p *fakeProvider) authorizer() moorage.JWTAuthorizer {
	return moorage.JWTAuthorizer{DiscoveryURL: p.URL + "/.well-known/openid-configuration", Clients: []string{"app"}}
}

func (p *fakeProvider) claims() map[string]any {
	now := time.Now().Unix()
	return map[string]any{"iss": p.URL, "sub": "ann", "client_id": "app", "iat": now, "exp": now + 600}
}

func with(claims map[string]any, name string, value any) map[string]any {
	out := maps.Clone(claims)
	if out[name] = value; value == nil {
		delete(out, name)
	}
	return out
}

// token signs by hand, so that what no library would make can be made.
func (p *fakeProvider) token(t *testing.T, header, payload string) string {
	t.Helper()
	input := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
	sum := sha256.Sum256([]byte(input))
	signature, err := rsa.SignPKCS1v15(nil, p.key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func (p *fakeProvider) good(t *testing.T, claims map[string]any) string {
	t.Helper()
	doc, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return p.token(t, `{"alg":"RS256","kid":"one"}`, string(doc))
}

func newVerifier(t *testing.T) *Verifier {
	v := &Verifier{Client: NewClient([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})}
	t.Cleanup(v.Close)
	return v
}

func TestVerify_aGoodTokenNamesItsCaller(t *testing.T) {
	p, v := newProvider(t), newVerifier(t)
	token, err := v.Verify(t.Context(), p.authorizer(), p.good(t, p.claims()))
	if err != nil {
		t.Fatal(err)
	}
	if c := token.Caller(); c.Source != moorage.JWT || c.Owner() != p.URL+"#ann" {
		t.Errorf("caller %+v", c)
	}
}

func TestVerify_forgedAndDamagedTokens(t *testing.T) {
	p, v := newProvider(t), newVerifier(t)
	good := p.claims()
	whole := p.good(t, good)
	doc, _ := json.Marshal(good)
	head, rest, _ := strings.Cut(whole, ".")
	body, signature, _ := strings.Cut(rest, ".")
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	stranger := &fakeProvider{Server: p.Server, key: other}
	now := time.Now().Unix()
	encode := base64.RawURLEncoding.EncodeToString
	hs256 := func(secret []byte) string {
		input := encode([]byte(`{"alg":"HS256","kid":"one"}`)) + "." + body
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(input))
		return input + "." + encode(mac.Sum(nil))
	}
	jwk, _ := json.Marshal(jose.JSONWebKey{Key: &other.PublicKey, KeyID: "one"})
	const refused, unparsable = moorage.Unauthenticated, moorage.Denied
	for _, c := range []struct {
		name, token string
		want        moorage.Code
		words       string
	}{
		{"empty", "", unparsable, "Failed to parse"},
		{"a word", "garbage", unparsable, "Failed to parse"},
		{"two parts", head + "." + body, unparsable, "Failed to parse"},
		{"four parts", whole + ".x", unparsable, "Failed to parse"},
		{"five parts, encrypted", whole + ".x.y", unparsable, "Failed to parse"},
		{"dots", "..", unparsable, "Failed to parse"},
		{"a header that is no base64", "!." + body + "." + signature, unparsable, ""},
		{"a header that is no JSON", encode([]byte("{")) + "." + body + "." + signature, unparsable, ""},
		{"a header that is a list", encode([]byte("[]")) + "." + body + "." + signature, unparsable, ""},
		{"a header that is null", encode([]byte("null")) + "." + body + "." + signature, unparsable, ""},
		{"a body that is no JSON", p.token(t, `{"alg":"RS256","kid":"one"}`, "{"), unparsable, ""},
		{"a body that is a list", p.token(t, `{"alg":"RS256","kid":"one"}`, "[]"), unparsable, ""},
		{"a body with something behind", p.token(t, `{"alg":"RS256","kid":"one"}`, string(doc)+"{}"), unparsable, ""},
		{"standard base64", head + "." + body + "." + "ab+/", unparsable, ""},
		{"too large", whole + strings.Repeat("A", maxToken), unparsable, ""},
		{"a workload token", "acw1.abc.def", unparsable, ""},

		{"none", encode([]byte(`{"alg":"none"}`)) + "." + body + ".", refused, "Invalid token"},
		{"None", encode([]byte(`{"alg":"None"}`)) + "." + body + ".", refused, ""},
		{"NONE with a signature", encode([]byte(`{"alg":"NONE"}`)) + "." + body + "." + signature, refused, ""},
		{"no alg", encode([]byte(`{"kid":"one"}`)) + "." + body + "." + signature, refused, ""},
		{"alg of another type", encode([]byte(`{"alg":5}`)) + "." + body + "." + signature, refused, ""},
		{"HS256 with the public key", hs256(p.key.PublicKey.N.Bytes()), refused, ""},
		{"HS256 with nothing", hs256(nil), refused, ""},
		{"an unheard-of alg", encode([]byte(`{"alg":"RS1","kid":"one"}`)) + "." + body + "." + signature, refused, ""},
		{"PS256 for a key of RS256", encode([]byte(`{"alg":"PS256","kid":"one"}`)) + "." + body + "." + signature, refused, ""},
		{"ES256 for a key of RSA", encode([]byte(`{"alg":"ES256","kid":"one"}`)) + "." + body + "." + signature, refused, ""},
		{"an elliptic key's id", encode([]byte(`{"alg":"RS256","kid":"curve"}`)) + "." + body + "." + signature, refused, ""},
		{"an encryption key's id", p.token(t, `{"alg":"RS256","kid":"for-encryption"}`, string(doc)), refused, ""},
		{"an unknown kid", p.token(t, `{"alg":"RS256","kid":"two"}`, string(doc)), refused, ""},
		{"a kid that is a path", p.token(t, `{"alg":"RS256","kid":"../../dev/null"}`, string(doc)), refused, ""},
		{"a kid that is SQL", p.token(t, `{"alg":"RS256","kid":"' OR 1=1 --"}`, string(doc)), refused, ""},
		{"a kid of another type", p.token(t, `{"alg":"RS256","kid":1}`, string(doc)), unparsable, ""},
		{"its own key along", stranger.token(t, `{"alg":"RS256","kid":"one","jwk":`+string(jwk)+`}`, string(doc)), refused, ""},
		{"an address of keys along", stranger.token(t, `{"alg":"RS256","kid":"one","jku":"`+p.URL+`/keys"}`, string(doc)), refused, ""},
		{"an address of certificates along", stranger.token(t, `{"alg":"RS256","kid":"one","x5u":"https://example.com"}`, string(doc)), refused, ""},
		{"crit", p.token(t, `{"alg":"RS256","kid":"one","crit":["exp"]}`, string(doc)), refused, ""},
		{"crit, empty", p.token(t, `{"alg":"RS256","kid":"one","crit":[]}`, string(doc)), refused, ""},
		{"b64 false", p.token(t, `{"alg":"RS256","kid":"one","b64":false,"crit":["b64"]}`, string(doc)), refused, ""},
		{"alg twice", p.token(t, `{"alg":"none","alg":"RS256","kid":"one"}`, string(doc)), unparsable, ""},
		{"signed by another key", stranger.token(t, `{"alg":"RS256","kid":"one"}`, string(doc)), refused, ""},
		{"signed by another key, no kid", stranger.token(t, `{"alg":"RS256"}`, string(doc)), refused, ""},
		{"a signature cut short", whole[:len(whole)-8], refused, ""},
		{"an empty signature", head + "." + body + ".", refused, ""},
		{"another body", head + "." + encode([]byte(strings.Replace(string(doc), "ann", "bob", 1))) + "." + signature, refused, ""},
		{"another header", encode([]byte(`{"alg":"RS256","kid":"one","typ":"x"}`)) + "." + body + "." + signature, refused, ""},

		{"expired", p.good(t, with(good, "exp", now-120)), refused, "Token has expired"},
		{"no exp", p.good(t, with(good, "exp", nil)), refused, ""},
		{"exp as text", p.good(t, with(good, "exp", "4102444800")), refused, ""},
		{"exp null", p.token(t, `{"alg":"RS256","kid":"one"}`, strings.Replace(string(doc), `"exp":`, `"exp":null,"x":`, 1)), refused, ""},
		{"exp beyond reason", p.good(t, with(good, "exp", 1e30)), refused, ""},
		{"exp before the epoch", p.good(t, with(good, "exp", -1)), refused, ""},
		{"exp twice", p.token(t, `{"alg":"RS256","kid":"one"}`, strings.Replace(string(doc), `{`, `{"exp":4102444800,`, 1)), unparsable, ""},
		{"not yet valid", p.good(t, with(good, "nbf", now+600)), refused, ""},
		{"nbf as text", p.good(t, with(good, "nbf", "soon")), refused, ""},
		{"issued in the future", p.good(t, with(good, "iat", now+600)), refused, ""},
		{"another issuer", p.good(t, with(good, "iss", "https://example.com")), refused, ""},
		{"an issuer with a slash more", p.good(t, with(good, "iss", p.URL+"/")), refused, ""},
		{"no issuer", p.good(t, with(good, "iss", nil)), refused, ""},
		{"issuers in a list", p.good(t, with(good, "iss", []string{p.URL})), refused, ""},

		{"another client", p.good(t, with(good, "client_id", "other")), refused, "Claim 'client_id' value mismatch with configuration."},
		{"no client", p.good(t, with(good, "client_id", nil)), refused, "Claim 'client_id'"},
		{"the client as azp", p.good(t, with(with(good, "client_id", nil), "azp", "app")), refused, "Claim 'client_id'"},
		{"clients in a list", p.good(t, with(good, "client_id", []string{"app"})), refused, "Claim 'client_id'"},
		{"the client's name with a space", p.good(t, with(good, "client_id", "app ")), refused, "Claim 'client_id'"},
		{"the client's name in capitals", p.good(t, with(good, "client_id", "APP")), refused, "Claim 'client_id'"},
		{"client_id twice", p.token(t, `{"alg":"RS256","kid":"one"}`, strings.Replace(string(doc), `{`, `{"client_id":"x",`, 1)), unparsable, ""},
		{"a claim twice, deep down", p.token(t, `{"alg":"RS256","kid":"one"}`, strings.Replace(string(doc), `{`, `{"x":[{"a":1,"a":2}],`, 1)), unparsable, ""},
	} {
		_, err := v.Verify(t.Context(), p.authorizer(), c.token)
		if moorage.CodeOf(err) != c.want || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v, want %s %s", c.name, err, c.want, c.words)
		}
	}
}

func TestVerify_fieldsAreAndValuesAreOr(t *testing.T) {
	p, v := newProvider(t), newVerifier(t)
	claims := with(with(with(p.claims(), "aud", []string{"x", "api"}), "scope", "read write"), "cognito:groups", []string{"editors", "staff"})
	claims["tier"] = "gold"
	token := p.good(t, claims)
	rule := func(name string, list bool, operator string, values ...string) moorage.ClaimRule {
		return moorage.ClaimRule{Name: name, List: list, Operator: operator, Values: values}
	}
	for _, c := range []struct {
		name  string
		a     moorage.JWTAuthorizer
		claim string // that does not match; empty where all do
	}{
		{"audience", moorage.JWTAuthorizer{Audience: []string{"api", "y"}}, ""},
		{"another audience", moorage.JWTAuthorizer{Audience: []string{"y"}}, "aud"},
		{"one scope is enough", moorage.JWTAuthorizer{Scopes: []string{"admin", "write"}}, ""},
		{"no such scope", moorage.JWTAuthorizer{Scopes: []string{"writ"}}, "scope"},
		{"audience and client", moorage.JWTAuthorizer{Audience: []string{"api"}, Clients: []string{"app"}}, ""},
		{"audience but not the client", moorage.JWTAuthorizer{Audience: []string{"api"}, Clients: []string{"other"}}, "client_id"},
		{"client but not the audience", moorage.JWTAuthorizer{Audience: []string{"z"}, Clients: []string{"app"}}, "aud"},
		{"a string claim", moorage.JWTAuthorizer{Claims: []moorage.ClaimRule{rule("tier", false, "EQUALS", "gold")}}, ""},
		{"another string", moorage.JWTAuthorizer{Claims: []moorage.ClaimRule{rule("tier", false, "EQUALS", "silver")}}, "tier"},
		{"a string that should be a list", moorage.JWTAuthorizer{Claims: []moorage.ClaimRule{rule("tier", true, "CONTAINS", "gold")}}, "tier"},
		{"a list contains", moorage.JWTAuthorizer{Claims: []moorage.ClaimRule{rule("cognito:groups", true, "CONTAINS", "staff")}}, ""},
		{"a list contains any", moorage.JWTAuthorizer{Claims: []moorage.ClaimRule{rule("cognito:groups", true, "CONTAINS_ANY", "x", "staff")}}, ""},
		{"a list contains none", moorage.JWTAuthorizer{Claims: []moorage.ClaimRule{rule("cognito:groups", true, "CONTAINS_ANY", "x")}}, "cognito:groups"},
		{"a list that should be a string", moorage.JWTAuthorizer{Claims: []moorage.ClaimRule{rule("cognito:groups", false, "EQUALS", "staff")}}, "cognito:groups"},
		{"a claim that is not there", moorage.JWTAuthorizer{Claims: []moorage.ClaimRule{rule("groups", true, "CONTAINS", "staff")}}, "groups"},
		{"all rules must hold", moorage.JWTAuthorizer{Claims: []moorage.ClaimRule{rule("tier", false, "EQUALS", "gold"), rule("tier", false, "EQUALS", "silver")}}, "tier"},
	} {
		c.a.DiscoveryURL = p.authorizer().DiscoveryURL
		_, err := v.Verify(t.Context(), c.a, token)
		if c.claim == "" && err != nil || c.claim != "" && (err == nil || !strings.Contains(err.Error(), "'"+c.claim+"'")) {
			t.Errorf("%s: %v, want a mismatch of %q", c.name, err, c.claim)
		}
	}
}

func TestProvider_forgedTokensAskForKeysOnce(t *testing.T) {
	p, v := newProvider(t), newVerifier(t)
	if _, err := v.Verify(t.Context(), p.authorizer(), p.good(t, p.claims())); err != nil {
		t.Fatal(err)
	}
	doc, _ := json.Marshal(p.claims())
	signature := strings.Repeat("A", 342)
	for i := range 10_000 {
		head := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"alg":"RS256","kid":"forged-%d"}`, i))
		if _, err := v.Verify(t.Context(), p.authorizer(), head+"."+base64.RawURLEncoding.EncodeToString(doc)+"."+signature); err == nil {
			t.Fatal("a forged token passed")
		}
	}
	if n := p.fetches.Load(); n > 2 {
		t.Errorf("10,000 forged tokens made %d fetches", n)
	}
}

func TestProvider_keysRotateAndOutagesPass(t *testing.T) {
	p := newProvider(t)
	clock := time.Now()
	v := &Verifier{Client: NewClient([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}), Now: func() time.Time { return clock }}
	defer v.Close()
	verify := func(kid string, claims map[string]any) error {
		doc, _ := json.Marshal(claims)
		_, err := v.Verify(context.Background(), p.authorizer(), p.token(t, `{"alg":"RS256","kid":"`+kid+`"}`, string(doc)))
		return err
	}
	later := func() map[string]any {
		return with(with(p.claims(), "iat", clock.Unix()), "exp", clock.Add(time.Hour).Unix())
	}
	p.down.Store(true)
	if err := verify("one", later()); moorage.CodeOf(err) != moorage.Unavailable {
		t.Fatalf("while the provider was never there: %v", err)
	}
	p.down.Store(false)
	if err := verify("one", later()); moorage.CodeOf(err) != moorage.Unavailable {
		t.Fatalf("asked again within %s: %v", fetchEvery, err)
	}
	clock = clock.Add(fetchEvery)
	if err := verify("one", later()); err != nil {
		t.Fatal(err)
	}
	p.kid.Store("two")
	clock = clock.Add(fetchEvery)
	if err := verify("two", later()); err != nil {
		t.Fatalf("after a rotation: %v", err)
	}
	p.down.Store(true)
	clock = clock.Add(12 * time.Hour)
	if err := verify("two", later()); err != nil {
		t.Fatalf("with keys of this morning: %v", err)
	}
	clock = clock.Add(13 * time.Hour)
	if err := verify("two", later()); moorage.CodeOf(err) != moorage.Unavailable {
		t.Fatalf("with keys of yesterday: %v", err)
	}
}

func TestClient_reachesPublicAddressesOnly(t *testing.T) {
	p := newProvider(t)
	v := &Verifier{}
	defer v.Close()
	_, err := v.Verify(t.Context(), p.authorizer(), p.good(t, p.claims()))
	if moorage.CodeOf(err) != moorage.Unavailable {
		t.Errorf("a provider on this machine: %v", err)
	}
	for ip, public := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1111": true, "127.0.0.1": false, "::1": false, "10.1.2.3": false, "192.168.0.1": false, "172.16.0.1": false,
		"169.254.169.254": false, "100.64.0.1": false, "fd00::1": false, "fe80::1": false, "0.0.0.0": false, "::": false, "224.0.0.1": false,
	} {
		if got := isPublic(netip.MustParseAddr(ip)); got != public {
			t.Errorf("%s is public: %v", ip, got)
		}
	}
	client := NewClient([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})
	away := httptest.NewServer(http.RedirectHandler(p.URL+"/keys", http.StatusFound))
	defer away.Close()
	if _, err := client.Get(away.URL); err == nil {
		t.Error("a redirect to another host was followed")
	}
	for _, url := range []string{"http://example.com/", "ftp://127.0.0.1/", "file:///etc/passwd"} {
		if _, err := client.Get(url); err == nil {
			t.Errorf("%s was fetched", url)
		}
	}
}

// Whatever bytes come, Verify neither panics nor lets in what the provider's keys did not sign, nor asks anybody: seeds are signed with
// other keys of the same names.
func FuzzVerify(f *testing.F) {
	const at, issuer = "https://issuer.example.com/.well-known/openid-configuration", "https://issuer.example.com"
	now := time.Date(2026, 11, 22, 19, 30, 0, 0, time.UTC)
	theirs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		f.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	v := &Verifier{Now: func() time.Time { return now }, Client: &http.Client{Transport: nobody{f}}}
	p := v.provider(moorage.JWTAuthorizer{DiscoveryURL: at})
	p.tried = now // lately, so that no token has it asked
	p.known = &known{issuer: issuer, fetched: now, fresh: now.Add(time.Hour), keys: jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: &theirs.PublicKey, KeyID: "one", Algorithm: "RS256", Use: "sig"}, {Key: &ec.PublicKey, KeyID: "ec", Algorithm: "ES256", Use: "sig"},
	}}}
	claims := fmt.Sprintf(`{"iss":%q,"sub":"ada","aud":"api","exp":%d}`, issuer, now.Add(time.Hour).Unix())
	for _, head := range []string{
		`{"alg":"RS256","kid":"one"}`, `{"alg":"ES256","kid":"ec"}`, `{"alg":"none"}`, `{"alg":"HS256","kid":"one"}`, `{"alg":"RS256","kid":"one","crit":["b64"],"b64":false}`,
		`{"alg":"RS256","jwk":{"kty":"RSA","n":"AQAB","e":"AQAB"}}`, `{"alg":"EdDSA","kid":"../../dev/null","jku":"https://evil.example.com"}`,
	} {
		input := base64.RawURLEncoding.EncodeToString([]byte(head)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
		sum := sha256.Sum256([]byte(input))
		signature, err := rsa.SignPKCS1v15(nil, rsaKey(), crypto.SHA256, sum[:])
		if err != nil {
			f.Fatal(err)
		}
		f.Add(input + "." + base64.RawURLEncoding.EncodeToString(signature))
	}
	f.Add("a.b.c")
	f.Add("eyJhbGciOiJSUzI1NiJ9.e30.AA")
	a := moorage.JWTAuthorizer{DiscoveryURL: at, Audience: []string{"api"}}
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := v.Verify(t.Context(), a, raw)
		if err == nil {
			t.Fatalf("it passes as %+v", got)
		}
		if code := moorage.CodeOf(err); code != moorage.Denied && code != moorage.Unauthenticated {
			t.Errorf("%v is coded %s", err, code)
		}
	})
}

// nobody is asked.
type nobody struct{ f *testing.F }

func (n nobody) RoundTrip(r *http.Request) (*http.Response, error) {
	n.f.Errorf("%s was asked for", r.URL)
	return nil, http.ErrServerClosed
}

func TestVerify_machinesAndUsersAreNeverTakenForEachOther(t *testing.T) {
	p, v := newProvider(t), newVerifier(t)
	a := p.authorizer()
	a.Clients, a.Audience = nil, []string{"api"}
	owners := map[string]string{}
	for name, claims := range map[string]map[string]any{
		"a machine":                         {"client_id": "robot"},
		"a user":                            {"sub": "robot", "client_id": "robot"},
		"a user called like the machine":    {"sub": "client:robot", "client_id": "app"},
		"a user called like that user":      {"sub": "sub:client:robot"},
		"a user called like a user is told": {"sub": "sub:robot"},
	} {
		claims = with(with(with(claims, "iss", p.URL), "aud", "api"), "exp", time.Now().Unix()+600)
		token, err := v.Verify(t.Context(), a, p.good(t, claims))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		owner := token.Caller().Owner()
		if other := owners[owner]; other != "" {
			t.Errorf("%s and %s are both %s", name, other, owner)
		}
		owners[owner] = name
	}
	nobody := map[string]any{"iss": p.URL, "aud": "api", "exp": time.Now().Unix() + 600}
	if _, err := v.Verify(t.Context(), a, p.good(t, nobody)); moorage.CodeOf(err) != moorage.Unauthenticated || !strings.Contains(err.Error(), "neither a user") {
		t.Errorf("a token about nobody: %v", err)
	}
}

func TestVerify_anIssuerHasNoFragment(t *testing.T) {
	v := newVerifier(t)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"issuer":"https://idp.example#a","jwks_uri":"http://%s/keys"}`, r.Host)
	}))
	t.Cleanup(s.Close)
	p := newProvider(t)
	a := moorage.JWTAuthorizer{DiscoveryURL: s.URL + "/.well-known/openid-configuration", Audience: []string{"api"}}
	if _, err := v.Verify(t.Context(), a, p.good(t, p.claims())); err == nil || !strings.Contains(err.Error(), "fragment") {
		t.Errorf("%v", err)
	}
}
