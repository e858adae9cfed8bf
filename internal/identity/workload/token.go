package workload

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity"
)

// Lives of tokens that no caller's token bounds.
const (
	sessionLife = time.Hour
	aloneLife   = 15 * time.Minute
)

// maxUserID is in characters. Source: AgentCore API reference, GetWorkloadAccessTokenForUserId.
const maxUserID = 128

const prefix = "acw1."

// User is on whose behalf an agent works. The zero value is nobody.
type User struct {
	Issuer, Subject string // of the token that the caller sent
	ID              string // that the caller gave, and vouches for; empty beside an issuer
	// Token is the caller's token itself, secret, and Expires when it does.
	Token   string
	Expires time.Time
	// Through are the workloads that passed on what the user asked for, the nearest last.
	Through []string
}

// IsZero reports whether u is nobody.
func (u User) IsZero() bool { return u.Issuer == "" && u.ID == "" }

// Key names a user. Subjects of different issuers, and ids that callers gave, never meet.
func (u User) Key() string {
	switch {
	case u.Issuer != "":
		return "jwt " + u.Issuer + "#" + u.Subject // an issuer has no fragment
	case u.ID != "":
		return "id " + u.ID
	}
	return ""
}

// Grant is what a token says.
type Grant struct {
	Workload string // name of the identity
	Session  string // internal id of the session that it is bound to; empty for none
	User     User   // its Token is there if the server still has it
	Expires  time.Time
}

// claims are a Grant as it is sealed.
type claims struct {
	Workload string   `json:"w"`
	Session  string   `json:"s,omitempty"`
	Issuer   string   `json:"i,omitempty"`
	Subject  string   `json:"u,omitempty"`
	ID       string   `json:"n,omitempty"`
	Token    string   `json:"t,omitempty"` // under which the caller's token is kept
	Through  []string `json:"h,omitempty"`
	Expires  int64    `json:"x"` // seconds since 1970
}

// sealer makes tokens and opens them.
type sealer struct{ aead cipher.AEAD }

func newSealer(key []byte) (sealer, error) {
	key, err := hkdf.Key(sha256.New, key, nil, "seal workload access tokens", 32)
	if err != nil {
		return sealer{}, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return sealer{aead}, err
}

func (s sealer) seal(c claims) (string, error) {
	plain, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	return prefix + base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, plain, []byte(prefix))), nil
}

func (s sealer) open(token string) (c claims, ok bool) {
	text, ours := strings.CutPrefix(token, prefix)
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if !ours || err != nil {
		return c, false
	}
	plain, err := s.aead.Open(nil, nil, sealed, []byte(prefix))
	return c, err == nil && json.Unmarshal(plain, &c) == nil
}

// Deliver makes the token that an agent is handed with a call in session, on behalf of user.
func (s *Service) Deliver(ctx context.Context, workload, session string, user User) (string, error) {
	return s.issue(ctx, workload, session, user, sessionLife)
}

func (s *Service) issue(ctx context.Context, workload, session string, user User, life time.Duration) (string, error) {
	if n := len([]rune(user.ID)); n > maxUserID {
		message := fmt.Sprintf("Value at 'userId' failed to satisfy constraint: Member must have length between 1 and %d; it has %d", maxUserID, n)
		return "", &moorage.Error{Code: moorage.Invalid, Message: message, Fields: []moorage.Field{{Name: "userId", Message: message}}}
	}
	now := s.now()
	c := claims{Workload: workload, Session: session, Issuer: user.Issuer, Subject: user.Subject, ID: user.ID, Through: user.Through, Expires: now.Add(life).Unix()}
	if user.Token != "" {
		c.Expires = user.Expires.Unix()
		c.Token = s.subjects.keep(user.Token, user.Expires, now)
	}
	if s.Issued != nil {
		if err := s.Issued(ctx, Grant{Workload: workload, Session: session, User: user, Expires: time.Unix(c.Expires, 0)}); err != nil {
			return "", err
		}
	}
	return s.sealer.seal(c)
}

// Redeem opens a token that somebody presents, and says whether the place that the request of ctx comes from
// may use it. Errors: Denied, which does not say what exactly is wrong with a token.
func (s *Service) Redeem(ctx context.Context, token string) (Grant, error) {
	c, ok := s.sealer.open(token)
	if !ok {
		return Grant{}, moorage.Errorf(moorage.Denied, "the workload access token was not issued here")
	}
	if s.now().Unix() >= c.Expires {
		return Grant{}, moorage.Errorf(moorage.Denied, "the workload access token has expired: use the one that came with the latest call")
	}
	if _, ok := s.Identity(c.Workload); !ok {
		return Grant{}, moorage.Errorf(moorage.Denied, "the workload identity of this token is gone")
	}
	if err := s.inPlace(ctx, c.Session); err != nil {
		return Grant{}, err
	}
	user := User{Issuer: c.Issuer, Subject: c.Subject, ID: c.ID, Through: c.Through}
	if c.Token != "" {
		user.Token, user.Expires = s.subjects.find(c.Token), time.Unix(c.Expires, 0)
	}
	return Grant{Workload: c.Workload, Session: c.Session, User: user, Expires: time.Unix(c.Expires, 0)}, nil
}

// inPlace holds a token to its session: who has it elsewhere has nothing.
func (s *Service) inPlace(ctx context.Context, session string) error {
	if session == "" {
		return nil
	}
	if box := identity.WorkloadOf(ctx).Sandbox; box != "" {
		if here, err := s.SessionIn(ctx, box); err == nil && here == session {
			return nil
		}
	}
	return moorage.Errorf(moorage.Denied, "the workload access token is good only inside the session that it was handed to")
}
