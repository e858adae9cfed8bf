package pool

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"time"

	"github.com/moorage-dev/moorage"
)

// Flows that a client may be allowed. Source: ExplicitAuthFlows, API reference.
const (
	PasswordFlow = "ALLOW_USER_PASSWORD_AUTH"
	RefreshFlow  = "ALLOW_REFRESH_TOKEN_AUTH"
)

// Outcome of a sign-in: tokens, or that the user has to choose a password first.
type Outcome struct {
	Tokens
	Session string // to choose a password with, instead of tokens
	User    User
}

func notAuthorized(format string, args ...any) error {
	return named(moorage.Denied, "NotAuthorizedException", format, args...)
}

// application returns a client and its pool.
func (s *Service) application(id string) (*Client, *state, error) {
	c, err := s.client(id)
	if err != nil {
		return nil, nil, err
	}
	p, err := s.state(c.Pool)
	return c, p, err
}

// SecretHash is what a client with a secret sends along with a user's name. Source: Cognito developer guide, "Computing secret hash values".
func SecretHash(secret, name, client string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(name + client))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func (c *Client) proves(hash string, names ...string) error {
	if c.Secret == "" {
		return nil
	}
	if hash == "" {
		return notAuthorized("Client %s is configured with secret but SECRET_HASH was not received", c.ID)
	}
	for _, name := range names {
		if hmac.Equal([]byte(hash), []byte(SecretHash(c.Secret, name, c.ID))) {
			return nil
		}
	}
	return notAuthorized("Unable to verify secret hash for client %s", c.ID)
}

// SignIn exchanges a user's password for tokens.
func (s *Service) SignIn(ctx context.Context, client, name, password, secretHash string) (Outcome, error) {
	c, p, err := s.application(client)
	if err != nil {
		return Outcome{}, err
	}
	if !slices.Contains(c.Flows, PasswordFlow) {
		return Outcome{}, invalid("USER_PASSWORD_AUTH flow not enabled for this client")
	}
	const action = "cognito-idp:InitiateAuth"
	if err := c.proves(secretHash, name); err != nil {
		return Outcome{}, s.noted(ctx, action, c, nil, err)
	}
	u, err := s.password(ctx, p, c, name, password)
	if err = s.noted(ctx, action, c, u, err); err != nil {
		return Outcome{}, err
	}
	if u.Temporary {
		session, err := s.challenge(c, u)
		return Outcome{Session: session, User: *u}, err
	}
	t, err := s.tokens(ctx, action, p, c, u, s.newGrant(c, u, []string{adminScope}))
	return Outcome{Tokens: t, User: *u}, err
}

// tokens signs what a sign-in brings, a refresh token among it, once that is on record.
func (s *Service) tokens(ctx context.Context, action string, p *state, c *Client, u *User, g grant) (Tokens, error) {
	t, err := s.mint(p, c, u, g)
	if err != nil {
		return Tokens{}, err
	}
	if t.Refresh, err = s.seal(forRefresh, g); err != nil {
		return Tokens{}, err
	}
	return t, s.note(ctx, Event{Token: true, Action: action, Pool: p.ID, Client: c.ID, User: u.Sub})
}

// Renew exchanges a refresh token for new tokens.
func (s *Service) Renew(ctx context.Context, client, refresh, secretHash string) (Tokens, error) {
	c, p, err := s.application(client)
	if err != nil {
		return Tokens{}, err
	}
	if !slices.Contains(c.Flows, RefreshFlow) {
		return Tokens{}, invalid("REFRESH_TOKEN_AUTH flow not enabled for this client")
	}
	const action = "cognito-idp:InitiateAuth"
	g, u, err := s.renewed(p, c, refresh)
	if err == nil {
		err = c.proves(secretHash, u.Name, u.Sub) // clients send either
	}
	if err = s.noted(ctx, action, c, u, err); err != nil {
		return Tokens{}, err
	}
	return s.again(ctx, action, p, c, u, g)
}

func (s *Service) again(ctx context.Context, action string, p *state, c *Client, u *User, g grant) (Tokens, error) {
	t, err := s.mint(p, c, u, g)
	if err != nil {
		return Tokens{}, err
	}
	return t, s.note(ctx, Event{Token: true, Action: action, Pool: p.ID, Client: c.ID, User: u.Sub})
}

// password returns the user whose password this is. A user that a refusal is about is returned with it.
func (s *Service) password(ctx context.Context, p *state, c *Client, name, password string) (*User, error) {
	attempt, err := s.attempts.begin(p.ID+"/"+p.key(name), s.now())
	u := s.user(p, name)
	if err != nil {
		return u, err
	}
	hash := ""
	if u != nil {
		hash = u.Hash
	}
	right, err := s.matches(ctx, hash, password)
	if err != nil { // nobody looked at it
		attempt.Unlock()
		return u, err
	}
	attempt.end(right, s.now())
	switch {
	case u == nil && !c.HideUsers:
		return nil, unknownUser()
	case !right:
		return u, notAuthorized("Incorrect username or password.")
	case u.Temporary && s.now().Sub(u.PasswordSet) > time.Duration(p.Passwords.TemporaryDays)*24*time.Hour:
		return u, notAuthorized("Temporary password has expired and must be reset by an administrator.")
	}
	return u, nil
}

// noted puts on record whether somebody is who they say, and returns why not.
func (s *Service) noted(ctx context.Context, action string, c *Client, u *User, refused error) error {
	e := Event{Action: action, Pool: c.Pool, Client: c.ID, Refused: refused}
	if u != nil {
		e.User = u.Sub
	}
	if err := s.note(ctx, e); err != nil {
		return err
	}
	return refused
}

func (s *Service) note(ctx context.Context, e Event) error {
	if s.Note == nil {
		return nil
	}
	return s.Note(ctx, e)
}
