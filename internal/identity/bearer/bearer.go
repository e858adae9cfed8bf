// Package bearer checks the tokens of OpenID providers: JSON Web Tokens that callers send as
// "Authorization: Bearer …".
//
// A token passes when its provider signed it, it is valid now, and every rule of the runtime's
// [moorage.JWTAuthorizer] matches. Nothing in a token decides how it is checked: keys come from the
// provider's key set alone, and only asymmetric algorithms are known. A provider that cannot be
// reached lets nobody in whose token needs a key that is not known yet; keys that were fetched before
// serve for a day.
//
// Texts and statuses of refusals are the cloud service's where they are known: clients branch on them.
package bearer

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/moorage-dev/moorage"
)

// Limits of a token.
const (
	maxToken = 128 << 10 // bytes; source: AgentCore API, userToken
	leeway   = time.Minute
)

// Verifier checks tokens. The zero value works; it may be used concurrently. Close ends its
// background work.
type Verifier struct {
	// Client fetches metadata and key sets; default [NewClient] without exceptions.
	Client *http.Client
	Now    func() time.Time // default time.Now
	// Endpoints are the private ones that authorizers may name.
	Endpoints Endpoints
	// Certificates reads those that authorizers name beside them.
	Certificates ReadCertificate
	// Local returns the issuer and keys of a provider that is this server itself, by its discovery URL: they are not
	// fetched, and what is gone there is gone at once. Nil knows none.
	Local func(discoveryURL string) (issuer string, keys jose.JSONWebKeySet, ok bool)

	mu        sync.Mutex
	providers map[string]*provider // by discovery URL and the way there
	work      sync.WaitGroup
	closed    bool
}

// Token is a token that passed.
type Token struct {
	Issuer  string
	Subject string // the claim sub; of a machine without one, "client:" and its client_id. No sub reads like that
	Expires time.Time
	claims  map[string]any
}

// Caller is who sent it.
func (t Token) Caller() moorage.Caller {
	return moorage.Caller{Source: moorage.JWT, Issuer: t.Issuer, Subject: t.Subject}
}

// Claims are all that the token says. They are the caller's to change.
func (t Token) Claims() map[string]any { return maps.Clone(t.claims) }

// Texts are the strings of a claim that is one or has several.
func (t Token) Texts(claim string) []string { return Texts(t.claims[claim]) }

// algorithms are those that prove something without a shared secret. Source: RFC 8725, 3.1.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// Refusals. Source of the first three texts: answers of the cloud service.
var (
	errUnparsable = moorage.Errorf(moorage.Denied, "OAuth authorization failed: Failed to parse token")
	errExpired    = moorage.Errorf(moorage.Unauthenticated, "Token has expired")
	errInvalid    = moorage.Errorf(moorage.Unauthenticated, "Invalid token")
	errNobody     = moorage.Errorf(moorage.Unauthenticated, "Invalid token: it names neither a user (sub) nor a client (client_id)")
)

func mismatch(claim string) error {
	return moorage.Errorf(moorage.Unauthenticated, "Claim '%s' value mismatch with configuration.", claim)
}

// Verify checks a token against a runtime's authorizer. Errors: moorage.Denied for what is no token;
// moorage.Unauthenticated for one that does not pass; moorage.Unavailable while the provider's keys
// cannot be had.
func (v *Verifier) Verify(ctx context.Context, a moorage.JWTAuthorizer, raw string) (Token, error) {
	signed, claims, err := parse(raw)
	if err != nil {
		return Token{}, err
	}
	issuer, err := v.signer(ctx, a, signed)
	if err != nil {
		return Token{}, err
	}
	t, err := v.accept(claims, issuer)
	if err != nil {
		return Token{}, err
	}
	return t, match(a, t.claims)
}

// Issuer returns who signs the tokens of an authorizer's provider, as its metadata says.
func (v *Verifier) Issuer(ctx context.Context, a moorage.JWTAuthorizer) (string, error) {
	if issuer, _, ok := v.local(a.DiscoveryURL); ok {
		return issuer, nil
	}
	return v.provider(a).issuer(ctx)
}

// signer checks a signature and returns the issuer whose key made it.
func (v *Verifier) signer(ctx context.Context, a moorage.JWTAuthorizer, signed *jose.JSONWebSignature) (string, error) {
	if issuer, keys, ok := v.local(a.DiscoveryURL); ok {
		return (&known{issuer: issuer, keys: keys}).verify(signed)
	}
	return v.provider(a).verify(ctx, signed)
}

func (v *Verifier) local(discoveryURL string) (issuer string, keys jose.JSONWebKeySet, ok bool) {
	if v.Local == nil {
		return "", keys, false
	}
	return v.Local(discoveryURL)
}

// parse reads a token without believing it.
func parse(raw string) (*jose.JSONWebSignature, map[string]any, error) {
	if len(raw) > maxToken || strings.Count(raw, ".") != 2 {
		return nil, nil, errUnparsable
	}
	head, err := base64.RawURLEncoding.DecodeString(raw[:strings.IndexByte(raw, '.')])
	if err != nil {
		return nil, nil, errUnparsable
	}
	header, err := object(head)
	if err != nil {
		return nil, nil, errUnparsable
	}
	for _, extension := range []string{"crit", "b64"} { // none is known here; b64 would have the signature cover something else (RFC 7797)
		if _, there := header[extension]; there {
			return nil, nil, errInvalid
		}
	}
	signed, err := jose.ParseSignedCompact(raw, algorithms)
	var algorithm *jose.ErrUnexpectedSignatureAlgorithm
	if errors.As(err, &algorithm) {
		return nil, nil, errInvalid
	}
	if err != nil {
		return nil, nil, errUnparsable
	}
	claims, err := object(signed.UnsafePayloadWithoutVerification())
	if err != nil {
		return nil, nil, errUnparsable
	}
	return signed, claims, nil
}

// object decodes a JSON object, each of whose names is there once: readers differ on which of two counts.
func object(data []byte) (map[string]any, error) {
	if err := unique(json.NewDecoder(bytes.NewReader(data))); err != nil {
		return nil, err
	}
	var out map[string]any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&out); err != nil || out == nil {
		return nil, errors.New("not an object")
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("something follows the object")
	}
	return out, nil
}

// unique reads one value and finds names that are there twice.
func unique(d *json.Decoder) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	delim, ok := t.(json.Delim)
	if !ok {
		return nil
	}
	seen := map[string]bool{}
	for d.More() {
		if delim == '{' {
			name, err := d.Token()
			if err != nil {
				return err
			}
			if seen[name.(string)] {
				return errors.New("a name is there twice")
			}
			seen[name.(string)] = true
		}
		if err := unique(d); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

// accept checks what every token has to say, whatever the authorizer asks for.
func (v *Verifier) accept(claims map[string]any, issuer string) (Token, error) {
	now := v.now()
	expires, ok := moment(claims["exp"])
	if !ok {
		return Token{}, errInvalid
	}
	if now.After(expires.Add(leeway)) {
		return Token{}, errExpired
	}
	for _, name := range []string{"nbf", "iat"} {
		if value, said := claims[name]; said {
			if from, ok := moment(value); !ok || now.Add(leeway).Before(from) {
				return Token{}, errInvalid
			}
		}
	}
	if text(claims["iss"]) != issuer {
		return Token{}, errInvalid
	}
	sub := subject(claims)
	if sub == "" {
		return Token{}, errNobody
	}
	return Token{Issuer: issuer, Subject: sub, Expires: expires, claims: claims}, nil
}

const (
	ofClient = "client:"
	ofUser   = "sub:"
)

// subject says who a token is about; "" for nobody. What belongs to one subject is another's never: a user whose sub looks
// like a machine's, or like another's in this form, is told apart.
func subject(claims map[string]any) string {
	sub, client := text(claims["sub"]), text(claims["client_id"])
	switch {
	case strings.HasPrefix(sub, ofClient) || strings.HasPrefix(sub, ofUser):
		return ofUser + sub
	case sub == "" && client != "":
		return ofClient + client
	}
	return sub
}

// farthest is the last second that a token may name: beyond it times no longer compare.
const farthest = 253402300799 // 9999-12-31

func moment(v any) (time.Time, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return time.Time{}, false
	}
	seconds, err := n.Float64()
	if err != nil || seconds < 0 || seconds > farthest {
		return time.Time{}, false
	}
	return time.Unix(int64(seconds), 0), true
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

func (v *Verifier) now() time.Time {
	if v.Now == nil {
		return time.Now()
	}
	return v.Now()
}

// Close waits for background work and starts no more.
func (v *Verifier) Close() {
	v.mu.Lock()
	v.closed = true
	v.mu.Unlock()
	v.work.Wait()
}
