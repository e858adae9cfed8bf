package bearer

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/moorage-dev/moorage"
)

const (
	fetchLimit  = 5 * time.Second
	maxDocument = 1 << 20          // bytes of metadata or of a key set
	fetchEvery  = 30 * time.Second // at the most, whatever tokens come
	shortest    = 5 * time.Minute  // a key set is fresh
	longest     = 24 * time.Hour   // … and is used at all
	maxKeys     = 100              // of a set
)

// provider is one OpenID provider as far as it is known.
//
//	nothing ──fetch──▶ fresh ──its max-age──▶ old: used, and fetched beside ──a day──▶ nothing
//
// A key that the set lacks is looked for once in fetchEvery; a bad signature by a known key asks nobody.
type provider struct {
	v      *Verifier
	url    string
	client func() (*http.Client, error) // that fetches

	fetching sync.Mutex // held by whoever fetches

	mu    sync.Mutex
	known *known
	tried time.Time // the last fetch began
	err   error     // of the last fetch
}

// known is what one fetch brought.
type known struct {
	issuer  string
	keys    jose.JSONWebKeySet
	fetched time.Time
	fresh   time.Time // until then
}

func (v *Verifier) provider(a moorage.JWTAuthorizer) *provider {
	way := v.way(a)
	key := way.Key()
	v.mu.Lock()
	defer v.mu.Unlock()
	p := v.providers[key]
	if p == nil {
		p = &provider{v: v, url: a.DiscoveryURL, client: v.clientFor(way)}
		if v.providers == nil {
			v.providers = map[string]*provider{}
		}
		v.providers[key] = p
	}
	return p
}

func (v *Verifier) way(a moorage.JWTAuthorizer) Way {
	return Way{URL: a.DiscoveryURL, Private: a.Private, Overrides: a.Overrides, Certificate: a.Certificate, Read: v.Certificates}
}

// Check holds the way to an authorizer's provider against what goes together and what there is. Errors: Invalid, of members that
// begin with member.
func (v *Verifier) Check(member string, a moorage.JWTAuthorizer) error {
	return v.Endpoints.Check(member, member+".discoveryUrl", v.way(a))
}

// clientFor makes the client of one provider when it is first wanted: it keeps connections.
func (v *Verifier) clientFor(w Way) func() (*http.Client, error) {
	return sync.OnceValues(func() (*http.Client, error) { return v.Endpoints.Client(v.client(), w) })
}

// verify checks a signature and returns the issuer whose key made it.
func (p *provider) verify(ctx context.Context, signed *jose.JSONWebSignature) (string, error) {
	k, err := p.current(ctx)
	if err != nil {
		return "", err
	}
	if len(k.candidates(signed.Signatures[0].Header)) == 0 { // a key that is newer than what is known, perhaps
		if k, err = p.newer(ctx, k); err != nil {
			return "", err
		}
	}
	return k.verify(signed)
}

// verify finds the key that made a signature.
func (k *known) verify(signed *jose.JSONWebSignature) (string, error) {
	for _, key := range k.candidates(signed.Signatures[0].Header) {
		if _, err := signed.Verify(key); err == nil {
			return k.issuer, nil
		}
	}
	return "", errInvalid
}

// candidates are the keys that may have made a signature. Of the token's own header only the names
// count: whatever key or address of keys it brings along is not looked at.
func (k *known) candidates(header jose.Header) (out []jose.JSONWebKey) {
	for _, key := range k.keys.Keys {
		switch {
		case header.KeyID != "" && key.KeyID != header.KeyID:
		case key.Use != "" && key.Use != "sig":
		case key.Algorithm != "" && key.Algorithm != header.Algorithm:
		case !key.IsPublic() || !key.Valid():
		default:
			out = append(out, key)
		}
	}
	return out
}

func (p *provider) issuer(ctx context.Context) (string, error) {
	k, err := p.current(ctx)
	if err != nil {
		return "", err
	}
	return k.issuer, nil
}

// current is what is known, fetched when nothing is. What is old is fetched again beside.
func (p *provider) current(ctx context.Context) (*known, error) {
	now := p.v.now()
	p.mu.Lock()
	k := p.known
	due := now.Sub(p.tried) >= fetchEvery
	p.mu.Unlock()
	switch {
	case k != nil && now.Before(k.fresh):
		return k, nil
	case k != nil && now.Sub(k.fetched) < longest:
		if due {
			p.refresh()
		}
		return k, nil
	}
	return p.fetched(ctx, nil)
}

// newer returns a set that was fetched after old, or old where asking again is too soon.
func (p *provider) newer(ctx context.Context, old *known) (*known, error) {
	k, err := p.fetched(ctx, old)
	if err != nil {
		return old, nil // stale beats nothing
	}
	return k, nil
}

// refresh fetches in the background, unless somebody does already.
func (p *provider) refresh() {
	p.v.mu.Lock()
	defer p.v.mu.Unlock()
	if p.v.closed {
		return
	}
	p.v.work.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), fetchLimit)
		defer cancel()
		p.fetched(ctx, p.last()) // its error is kept for whoever needs what it did not bring
	})
}

func (p *provider) last() *known {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known
}

// fetched asks the provider, unless somebody has since old, or did so too lately.
func (p *provider) fetched(ctx context.Context, old *known) (*known, error) {
	p.fetching.Lock()
	defer p.fetching.Unlock()
	p.mu.Lock()
	k, err, now := p.known, p.err, p.v.now()
	if k != old && k != nil && now.Sub(k.fetched) < longest {
		p.mu.Unlock()
		return k, nil
	}
	if !p.tried.IsZero() && now.Sub(p.tried) < fetchEvery {
		p.mu.Unlock()
		if old != nil {
			return old, nil
		}
		return nil, err
	}
	p.tried = now
	p.mu.Unlock()
	k, err = p.fetch(context.WithoutCancel(ctx)) // others wait for it, too
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
	if err == nil {
		p.known = k
	}
	return k, err
}

// fetch reads the provider's metadata and its keys.
func (p *provider) fetch(ctx context.Context) (*known, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchLimit)
	defer cancel()
	var metadata struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if _, err := p.get(ctx, p.url, &metadata); err != nil {
		return nil, unavailable(p.url, err)
	}
	if metadata.Issuer == "" || metadata.JWKSURI == "" {
		return nil, unavailable(p.url, fmt.Errorf("the metadata names no issuer or no jwks_uri"))
	}
	if strings.Contains(metadata.Issuer, "#") { // which parts issuers from subjects where both name somebody; source: RFC 8414, 2
		return nil, unavailable(p.url, fmt.Errorf("the issuer %q has a fragment", metadata.Issuer))
	}
	k := &known{issuer: metadata.Issuer, fetched: p.v.now()}
	if last := p.last(); last != nil && last.issuer != k.issuer {
		return nil, unavailable(p.url, fmt.Errorf("the issuer changed from %q to %q", last.issuer, k.issuer))
	}
	age, err := p.get(ctx, metadata.JWKSURI, &k.keys)
	if err != nil {
		return nil, unavailable(metadata.JWKSURI, err)
	}
	if len(k.keys.Keys) > maxKeys {
		return nil, unavailable(metadata.JWKSURI, fmt.Errorf("the set has %d keys; %d are the most", len(k.keys.Keys), maxKeys))
	}
	k.fresh = k.fetched.Add(min(max(age, shortest), longest))
	return k, nil
}

func unavailable(url string, err error) error {
	return &moorage.Error{Code: moorage.Unavailable, Message: "the identity provider's keys cannot be had; try again later", Err: fmt.Errorf("%s: %w", url, err)}
}

// get fetches a JSON document and says how long it is fresh by its own account.
func (p *provider) get(ctx context.Context, url string, into any) (age time.Duration, err error) {
	r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Accept", "application/json")
	client, err := p.client()
	if err != nil {
		return 0, err
	}
	response, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("status %d", response.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxDocument+1))
	if err != nil {
		return 0, err
	}
	if len(body) > maxDocument {
		return 0, fmt.Errorf("more than %d bytes", maxDocument)
	}
	return maxAge(response.Header.Get("Cache-Control")), json.Unmarshal(body, into)
}

func maxAge(cacheControl string) time.Duration {
	for directive := range strings.SplitSeq(cacheControl, ",") {
		if seconds, ok := strings.CutPrefix(strings.TrimSpace(directive), "max-age="); ok {
			n, _ := strconv.Atoi(seconds) // what is no number is no age
			return time.Duration(min(n, int(longest.Seconds()))) * time.Second
		}
	}
	return 0
}

func (v *Verifier) client() *http.Client {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.Client == nil {
		v.Client = NewClient(nil)
	}
	return v.Client
}
