package pool

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/moorage-dev/moorage"
)

//go:embed login.html
var loginHTML string

//go:embed login.css
var loginCSS string

var loginPage = template.Must(template.New("login").Parse(loginHTML))

// view is what the page shows.
type view struct {
	Pool, Client string
	Style        template.CSS
	Action       string // the request's own query
	Name         string
	Session      string // of somebody who has to choose a password
	Problem      string
	Form         bool
}

// login shows the form, takes it, and sends the browser back to the client with a code.
func (s *Service) login(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	a, err := s.authorization(query)
	v := view{Action: "?" + r.URL.RawQuery, Form: true}
	if a.pool != nil {
		v.Pool, v.Client = a.pool.Name, a.client.Name
	}
	var told oauthError
	switch {
	case errors.As(err, &told):
		http.Redirect(w, r, a.home(url.Values{"error": {told.name}, "error_description": {told.words}}), http.StatusFound)
		return
	case err != nil:
		v.Form, v.Problem = false, err.Error()
		s.page(w, http.StatusBadRequest, v, "")
		return
	case r.Method != http.MethodPost:
		s.page(w, http.StatusOK, v, a.redirect)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		v.Problem = "The form did not arrive whole. Please try again."
		s.page(w, http.StatusBadRequest, v, a.redirect)
		return
	}
	text, err := s.signsIn(r, a, &v)
	if err != nil || v.Session != "" {
		s.page(w, s.problem(&v, err), v, a.redirect)
		return
	}
	http.Redirect(w, r, a.home(url.Values{"code": {text}}), http.StatusFound)
}

// signsIn returns a code for who sent the form. Where v then has a Session, they have to choose a password first.
func (s *Service) signsIn(r *http.Request, a authorization, v *view) (string, error) {
	ctx, form := r.Context(), r.PostForm
	v.Name = form.Get("username")
	var u *User
	var err error
	if session := form.Get("session"); session != "" {
		v.Session = session
		u, err = s.choose(ctx, a.pool, a.client, session, form.Get("new_password"))
	} else {
		u, err = s.password(ctx, a.pool, a.client, v.Name, form.Get("password"))
		err = s.noted(ctx, loginAction, a.client, u, err)
	}
	if err != nil {
		return "", err
	}
	v.Session = ""
	if u.Temporary {
		v.Session, err = s.challenge(a.client, u)
		return "", err
	}
	g := s.newGrant(a.client, u, a.scopes)
	g.Nonce = a.nonce
	return s.codes.put(code{g, a.redirect, a.challenge, s.now().Add(codeLife)}, s.now())
}

// problem words a refusal for the page, which does not say whether a user exists.
func (s *Service) problem(v *view, err error) int {
	var e *moorage.Error
	switch {
	case err == nil:
		v.Problem = ""
		return http.StatusOK
	case !errors.As(err, &e):
		v.Problem = "Something went wrong here. Please try again later."
		return http.StatusInternalServerError
	case e.Exception == "UserNotFoundException":
		v.Problem = "Incorrect username or password."
	case e.Exception == "NotAuthorizedException" && v.Session != "":
		v.Session = "" // begin again
		v.Problem = e.Message
	case e.Code == moorage.Throttled:
		v.Problem = "Too many people are signing in. Please try again in a moment."
		return http.StatusTooManyRequests
	default:
		v.Problem = e.Message
	}
	return http.StatusForbidden
}

// page writes a page that runs no script and loads nothing. The form may send the browser to redirect: Chromium holds the
// redirect after a form to form-action, too.
func (s *Service) page(w http.ResponseWriter, status int, v view, redirect string) {
	v.Style = template.CSS(loginCSS)
	sum := sha256.Sum256([]byte(loginCSS))
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'" + sourceOf(redirect)
	for name, value := range map[string]string{
		"Content-Security-Policy": policy, "Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store", "Referrer-Policy": "same-origin",
		"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
	} {
		w.Header().Set(name, value)
	}
	var b bytes.Buffer
	if err := loginPage.Execute(&b, v); err != nil {
		http.Error(w, "the page cannot be shown", http.StatusInternalServerError)
		return
	}
	w.WriteHeader(status)
	w.Write(b.Bytes())
}

// sourceOf is an address as a policy's source: its origin, or of an app's own scheme the scheme.
func sourceOf(redirect string) string {
	u, err := url.Parse(redirect)
	switch {
	case err != nil || u.Scheme == "":
		return ""
	case u.Scheme == "http" || u.Scheme == "https":
		return " " + u.Scheme + "://" + u.Host
	}
	return " " + u.Scheme + ":"
}

// pending is a sign-in that waits for a new password: sealed, it is the session of a challenge.
type pending struct {
	Pool    string    `json:"p"`
	Client  string    `json:"c"`
	Name    string    `json:"n"`
	Sub     string    `json:"s"`
	Set     time.Time `json:"t"` // when the temporary password was set: its change spends the session
	Expires time.Time `json:"e"`
}

// challengeLife is how long a user may take over a new password. Source: AuthSessionValidity's default, API reference.
const challengeLife = 3 * time.Minute

// forChallenge is the purpose of a sealed pending.
const forChallenge = "new password"

func (s *Service) challenge(c *Client, u *User) (string, error) {
	return s.seal(forChallenge, pending{c.Pool, c.ID, u.Name, u.Sub, u.PasswordSet, s.now().Add(challengeLife)})
}

// choose gives the user of a challenge the password that they want from now on.
func (s *Service) choose(ctx context.Context, p *state, c *Client, session, password string) (*User, error) {
	var w pending
	if !s.unseal(forChallenge, session, &w) || w.Pool != p.ID || w.Client != c.ID || s.now().After(w.Expires) {
		return nil, notAuthorized("Invalid session for the user, session is expired.")
	}
	u := s.user(p, w.Name)
	if u == nil || u.Sub != w.Sub || !u.PasswordSet.Equal(w.Set) || !u.Temporary {
		return nil, notAuthorized("Invalid session for the user, session can only be used once.")
	}
	if err := s.SetPassword(ctx, p.ID, w.Name, password, true); err != nil {
		return nil, err
	}
	return s.user(p, w.Name), s.noted(ctx, "cognito-idp:RespondToAuthChallenge", c, u, nil)
}

// ChoosePassword ends the challenge of a sign-in, and the sign-in with it.
func (s *Service) ChoosePassword(ctx context.Context, client, name, session, password, secretHash string) (Outcome, error) {
	c, p, err := s.application(client)
	if err != nil {
		return Outcome{}, err
	}
	if !slices.Contains(c.Flows, PasswordFlow) {
		return Outcome{}, invalid("USER_PASSWORD_AUTH flow not enabled for this client")
	}
	if err := c.proves(secretHash, name); err != nil {
		return Outcome{}, err
	}
	u, err := s.choose(ctx, p, c, session, password)
	if err != nil {
		return Outcome{}, err
	}
	t, err := s.tokens(ctx, "cognito-idp:RespondToAuthChallenge", p, c, u, s.newGrant(c, u, []string{adminScope}))
	return Outcome{Tokens: t, User: *u}, err
}
