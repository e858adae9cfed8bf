package vault

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity/workload"
	"github.com/moorage-dev/moorage/internal/store"
)

// How far a user's consent is:
//
//	asked ── the user came back from the provider ──▶ returned ── the app vouched for the user ──▶ done
//	  └───── the user or the provider refused ──────▶ failed ◀── the app vouched for another ──┘
//
// A token is released only when done: whoever lured a user to the address has nothing to show for it, also not
// once the user's app found out.
const (
	asked    = "asked"
	returned = "returned"
	failed   = "failed"
	done     = "done"
)

const (
	consentLife   = 10 * time.Minute // source: AgentCore developer guide
	sessionPrefix = "urn:ietf:params:oauth:request_uri:"
	authorizePath = "/identities/oauth2/authorize"
	callbackPath  = "/identities/oauth2/callback/"
)

// request is what a consent is for. It is sealed.
type request struct {
	User       string            `json:"u"`
	Scopes     []string          `json:"s"`
	ReturnURL  string            `json:"r"`
	State      string            `json:"c,omitempty"` // the app's own
	Session    string            `json:"i"`           // its URI
	Ours       string            `json:"o"`           // the parameter state that goes to the provider
	Verifier   string            `json:"v"`           // RFC 7636
	Parameters map[string]string `json:"p,omitempty"`
	Resources  []string          `json:"e,omitempty"`
	Audiences  []string          `json:"a,omitempty"`
	Grant      *grant            `json:"g,omitempty"` // once returned
}

func random() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func (v *Vault) consentPlace(c store.Consent) place {
	return place{v.Account, ID, "consent", c.Provider, c.Workload, c.ID}
}

// ask begins a session in which the user may consent.
func (v *Vault) ask(ctx context.Context, o owner, p *Provider, r Request) (Answer, error) {
	if r.ReturnURL == "" {
		if r.ReturnURL = v.Workloads.ReturnURL(o.workload); r.ReturnURL == "" {
			return Answer{}, moorage.Errorf(moorage.Invalid, "give resourceOauth2ReturnUrl, where the user goes after consenting: workload identity %s has no one return URL", o.workload)
		}
	}
	if !v.Workloads.Returns(o.workload, r.ReturnURL) {
		return Answer{}, moorage.Errorf(moorage.Invalid, "resourceOauth2ReturnUrl is none of the allowedResourceOauth2ReturnUrls of workload identity %s: add it with UpdateWorkloadIdentity", o.workload)
	}
	if server, err := v.server(ctx, p.Client); err != nil {
		return Answer{}, err
	} else if server.Authorization == "" {
		return Answer{}, moorage.Errorf(moorage.Invalid, "credential provider %s has no authorization endpoint", p.Name)
	}
	uri := sessionPrefix + random()
	q := request{
		User: o.user, Scopes: r.Scopes, ReturnURL: r.ReturnURL, State: r.State, Session: uri, Ours: random(), Verifier: random(),
		Parameters: r.Parameters, Resources: r.Resources, Audiences: r.Audiences,
	}
	c := store.Consent{ID: digest("session", uri), State: digest("state", q.Ours), Workload: o.workload, Provider: p.Name, Status: asked, ExpiresAt: v.now().Add(consentLife)}
	err := v.write(ctx, &c, q, func(tx *store.Tx) error { return tx.DeleteConsents(v.now()) })
	return v.inProgress(uri), err
}

func (v *Vault) inProgress(uri string) Answer {
	return Answer{AuthorizationURL: v.PublicURL + authorizePath + "?request_uri=" + url.QueryEscape(uri), SessionURI: uri, Status: "IN_PROGRESS"}
}

// write seals q into c and writes it, in the transaction that first runs check.
func (v *Vault) write(ctx context.Context, c *store.Consent, q request, check func(*store.Tx) error) error {
	plain, err := json.Marshal(q)
	if err != nil {
		return err
	}
	if c.Secret, err = v.seal(ctx, plain, v.consentPlace(*c)); err != nil {
		return err
	}
	defer v.wrote(c.Secret)
	return v.Store.Update(ctx, func(tx *store.Tx) error {
		if err := check(tx); err != nil {
			return err
		}
		return tx.PutConsent(*c)
	})
}

// unseal opens what a consent is for.
func (v *Vault) unseal(ctx context.Context, c store.Consent) (q request, err error) {
	plain, err := v.open(ctx, c.Secret, v.consentPlace(c))
	if err != nil {
		return q, err
	}
	return q, json.Unmarshal(plain, &q)
}

// consent finds a session that is not over. The text is the cloud service's.
func (v *Vault) consent(ctx context.Context, find func(*store.Tx) (store.Consent, error)) (c store.Consent, q request, err error) {
	err = v.Store.View(ctx, func(tx *store.Tx) (err error) {
		c, err = find(tx)
		return err
	})
	if moorage.CodeOf(err) == moorage.NotFound || err == nil && !v.now().Before(c.ExpiresAt) {
		return c, q, errSession
	}
	if err != nil {
		return c, q, err
	}
	q, err = v.unseal(ctx, c)
	return c, q, err
}

var errSession = moorage.Errorf(moorage.Denied, "Invalid or expired session")

func bySession(uri string) func(*store.Tx) (store.Consent, error) {
	return func(tx *store.Tx) (store.Consent, error) { return tx.Consent(digest("session", uri)) }
}

// progress says how far a session is that a workload waits for.
func (v *Vault) progress(ctx context.Context, o owner, uri string) (Answer, error) {
	c, q, err := v.consent(ctx, bySession(uri))
	switch {
	case err == nil && (c.Workload != o.workload || c.Provider != o.provider || q.User != o.user):
		return Answer{}, errSession
	case errors.Is(err, errSession) || err == nil && c.Status == failed:
		return Answer{SessionURI: uri, Status: "FAILED"}, nil
	case err != nil:
		return Answer{}, err
	}
	return v.inProgress(uri), nil
}

// Authorize returns where a user is sent who visits the address of a session. It may be visited again until
// the provider sent the user back.
func (v *Vault) Authorize(ctx context.Context, sessionURI string) (to string, err error) {
	c, q, err := v.consent(ctx, bySession(sessionURI))
	if err != nil {
		return "", err
	}
	if c.Status != asked {
		return "", errSession
	}
	p, err := v.Provider(OAuth2, c.Provider)
	if err != nil {
		return "", err
	}
	server, err := v.server(ctx, p.Client)
	if err != nil {
		return "", err
	}
	u, err := url.Parse(server.Authorization)
	if err != nil {
		return "", moorage.Errorf(moorage.Invalid, "the authorization endpoint of credential provider %s is no address", p.Name)
	}
	query := u.Query()
	r := Request{Scopes: q.Scopes, Parameters: q.Parameters, Resources: q.Resources, Audiences: q.Audiences}
	r.add(query)
	challenge := sha256.Sum256([]byte(q.Verifier))
	for name, value := range map[string]string{
		"response_type": "code", "client_id": p.Client.ID, "redirect_uri": v.CallbackURL(*p), "state": q.Ours,
		"code_challenge": base64.RawURLEncoding.EncodeToString(challenge[:]), "code_challenge_method": "S256",
	} {
		query.Set(name, value)
	}
	u.RawQuery = query.Encode()
	return u.String(), nil
}

// Callback takes a user that a provider sent back to the address that ends with id, and returns where the user
// goes next. Each state is good for one visit.
func (v *Vault) Callback(ctx context.Context, id string, answer url.Values) (to string, err error) {
	c, q, err := v.consent(ctx, func(tx *store.Tx) (store.Consent, error) {
		return tx.ConsentByState(digest("state", answer.Get("state")))
	})
	if err != nil {
		return "", err
	}
	p := v.byCallback(id)
	if p == nil || p.Name != c.Provider || c.Status != asked {
		return "", errSession
	}
	server, err := v.server(ctx, p.Client)
	if err != nil {
		return "", err
	}
	if issuer := answer.Get("iss"); issuer != server.Issuer && (issuer != "" || server.SendsIssuer) { // RFC 9207
		return "", errSession
	}
	if err := v.spend(ctx, c); err != nil {
		return "", err
	}
	c.Status = failed
	if code := answer.Get("code"); code != "" {
		got, err := v.token(ctx, p, url.Values{
			"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {v.CallbackURL(*p)}, "code_verifier": {q.Verifier},
		})
		if err == nil {
			got.Scopes = sorted(append(got.Scopes, q.Scopes...))
			c.Status, q.Grant = returned, &got
		} else {
			v.Log.WarnContext(ctx, "a credential provider gave no token for a code", "provider", p.Name, "err", err)
		}
	}
	return q.home(c.Status), v.write(ctx, &c, q, func(*store.Tx) error { return nil })
}

// spend makes sure that a state is used once, also by two visits at the same time.
func (v *Vault) spend(ctx context.Context, c store.Consent) error {
	return v.Store.Update(ctx, func(tx *store.Tx) error {
		now, err := tx.Consent(c.ID)
		if err != nil {
			return err
		}
		if now.Status != asked {
			return errSession
		}
		now.Status = failed // until the code proves good
		return tx.PutConsent(now)
	})
}

// home is where the app takes the user up again.
func (q request) home(status string) string {
	u, err := url.Parse(q.ReturnURL)
	if err != nil {
		return q.ReturnURL
	}
	query := u.Query()
	query.Set("session_id", q.Session)
	if q.State != "" {
		query.Set("state", q.State)
	}
	if status == failed {
		query.Set("error", "access_denied")
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// betrayed ends a session that another user came back from: what that user consented to is nobody's who asked.
func (v *Vault) betrayed(ctx context.Context, c store.Consent, q request) error {
	v.Log.WarnContext(ctx, "a consent was given by another user than was asked, and is forgotten", "provider", c.Provider, "workload", c.Workload)
	c.Status, q.Grant = failed, nil
	err := v.write(ctx, &c, q, func(tx *store.Tx) error {
		now, err := tx.Consent(c.ID)
		if err != nil || now.Status != returned {
			return errSession
		}
		return nil
	})
	if err != nil {
		return err
	}
	return errSession
}

// Complete releases the token of a session: an app vouches that the user who came back is the one who was
// asked. Errors: Denied for sessions that are over, and for anybody else, after whom the session is over too.
func (v *Vault) Complete(ctx context.Context, sessionURI, userToken, userID string) error {
	c, q, err := v.consent(ctx, bySession(sessionURI))
	if err != nil {
		return err
	}
	user := workload.User{ID: userID}
	if userToken != "" {
		if user, err = v.Workloads.VerifyUser(ctx, c.Workload, userToken); err != nil {
			return err
		}
	}
	if c.Status != returned || q.Grant == nil {
		return errSession
	}
	if user.Key() != q.User {
		return v.betrayed(ctx, c, q)
	}
	o := owner{c.Workload, q.User, c.Provider}
	s := v.slot(o.id())
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := v.load(ctx, s, o); err != nil {
		return err
	}
	grants := []grant{*q.Grant}
	for _, g := range s.grants { // what the new one covers is of no more use
		if !covers(q.Grant.Scopes, g.Scopes) && len(grants) < maxGrants {
			grants = append(grants, g)
		}
	}
	row, err := v.row(ctx, o, grants)
	if err != nil {
		return err
	}
	c.Status, q.Grant = done, nil
	defer v.wrote(row.Secret)
	err = v.write(ctx, &c, q, func(tx *store.Tx) error {
		now, err := tx.Consent(c.ID)
		if err != nil || now.Status != returned {
			return errSession
		}
		return tx.PutResourceToken(row)
	})
	if err == nil {
		s.grants = grants
	}
	return err
}
