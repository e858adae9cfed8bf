package server

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity"
	"github.com/moorage-dev/moorage/internal/identity/audit"
	"github.com/moorage-dev/moorage/internal/identity/bearer"
	"github.com/moorage-dev/moorage/internal/identity/iam"
	"github.com/moorage-dev/moorage/internal/identity/openid"
	"github.com/moorage-dev/moorage/internal/identity/pool"
)

// ConsoleLogin is an OpenID provider by which people log in to the console; without an Issuer there is none.
type ConsoleLogin struct {
	Issuer       string // or the address of its discovery document
	ClientID     string
	ClientSecret string   // empty for a public client
	Scopes       []string // default openid, email and profile
	Grants       []openid.Grant
}

const consoleCallback = "/console/login/callback"

// openConsole readies the console's login by an OpenID provider.
func (h *house) openConsole(context.Context) error {
	h.browser.PrincipalID = h.people.PrincipalID
	o := h.Console
	if o.Issuer == "" {
		return nil
	}
	if o.ClientID == "" || len(o.Grants) == 0 {
		return moorage.Errorf(moorage.Invalid, "logins by %s need the id of a client there, and a grant that makes somebody a user or role", o.Issuer)
	}
	if len(o.Scopes) == 0 {
		o.Scopes = []string{"openid", "email", "profile"}
	}
	key, err := h.store.Key("console logins by OpenID")
	if err != nil {
		return err
	}
	if h.browser.PersonKey, err = h.store.Key("console people"); err != nil {
		return err
	}
	terms, err := json.Marshal([]any{o.Issuer, o.ClientID, o.Grants})
	if err != nil {
		return err
	}
	sum := sha256.Sum256(terms)
	h.browser.Terms = hex.EncodeToString(sum[:])
	client := bearer.NewClient(h.providerNetworks())
	public := strings.TrimSuffix(h.PublicURL, "/")
	client.Transport = ownTokens{public + "/oauth2/token", h.poolPages(), pool.Transport{Pools: h.userPools, Next: client.Transport}}
	h.login = &openid.Client{
		Provider: o.Issuer, ID: o.ClientID, Secret: o.ClientSecret, Scopes: o.Scopes, Grants: o.Grants, Callback: public + consoleCallback,
		HTTP: client, Tokens: h.tokens, Key: key,
	}
	return nil
}

// providerName is what the login page calls the provider: a pool that is here by its name, another by its host.
func (h *house) providerName() string {
	base := strings.TrimSuffix(h.Console.Issuer, "/.well-known/openid-configuration")
	if id, _, _, ok := h.userPools.Resolve(base + "/.well-known/openid-configuration"); ok {
		if p, err := h.userPools.Pool(id); err == nil {
			return p.Name
		}
	}
	u, err := url.Parse(base)
	if err != nil {
		return base
	}
	return u.Host
}

// joined says which user or role somebody is whom the provider knows, and puts the login, or its refusal, on record. Errors beside
// refused: moorage.NotFound for somebody who is nobody here.
func (h *house) joined(r *http.Request, who openid.Person, refused error) (p identity.Person, err error) {
	record := audit.Record{Kind: audit.Token, Source: "openid", Action: "moorage:ConsoleLogin", Detail: map[string]string{}}
	if who.Subject != "" {
		record.Detail["person"], record.Detail["name"] = who.Issuer+"#"+who.Subject, who.Name
	}
	if refused == nil {
		p, refused = h.personOf(who)
	}
	record.Caller = p.Principal
	if refused != nil {
		record.Refused, record.Reason = true, refused.Error()
	}
	if err := h.note(r, record); err != nil {
		return p, err
	}
	return p, refused
}

// longestName is of a role's session, in bytes. Source: STS API, RoleSessionName.
const longestName = 64

func (h *house) personOf(who openid.Person) (p identity.Person, err error) {
	g := who.Grant
	if g.Name == "" {
		return p, moorage.Errorf(moorage.NotFound, "no --console-grant fits what the provider says of this person")
	}
	v, err := h.people.Get(g.Kind, g.Name)
	if err != nil {
		return p, moorage.Errorf(moorage.NotFound, "the %s %s of the grant by %s does not exist", g.Kind, g.Name, g.Claim)
	}
	p = identity.Person{Issuer: who.Issuer, Subject: who.Subject, Name: who.Name[:min(len(who.Name), longestName)], Principal: v.ARN, ID: v.ID}
	if g.Kind == iam.Role {
		p.Life = v.MaxDuration
	}
	return p, nil
}

// behind is who is behind a user or role, where somebody logged in as that by OpenID; nil for nobody else.
func behind(c moorage.Caller) map[string]string {
	if c.Source != moorage.SigV4 || c.Subject == "" {
		return nil
	}
	return map[string]string{"person": c.Issuer + "#" + c.Subject}
}

// ownTokens takes what is for the token endpoint of the pools that are here to them at once: by its public name the server may
// not reach itself.
type ownTokens struct {
	endpoint string
	pages    http.Handler
	next     http.RoundTripper
}

// RoundTrip is [http.RoundTripper]'s.
func (t ownTokens) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodPost || r.URL.String() != t.endpoint {
		return t.next.RoundTrip(r)
	}
	in := r.Clone(r.Context())
	in.RequestURI, in.RemoteAddr = r.URL.RequestURI(), "127.0.0.1:0"
	out := &kept{header: http.Header{}}
	t.pages.ServeHTTP(out, in)
	status := cmp.Or(out.status, http.StatusOK)
	return &http.Response{
		Status: http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r, Header: out.header,
		Body: io.NopCloser(&out.body), ContentLength: int64(out.body.Len()),
	}, nil
}

// kept is an answer that goes nowhere else.
type kept struct {
	header http.Header
	body   bytes.Buffer
	status int
}

func (k *kept) Header() http.Header         { return k.header }
func (k *kept) Write(p []byte) (int, error) { return k.body.Write(p) }
func (k *kept) WriteHeader(status int)      { k.status = cmp.Or(k.status, status) }
