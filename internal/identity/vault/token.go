package vault

import (
	"context"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity/workload"
)

// Flow is how a credential comes to be.
type Flow string

const (
	FlowAPIKey   Flow = "API_KEY"
	FlowM2M      Flow = "M2M"
	FlowUser     Flow = "USER_FEDERATION"
	FlowOnBehalf Flow = "ON_BEHALF_OF_TOKEN_EXCHANGE"
)

// Request asks for a token for another service.
type Request struct {
	Token      string // of the workload
	Provider   string
	Scopes     []string // may be empty
	Flow       Flow
	SessionURI string            // of the consent that the caller waits for
	ReturnURL  string            // where the user goes after consenting; one of the workload's own
	Force      bool              // ask the user again, whatever is there
	Parameters map[string]string // of the provider's own; they do not replace the standard ones
	State      string            // handed back with ReturnURL
	Resources  []string
	Audiences  []string
}

// Answer is a token, or how far the user's consent to one is.
type Answer struct {
	AccessToken      string
	AuthorizationURL string // that the user has to visit
	SessionURI       string
	Status           string // of the session: IN_PROGRESS or FAILED
}

// AccessToken returns a token to whoever presents a workload's token. Errors: Denied, NotFound, Invalid when
// the provider refuses, Unavailable when it does not answer.
func (v *Vault) AccessToken(ctx context.Context, r Request) (Answer, error) {
	g, err := v.Workloads.Redeem(ctx, r.Token)
	if err != nil {
		return Answer{}, err
	}
	p, err := v.Provider(OAuth2, r.Provider)
	if err != nil {
		return Answer{}, err
	}
	if err := v.release(ctx, g, p, r.Flow, false); err != nil {
		return Answer{}, err
	}
	r.Scopes = sorted(r.Scopes)
	switch r.Flow {
	case FlowM2M:
		return v.machine(ctx, g, p, r)
	case FlowUser:
		return v.federated(ctx, g, p, r)
	case FlowOnBehalf:
		return v.onBehalf(ctx, g, p, r)
	}
	return Answer{}, moorage.Errorf(moorage.Invalid, "oauth2Flow %q is none of M2M, USER_FEDERATION and ON_BEHALF_OF_TOKEN_EXCHANGE", r.Flow)
}

// machine gets a token for the client itself.
func (v *Vault) machine(ctx context.Context, g workload.Grant, p *Provider, r Request) (Answer, error) {
	key := digest("m2m", g.Workload, p.Name, p.UpdatedAt.String(), r.Scopes, r.Resources, r.Audiences, pairs(r.Parameters))
	return v.fresh(ctx, p, key, r.Scopes, time.Time{}, func() (url.Values, error) {
		form := r.form("client_credentials")
		return form, nil
	})
}

// fresh returns the grant of a key while it is live, else asks for a new one by the form that ask makes.
// It is kept no longer than until last, unless that is zero.
func (v *Vault) fresh(ctx context.Context, p *Provider, key string, scopes []string, last time.Time, ask func() (url.Values, error)) (Answer, error) {
	s := v.slot(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.grants) == 1 && s.grants[0].live(v.now()) {
		return Answer{AccessToken: s.grants[0].Access}, nil
	}
	form, err := ask()
	if err != nil {
		return Answer{}, err
	}
	got, err := v.token(ctx, p, form)
	if err != nil {
		return Answer{}, told(p, err)
	}
	if got.Expires.IsZero() {
		got.Expires = v.now().Add(unsaidLife)
	}
	if !last.IsZero() && last.Before(got.Expires) {
		got.Expires = last
	}
	s.grants = []grant{{Access: got.Access, Expires: got.Expires, Scopes: scopes}}
	return Answer{AccessToken: got.Access}, nil
}

// standard are the parameters that a caller's own do not replace.
var standard = []string{
	"grant_type", "scope", "resource", "audience", "client_id", "client_secret", "code", "code_verifier", "redirect_uri", "refresh_token",
	"response_type", "state", "code_challenge", "code_challenge_method", "assertion", "subject_token", "actor_token", "actor_token_type",
}

// form is a request to a token endpoint.
func (r Request) form(grantType string) url.Values {
	form := url.Values{"grant_type": {grantType}}
	r.add(form)
	return form
}

// add puts what the caller asked for into a request.
func (r Request) add(form url.Values) {
	if len(r.Scopes) > 0 {
		form.Set("scope", strings.Join(r.Scopes, " "))
	}
	for _, resource := range r.Resources {
		form.Add("resource", resource)
	}
	for _, audience := range r.Audiences {
		form.Add("audience", audience)
	}
	for name, value := range r.Parameters {
		if !slices.Contains(standard, name) {
			form.Set(name, value)
		}
	}
}

func pairs(m map[string]string) (out []string) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, k, m[k])
	}
	return out
}

const (
	typeJWT    = "urn:ietf:params:oauth:token-type:jwt"
	typeAccess = "urn:ietf:params:oauth:token-type:access_token"
)

// onBehalf exchanges the token that the user called with. Source: RFC 8693, RFC 7523.
func (v *Vault) onBehalf(ctx context.Context, g workload.Grant, p *Provider, r Request) (Answer, error) {
	how := p.Client.OnBehalf
	if how == nil {
		return Answer{}, moorage.Errorf(moorage.Invalid, "credential provider %s has no onBehalfOfTokenExchangeConfig", p.Name)
	}
	if g.User.Issuer == "" {
		return Answer{}, moorage.Errorf(moorage.Invalid, "ON_BEHALF_OF_TOKEN_EXCHANGE needs a user who called with a token; this workload access token has none")
	}
	if g.User.Token == "" {
		return Answer{}, moorage.Errorf(moorage.Invalid, "the user's token is no longer here, since the server was started anew: call the agent again")
	}
	key := digest("obo", g.Workload, p.Name, p.UpdatedAt.String(), g.User.Key(), g.User.Token, r.Scopes, r.Resources, r.Audiences, pairs(r.Parameters))
	return v.fresh(ctx, p, key, r.Scopes, g.User.Expires, func() (url.Values, error) {
		if how.Grant == "JWT_AUTHORIZATION_GRANT" {
			form := r.form("urn:ietf:params:oauth:grant-type:jwt-bearer")
			form.Set("assertion", g.User.Token)
			if p.Client.Vendor == "MicrosoftOauth2" {
				form.Set("requested_token_use", "on_behalf_of")
			}
			return form, nil
		}
		form := r.form("urn:ietf:params:oauth:grant-type:token-exchange")
		form.Set("subject_token", g.User.Token)
		if form.Get("subject_token_type") == "" { // which customParameters may set
			form.Set("subject_token_type", typeJWT)
		}
		if how.Actor != "M2M" {
			return form, nil
		}
		actor, err := v.machine(ctx, g, p, Request{Scopes: sorted(how.ActorScopes)})
		form.Set("actor_token", actor.AccessToken)
		form.Set("actor_token_type", typeAccess)
		return form, err
	})
}
