package pool

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
)

const (
	codeLife = 5 * time.Minute
	maxCodes = 10_000
	maxForm  = 64 << 10 // bytes of a form
)

// codes are authorization codes that were not used yet. The zero value works; a restart forgets them, and users sign in again.
type codes struct {
	mu   sync.Mutex
	each map[string]code
}

type code struct {
	grant
	redirect, challenge string
	until               time.Time
}

// put keeps a code and returns its text.
func (c *codes) put(one code, now time.Time) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.each == nil {
		c.each = map[string]code{}
	}
	for text, old := range c.each {
		if now.After(old.until) {
			delete(c.each, text)
		}
	}
	if len(c.each) >= maxCodes {
		return "", named(moorage.Throttled, "TooManyRequestsException", "Too many requests")
	}
	text := letters(43, mixed)
	c.each[text] = one
	return text, nil
}

// take returns a code's grant, once.
func (c *codes) take(text string, now time.Time) (code, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one, ok := c.each[text]
	delete(c.each, text)
	return one, ok && now.Before(one.until)
}

// oauthError is an error in the words of RFC 6749, 5.2; all have the status 400, as Cognito's.
type oauthError struct{ name, words string }

func (e oauthError) Error() string { return e.name + ": " + e.words }

// tokenEndpoint serves RFC 6749's token endpoint. Any origin may ask: what matters is in the form.
func (s *Service) tokenEndpoint(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Access-Control-Allow-Origin", "*")
	t, err := s.exchange(w, r)
	if err == nil {
		writeJSON(w, http.StatusOK, t)
		return
	}
	said, ok := err.(oauthError)
	status := http.StatusBadRequest
	switch {
	case ok:
	case moorage.CodeOf(err) == moorage.Throttled:
		said, status = oauthError{"temporarily_unavailable", err.Error()}, http.StatusTooManyRequests
	case moorage.CodeOf(err) == moorage.Denied:
		said = oauthError{"invalid_grant", err.Error()}
	default:
		said, status = oauthError{"server_error", "an internal error occurred"}, http.StatusInternalServerError
	}
	writeJSON(w, status, map[string]string{"error": said.name, "error_description": said.words})
}

// tokenAnswer is what the token endpoint answers. Source: RFC 6749, 5.1; OpenID Connect Core, 3.1.3.3.
type tokenAnswer struct {
	Identity string `json:"id_token,omitempty"`
	Access   string `json:"access_token"`
	Refresh  string `json:"refresh_token,omitempty"`
	Seconds  int    `json:"expires_in"`
	Type     string `json:"token_type"`
}

func (s *Service) exchange(w http.ResponseWriter, r *http.Request) (tokenAnswer, error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return tokenAnswer{}, oauthError{"invalid_request", "the body is no form"}
	}
	c, p, err := s.clientOf(r)
	if err != nil {
		return tokenAnswer{}, err
	}
	if id := r.PathValue("pool"); id != "" && id != p.ID {
		return tokenAnswer{}, oauthError{"invalid_client", "the client is not one of this user pool"}
	}
	var t Tokens
	switch form := r.PostForm; form.Get("grant_type") {
	case "client_credentials":
		t, err = s.byClient(r, p, c)
	case "authorization_code":
		t, err = s.byCode(r, p, c)
	case "refresh_token":
		t, err = s.byRefresh(r, p, c)
	case "":
		err = oauthError{"invalid_request", "grant_type is missing"}
	default:
		err = oauthError{"unsupported_grant_type", "Moorage's user pools know client_credentials, authorization_code and refresh_token"}
	}
	return tokenAnswer{t.Identity, t.Access, t.Refresh, int(t.Life.Seconds()), "Bearer"}, err
}

// clientOf authenticates a client: by Basic (RFC 6749, 2.3.1), by the form, or by name alone where it has no secret.
func (s *Service) clientOf(r *http.Request) (*Client, *state, error) {
	refused := oauthError{"invalid_client", "the client does not exist, or its secret is wrong"}
	id, secret, basic := r.BasicAuth()
	if basic {
		var err error
		if id, err = url.QueryUnescape(id); err != nil {
			return nil, nil, refused
		}
		if secret, err = url.QueryUnescape(secret); err != nil {
			return nil, nil, refused
		}
	} else {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	c, p, err := s.application(id)
	if err != nil {
		return nil, nil, refused
	}
	if subtle.ConstantTimeCompare([]byte(c.Secret), []byte(secret)) != 1 {
		return nil, nil, s.noted(r.Context(), tokenAction, c, nil, refused)
	}
	return c, p, nil
}

// What the audit record calls the hosted endpoints.
const (
	tokenAction = "cognito-idp:Token"
	loginAction = "cognito-idp:Authorize"
)

func (s *Service) byClient(r *http.Request, p *state, c *Client) (Tokens, error) {
	if !slices.Contains(c.OAuth, "client_credentials") {
		return Tokens{}, oauthError{"unauthorized_client", "the client is not allowed the client_credentials flow"}
	}
	scopes, err := c.granted(r.PostForm.Get("scope"))
	if err != nil {
		return Tokens{}, err
	}
	t, err := s.machine(p, c, scopes)
	if err != nil {
		return Tokens{}, err
	}
	return t, s.note(r.Context(), Event{Token: true, Action: tokenAction, Pool: p.ID, Client: c.ID})
}

// granted are the scopes that a client gets: those that it asks for, or all.
func (c *Client) granted(asked string) ([]string, error) {
	if strings.TrimSpace(asked) == "" {
		return c.Scopes, nil
	}
	scopes := strings.Fields(asked)
	for _, scope := range scopes {
		if !slices.Contains(c.Scopes, scope) {
			return nil, oauthError{"invalid_scope", "the client is not allowed the scope " + scope}
		}
	}
	return scopes, nil
}

func (s *Service) byCode(r *http.Request, p *state, c *Client) (Tokens, error) {
	refused := func(why string) (Tokens, error) {
		return Tokens{}, s.noted(r.Context(), tokenAction, c, nil, oauthError{"invalid_grant", why})
	}
	one, ok := s.codes.take(r.PostForm.Get("code"), s.now())
	verifier := r.PostForm.Get("code_verifier")
	switch {
	case !ok || one.Client != c.ID:
		return refused("the code is not good, or not any more: each is good once and for five minutes")
	case one.redirect != r.PostForm.Get("redirect_uri"):
		return refused("redirect_uri is not the one that the code was sent to")
	case one.challenge == "" && verifier != "", one.challenge != "" && challengeOf(verifier) != one.challenge:
		return refused("code_verifier does not fit the code_challenge")
	}
	u := s.user(p, one.Name)
	if u == nil || u.Sub != one.Sub {
		return refused("the user is gone")
	}
	return s.tokens(r.Context(), tokenAction, p, c, u, one.grant)
}

// challengeOf is RFC 7636's S256.
func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (s *Service) byRefresh(r *http.Request, p *state, c *Client) (Tokens, error) {
	if !slices.Contains(c.Flows, RefreshFlow) {
		return Tokens{}, oauthError{"unauthorized_client", "the client is not allowed refresh tokens"}
	}
	g, u, err := s.renewed(p, c, r.PostForm.Get("refresh_token"))
	if err = s.noted(r.Context(), tokenAction, c, u, err); err != nil {
		return Tokens{}, err
	}
	return s.again(r.Context(), tokenAction, p, c, u, g)
}

// authorization is a request to have a user sign in (RFC 6749, 4.1.1).
type authorization struct {
	client           *Client
	pool             *state
	redirect, state  string
	challenge, nonce string
	scopes           []string
}

// home is where the user's browser goes next, with what it brings along.
func (a authorization) home(answer url.Values) string {
	u, err := url.Parse(a.redirect) // as it was when the client was made
	if err != nil {
		return a.redirect
	}
	query := u.Query()
	for name := range answer {
		query.Set(name, answer.Get(name))
	}
	if a.state != "" {
		query.Set("state", a.state)
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// authorization reads a request. An error that is an oauthError goes to the client; any other is for the user, since where to
// send them is not known.
func (s *Service) authorization(q url.Values) (a authorization, err error) {
	a.redirect, a.state, a.nonce, a.challenge = q.Get("redirect_uri"), q.Get("state"), q.Get("nonce"), q.Get("code_challenge")
	if a.client, a.pool, err = s.application(q.Get("client_id")); err != nil {
		return a, moorage.Errorf(moorage.Invalid, "There is no client with this client_id.")
	}
	if !slices.Contains(a.client.Callbacks, a.redirect) {
		return a, moorage.Errorf(moorage.Invalid, "The redirect_uri is not one of the client's callback URLs.")
	}
	method := q.Get("code_challenge_method")
	switch {
	case q.Get("response_type") != "code":
		return a, oauthError{"unsupported_response_type", "response_type has to be code"}
	case !slices.Contains(a.client.OAuth, "code"):
		return a, oauthError{"unauthorized_client", "the client is not allowed the code flow"}
	case a.challenge != "" && method != "S256", a.challenge == "" && method != "":
		return a, oauthError{"invalid_request", "code_challenge_method has to be S256, with a code_challenge"}
	case a.challenge == "" && a.client.Secret == "":
		return a, oauthError{"invalid_request", "a client without a secret has to send a code_challenge (PKCE)"}
	}
	a.scopes, err = a.client.granted(q.Get("scope"))
	return a, err
}
