package compat

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"hash"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	controltypes "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
)

// issuer is a provider whose keys a test holds: a real one hands out none, and signs no nonsense.
type issuer struct {
	*httptest.Server
	rsa, encrypting *rsa.PrivateKey
	ec              *ecdsa.PrivateKey
	ed              ed25519.PrivateKey
	asked           atomic.Int64 // for keys
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{rsa: newRSA(t), encrypting: newRSA(t)}
	var err error
	if i.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	if _, i.ed, err = ed25519.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, i.URL, i.URL+"/keys")
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		i.asked.Add(1)
		json.NewEncoder(w).Encode(map[string]any{"keys": i.keySet(t)})
	})
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	return i
}

func newRSA(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func b64(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

func (i *issuer) keySet(t *testing.T) []map[string]string {
	point, err := i.ec.PublicKey.Bytes()
	if err != nil {
		t.Error(err)
	}
	return []map[string]string{
		publicRSA("one", "sig", i.rsa), publicRSA("encrypting", "enc", i.encrypting),
		{"kid": "ec", "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "x": b64(point[1:33]), "y": b64(point[33:])},
		{"kid": "ed", "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "x": b64(i.ed.Public().(ed25519.PublicKey))},
	}
}

func publicRSA(id, use string, key *rsa.PrivateKey) map[string]string {
	return map[string]string{"kid": id, "kty": "RSA", "alg": "RS256", "use": use, "n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes())}
}

func (i *issuer) authorizer() controltypes.AuthorizerConfiguration {
	discovery, tier, gold, groups, staff := i.URL+"/.well-known/openid-configuration", "tier", "gold", "cognito:groups", "staff"
	return &controltypes.AuthorizerConfigurationMemberCustomJWTAuthorizer{Value: controltypes.CustomJWTAuthorizerConfiguration{
		DiscoveryUrl: &discovery, AllowedAudience: []string{"api"}, AllowedClients: []string{"app"}, AllowedScopes: []string{"read"},
		CustomClaims: []controltypes.CustomClaimValidationType{{
			InboundTokenClaimName: &tier, InboundTokenClaimValueType: controltypes.InboundTokenClaimValueTypeString,
			AuthorizingClaimMatchValue: &controltypes.AuthorizingClaimMatchValueType{
				ClaimMatchOperator: controltypes.ClaimMatchOperatorTypeEquals, ClaimMatchValue: &controltypes.ClaimMatchValueTypeMemberMatchValueString{Value: gold},
			},
		}, {
			InboundTokenClaimName: &groups, InboundTokenClaimValueType: controltypes.InboundTokenClaimValueTypeStringArray,
			AuthorizingClaimMatchValue: &controltypes.AuthorizingClaimMatchValueType{
				ClaimMatchOperator: controltypes.ClaimMatchOperatorTypeContains, ClaimMatchValue: &controltypes.ClaimMatchValueTypeMemberMatchValueString{Value: staff},
			},
		}},
	}}
}

// gone leaves a claim out.
type gone struct{}

// claims are those of a good token, but for pairs of a name and a value.
func (i *issuer) claims(changes ...any) string {
	now := time.Now().Unix()
	all := map[string]any{
		"iss": i.URL, "sub": "ada", "aud": "api", "client_id": "app", "scope": "read write", "tier": "gold",
		"cognito:groups": []string{"staff"}, "iat": now, "nbf": now, "exp": now + 3600,
	}
	for n := 0; n < len(changes); n += 2 {
		all[changes[n].(string)] = changes[n+1]
		if _, out := changes[n+1].(gone); out {
			delete(all, changes[n].(string))
		}
	}
	doc, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	return string(doc)
}

// signer makes the third part of a token.
type signer func(input string) []byte

func rs256(key *rsa.PrivateKey) signer {
	return func(input string) []byte {
		sum := sha256.Sum256([]byte(input))
		signature, _ := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
		return signature
	}
}

func rs384(key *rsa.PrivateKey) signer {
	return func(input string) []byte {
		sum := sha512.Sum384([]byte(input))
		signature, _ := rsa.SignPKCS1v15(nil, key, crypto.SHA384, sum[:])
		return signature
	}
}

func ps256(key *rsa.PrivateKey) signer {
	return func(input string) []byte {
		sum := sha256.Sum256([]byte(input))
		signature, _ := rsa.SignPSS(rand.Reader, key, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		return signature
	}
}

func es256(key *ecdsa.PrivateKey) signer {
	return func(input string) []byte {
		sum := sha256.Sum256([]byte(input))
		r, s, _ := ecdsa.Sign(rand.Reader, key, sum[:])
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	}
}

func es256DER(key *ecdsa.PrivateKey) signer {
	return func(input string) []byte {
		sum := sha256.Sum256([]byte(input))
		signature, _ := ecdsa.SignASN1(rand.Reader, key, sum[:])
		return signature
	}
}

func hs(with func() hash.Hash, secret []byte) signer {
	return func(input string) []byte {
		h := hmac.New(with, secret)
		h.Write([]byte(input))
		return h.Sum(nil)
	}
}

// constant signs everything alike.
func constant(signature []byte) signer { return func(string) []byte { return signature } }

func jws(head, payload string, sign signer) string {
	input := b64([]byte(head)) + "." + b64([]byte(payload))
	return input + "." + b64(sign(input))
}

// refusedToken is a token and what its bearer is told.
type refusedToken struct {
	name, token string
	status      int
	words       string
}

// What bearers are told. Source of the first two and of the claims': answers of the cloud service.
const (
	notParsed = "OAuth authorization failed: Failed to parse token"
	tooOld    = "Token has expired"
	notValid  = "Invalid token"
)

const goodHead = `{"alg":"RS256","kid":"one"}`

// unparsable are no tokens at all.
func (i *issuer) unparsable() (out []refusedToken) {
	add := func(name, token string) { out = append(out, refusedToken{name, token, 403, notParsed}) }
	sign, claims := rs256(i.rsa), i.claims()
	good := jws(goodHead, claims, sign)
	parts := strings.Split(good, ".")
	add("nothing", "")
	add("garbage", "garbage")
	add("dots", "..")
	add("one part less", parts[0]+"."+parts[1])
	add("one part more", good+".e30")
	add("an encrypted token's five parts", good+"."+parts[1]+"."+parts[2])
	add("a space within", parts[0]+". "+parts[1]+"."+parts[2])
	add("a head that is not base64", "!!."+parts[1]+"."+parts[2])
	add("a head with padding", base64.URLEncoding.EncodeToString([]byte(goodHead+" "))+"."+parts[1]+"."+parts[2])
	add("claims that are not base64", parts[0]+".!!."+parts[2])
	add("a signature that is not base64", parts[0]+"."+parts[1]+".!!")
	for name, head := range map[string]string{
		"is not JSON": `{"alg":`, "is a list": `["RS256"]`, "is null": `null`, "is a string": `"RS256"`, "is empty": ``, "goes on": goodHead + `{}`,
		"has alg twice": `{"alg":"none","alg":"RS256","kid":"one"}`, "has a number for kid": `{"alg":"RS256","kid":1}`, "has a list for kid": `{"alg":"RS256","kid":["one"]}`, "has an object for kid": `{"alg":"RS256","kid":{"$ne":""}}`,
		"is deep": `{"alg":"RS256","kid":"one","x":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`,
	} {
		add("a head that "+name, jws(head, claims, sign))
	}
	for name, payload := range map[string]string{
		"are a list": `["ada"]`, "are null": `null`, "are a number": `5`, "have a number beyond numbers": i.claims("exp", json.Number("1e999")), "are empty": ``, "end early": claims[:len(claims)-9], "go on": claims + `{}`,
		"have one twice": strings.Replace(claims, "{", `{"client_id":"other",`, 1), "have one twice, deep down": strings.Replace(claims, "{", `{"x":[{"a":1,"a":2}],`, 1),
		"are another token": good, "are deep": `{"x":` + strings.Repeat(`{"a":`, 10000) + `1` + strings.Repeat(`}`, 10000) + `}`,
	} {
		add("claims that "+name, jws(goodHead, payload, sign))
	}
	add("131,073 characters", jws(goodHead, i.claims("x", strings.Repeat("x", 98000)), sign))
	add("the form in JSON", `{"payload":"`+parts[1]+`","protected":"`+parts[0]+`","signature":"`+parts[2]+`"}`)
	return out
}

// forged are tokens that the provider's keys did not make in the way that they say.
func (i *issuer) forged(t *testing.T, bait string) (out []refusedToken) {
	add := func(name, token string) { out = append(out, refusedToken{name, token, 401, notValid}) }
	claims, sign, mine := i.claims(), rs256(i.rsa), newRSA(t)
	good := jws(goodHead, claims, sign)
	parts := strings.Split(good, ".")
	for _, none := range []string{"none", "None", "NONE", "nOnE", ""} {
		add(fmt.Sprintf("alg %q without a signature", none), jws(`{"alg":"`+none+`","kid":"one"}`, claims, constant(nil)))
	}
	add("alg none with a signature", jws(`{"alg":"none","kid":"one"}`, claims, sign))
	add("no alg", jws(`{"kid":"one"}`, claims, sign))
	add("a number for alg", jws(`{"alg":256,"kid":"one"}`, claims, sign))
	add("a list for alg", jws(`{"alg":["RS256","none"],"kid":"one"}`, claims, sign))
	add("an alg of its own", jws(`{"alg":"RS257","kid":"one"}`, claims, sign))
	public, err := x509.MarshalPKIXPublicKey(&i.rsa.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	add("HS256 with the public key's PEM", jws(`{"alg":"HS256","kid":"one"}`, claims, hs(sha256.New, text)))
	add("HS256 with the public key's PEM, no end of line", jws(`{"alg":"HS256","kid":"one"}`, claims, hs(sha256.New, bytes.TrimSpace(text))))
	add("HS256 with the public key's DER", jws(`{"alg":"HS256","kid":"one"}`, claims, hs(sha256.New, public)))
	add("HS256 with the modulus", jws(`{"alg":"HS256","kid":"one"}`, claims, hs(sha256.New, i.rsa.N.Bytes())))
	add("HS384 with the public key", jws(`{"alg":"HS384","kid":"one"}`, claims, hs(sha512.New384, text)))
	add("HS512 without a secret", jws(`{"alg":"HS512","kid":"one"}`, claims, hs(sha512.New, nil)))
	for name, kid := range map[string]string{
		"is a path": `../../../../dev/null`, "is an address": bait + "/kid", "is SQL": `' OR 1=1 --`, "is unknown": `two`, "is in capitals": `ONE`, "is long": strings.Repeat("k", 4000), "has a zero": `one\u0000`,
	} {
		add("a kid that "+name, jws(`{"alg":"RS256","kid":"`+kid+`"}`, claims, rs256(mine)))
	}
	add("a kid that is a path, with nothing for a secret", jws(`{"alg":"HS256","kid":"/dev/null"}`, claims, hs(sha256.New, nil)))
	add("no kid, another key", jws(`{"alg":"RS256"}`, claims, rs256(mine)))
	add("another key", jws(goodHead, claims, rs256(mine)))
	brought, err := json.Marshal(publicRSA("one", "sig", mine))
	if err != nil {
		t.Fatal(err)
	}
	add("a key in the head", jws(`{"alg":"RS256","kid":"one","jwk":`+string(brought)+`}`, claims, rs256(mine)))
	add("a key in the head and no kid", jws(`{"alg":"RS256","jwk":`+string(brought)+`}`, claims, rs256(mine)))
	add("jku", jws(`{"alg":"RS256","kid":"one","jku":"`+bait+`/jku"}`, claims, rs256(mine)))
	add("x5u", jws(`{"alg":"RS256","kid":"one","x5u":"`+bait+`/x5u"}`, claims, rs256(mine)))
	add("crit that is known to nobody", jws(`{"alg":"RS256","kid":"one","crit":["made-up"],"made-up":1}`, claims, sign))
	add("crit of a claim", jws(`{"alg":"RS256","kid":"one","crit":["exp"],"exp":1}`, claims, sign))
	add("crit that is empty", jws(`{"alg":"RS256","kid":"one","crit":[]}`, claims, sign))
	add("b64 false", jws(`{"alg":"RS256","kid":"one","b64":false}`, claims, sign))
	add("b64 false and crit", jws(`{"alg":"RS256","kid":"one","b64":false,"crit":["b64"]}`, claims, sign))
	unencoded := b64([]byte(`{"alg":"RS256","kid":"one","b64":false}`)) + "." + claims
	add("b64 false, signed as it stands", b64([]byte(`{"alg":"RS256","kid":"one","b64":false}`))+"."+b64([]byte(claims))+"."+b64(sign(unencoded)))
	add("RS256 by name, a curve's key", jws(`{"alg":"RS256","kid":"ec"}`, claims, sign))
	add("ES256 by name, an RSA key", jws(`{"alg":"ES256","kid":"one"}`, claims, es256(i.ec)))
	add("PS256 with a key for RS256", jws(`{"alg":"PS256","kid":"one"}`, claims, ps256(i.rsa)))
	add("RS384 with a key for RS256", jws(`{"alg":"RS384","kid":"one"}`, claims, rs384(i.rsa)))
	add("EdDSA by name, a curve's key", jws(`{"alg":"EdDSA","kid":"ec"}`, claims, constant(ed25519.Sign(i.ed, []byte("x")))))
	add("a key that is for encryption", jws(`{"alg":"RS256","kid":"encrypting"}`, claims, rs256(i.encrypting)))
	add("a curve's signature of zeros", jws(`{"alg":"ES256","kid":"ec"}`, claims, constant(make([]byte, 64))))
	add("a curve's signature in DER", jws(`{"alg":"ES256","kid":"ec"}`, claims, es256DER(i.ec)))
	add("a curve's signature cut short", jws(`{"alg":"ES256","kid":"ec"}`, claims, constant(make([]byte, 63))))
	add("an Edwards signature of zeros", jws(`{"alg":"EdDSA","kid":"ed"}`, claims, constant(make([]byte, 64))))
	add("no signature", parts[0]+"."+parts[1]+".")
	add("a signature of zeros", jws(goodHead, claims, constant(make([]byte, 256))))
	add("a signature cut short", good[:len(good)-4])
	add("a signature that goes on", jws(goodHead, claims, func(s string) []byte { return append(sign(s), 0) }))
	add("other claims under the signature", parts[0]+"."+b64([]byte(i.claims("sub", "bob")))+"."+parts[2])
	add("another head over the signature", b64([]byte(goodHead+" "))+"."+parts[1]+"."+parts[2])
	return out
}

// untimely are tokens that the provider signed and that are not for now, or not of it.
func (i *issuer) untimely() (out []refusedToken) {
	now := time.Now().Unix()
	add := func(name, words string, changes ...any) {
		out = append(out, refusedToken{name, jws(goodHead, i.claims(changes...), rs256(i.rsa)), 401, words})
	}
	add("expired an hour ago", tooOld, "exp", now-3600)
	add("expired two minutes ago", tooOld, "exp", now-120)
	add("expired in 1970", tooOld, "exp", 0)
	add("expired with a fraction", tooOld, "exp", float64(now)-3600.5)
	add("no exp", notValid, "exp", gone{})
	add("exp in words", notValid, "exp", fmt.Sprint(now+3600))
	add("exp null", notValid, "exp", nil)
	add("exp true", notValid, "exp", true)
	add("exp in a list", notValid, "exp", []int64{now + 3600})
	add("exp below zero", notValid, "exp", -1)
	add("exp beyond time", notValid, "exp", json.Number("1e300"))
	add("not before tomorrow", notValid, "nbf", now+86400)
	add("nbf in words", notValid, "nbf", "now")
	add("made tomorrow", notValid, "iat", now+86400)
	add("iat in a list", notValid, "iat", []int64{now})
	add("another issuer", notValid, "iss", "https://accounts.example.com")
	add("no issuer", notValid, "iss", gone{})
	add("the issuer with a slash", notValid, "iss", i.URL+"/")
	add("the issuer in a list", notValid, "iss", []string{i.URL})
	add("the issuer in capitals", notValid, "iss", strings.ToUpper(i.URL))
	return out
}

// mismatched are good tokens that are not for this runtime.
func (i *issuer) mismatched() (out []refusedToken) {
	add := func(claim, name string, value any) {
		out = append(out, refusedToken{claim + " " + name, jws(goodHead, i.claims(claim, value), rs256(i.rsa)), 401, "Claim '" + claim + "' value mismatch with configuration."})
	}
	add("aud", "is missing", gone{})
	add("aud", "is another's", "other")
	add("aud", "is a beginning", "ap")
	add("aud", "is in capitals", "API")
	add("aud", "is an empty list", []string{})
	add("aud", "is a list of others", []string{"other", "apis"})
	add("aud", "is a list in a list", [][]string{{"api"}})
	add("aud", "is an object", map[string]any{"api": true})
	add("aud", "is a number", 5)
	add("client_id", "is missing", gone{})
	add("client_id", "is another's", "other")
	add("client_id", "is a list", []string{"app"})
	add("client_id", "has a space", "app ")
	add("client_id", "is in capitals", "APP")
	add("scope", "is missing", gone{})
	add("scope", "is a beginning", "rea write")
	add("scope", "has a comma", "read,write")
	add("scope", "is a number", 5)
	add("tier", "is missing", gone{})
	add("tier", "is another", "silver")
	add("tier", "is a list", []string{"gold"})
	add("tier", "is an object", map[string]string{"value": "gold"})
	add("cognito:groups", "is missing", gone{})
	add("cognito:groups", "is a string", "staff")
	add("cognito:groups", "is a list of others", []string{"staffer"})
	out = append(out, refusedToken{"another name for the client", jws(goodHead, i.claims("client_id", gone{}, "azp", "app", "appid", "app", "cid", "app"), rs256(i.rsa)), 401, "Claim 'client_id'"})
	return out
}

func TestForged_tokensAreRefusedAsTheContractSays(t *testing.T) {
	var baited atomic.Int64
	bait := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { baited.Add(1) }))
	defer bait.Close()
	i, s := newIssuer(t), shared(t)
	d := probe
	d.name, d.authorizer = "meets_forgers", i.authorizer()
	a := s.fresh(t, d)
	session := newSession(t)
	begun := time.Now()
	for n, sign := range []struct {
		head string
		sign signer
	}{{goodHead, rs256(i.rsa)}, {`{"alg":"ES256","kid":"ec"}`, es256(i.ec)}, {`{"typ":"at+jwt","alg":"RS256"}`, rs256(i.rsa)}} {
		if status, _, body := a.callWith(t, "Bearer "+jws(sign.head, i.claims(), sign.sign), session); status != 200 || !strings.Contains(body, fmt.Sprintf(`"count": %d`, n+1)) {
			t.Fatalf("a good token: %d %s", status, body)
		}
	}
	all := append(append(append(i.unparsable(), i.forged(t, bait.URL)...), i.untimely()...), i.mismatched()...)
	if len(all) < 60 {
		t.Fatalf("only %d tokens", len(all))
	}
	for _, c := range all {
		status, header, body := a.callWith(t, "Bearer "+c.token, session)
		if status != c.status || !strings.Contains(body, c.words) {
			t.Errorf("%s: %d %s, want %d %s", c.name, status, body, c.status, c.words)
		}
		if header.Get("X-Amzn-Requestid") == "" || header.Get("X-Amzn-Errortype") == "" {
			t.Errorf("%s: no request id or no error's name in %v", c.name, header)
		}
		if challenge := header.Get("WWW-Authenticate"); (status == 401) != strings.Contains(challenge, `error="invalid_token"`) {
			t.Errorf("%s: status %d with the challenge %q", c.name, status, challenge)
		}
	}
	if _, _, body := a.callWith(t, "Bearer "+jws(goodHead, i.claims(), rs256(i.rsa)), session); !strings.Contains(body, `"count": 4`) {
		t.Errorf("a refused call reached the agent: %s", body)
	}
	if n := baited.Load(); n > 0 {
		t.Errorf("%d tokens made the server ask an address of their own", n)
	}
	i.wantAskedRarely(t, begun)
	t.Logf("%d tokens", len(all))
}

// wantAskedRarely holds the server to one question for keys in 30 seconds.
func (i *issuer) wantAskedRarely(t *testing.T, since time.Time) {
	t.Helper()
	if asked, most := i.asked.Load(), int64(time.Since(since)/(30*time.Second))+2; asked > most {
		t.Errorf("the provider was asked for its keys %d times in %s", asked, time.Since(since))
	}
}

func TestForged_tenThousandTokensAskTheProviderOnce(t *testing.T) {
	i, s := newIssuer(t), shared(t)
	d := probe
	d.name, d.authorizer = "meets_many_forgers", i.authorizer()
	a := s.fresh(t, d)
	begun, claims := time.Now(), i.claims()
	nonsense := constant(make([]byte, 256))
	var work sync.WaitGroup
	const callers = 8
	for c := range callers {
		work.Go(func() {
			for n := range 10_000 / callers {
				head := goodHead
				if n%2 == 0 {
					head = fmt.Sprintf(`{"alg":"RS256","kid":"forged-%d-%d"}`, c, n)
				}
				if status, _, body := a.callWith(t, "Bearer "+jws(head, claims, nonsense), "a-session-that-nobody-ever-opens-"+fmt.Sprint(c)); status != 401 {
					t.Errorf("%d %s", status, body)
					return
				}
			}
		})
	}
	work.Wait()
	i.wantAskedRarely(t, begun)
	if status, _, body := a.callWith(t, "Bearer "+jws(goodHead, claims, rs256(i.rsa)), newSession(t)); status != 200 {
		t.Errorf("a good token after them: %d %s", status, body)
	}
	t.Logf("10,000 tokens in %s", time.Since(begun))
}

func TestForged_callsWithMoreThanOneIdentity(t *testing.T) {
	i, s := newIssuer(t), shared(t)
	d := probe
	d.name, d.authorizer = "meets_many_in_one", i.authorizer()
	a := s.fresh(t, d)
	good := "Bearer " + jws(goodHead, i.claims(), rs256(i.rsa))
	for name, c := range map[string]struct {
		change func(http.Header)
		status int
		words  string
	}{
		"two tokens":              {func(h http.Header) { h["Authorization"] = []string{good, "Bearer x"} }, 403, notParsed},
		"a token and a signature": {func(h http.Header) { h["Authorization"] = []string{good, "AWS4-HMAC-SHA256 Credential=x"} }, 403, notParsed},
		"a signature and a token": {func(h http.Header) { h["Authorization"] = []string{"AWS4-HMAC-SHA256 Credential=x", good} }, 403, notParsed},
		"a token and a user":      {func(h http.Header) { h.Set("X-Amzn-Bedrock-AgentCore-Runtime-User-Id", "bob") }, 400, "a call with a bearer token is its subject's"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), "POST", a.url(""), strings.NewReader(`{"op":"state"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", good)
		r.Header.Set("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", newSession(t))
		c.change(r.Header)
		if status, header, body := answered(t, r); status != c.status || !strings.Contains(body, c.words) || header.Get("X-Amzn-Requestid") == "" {
			t.Errorf("%s: %d %s, want %d %s", name, status, body, c.status, c.words)
		}
	}
}
