package pool

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"

	"github.com/moorage-dev/moorage"
)

// keys of a pool: the first signs access tokens, the second identity tokens.
type keys []jose.JSONWebKey

// public is what everybody may see of them.
func (k keys) public() (set jose.JSONWebKeySet) {
	for _, key := range k {
		set.Keys = append(set.Keys, key.Public())
	}
	return set
}

func (k keys) sign(which int, claims map[string]any) (string, error) {
	if which >= len(k) {
		return "", errors.New("the pool has no keys")
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: k[which]}, nil)
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// Issuer is who a pool's tokens are by: the address that Cognito would have them by, so that clients and authorizers
// made for it work with no change.
func (s *Service) Issuer(pool string) string {
	return "https://cognito-idp." + s.Region + ".amazonaws.com/" + pool
}

// Local is where a pool's issuer is reached here.
func (s *Service) Local(pool string) string { return s.PublicURL + "/" + pool }

// discoverySuffix follows an issuer. Source: OpenID Connect Discovery, 4.
const discoverySuffix = "/.well-known/openid-configuration"

// Resolve returns the issuer and the keys of a pool by its discovery URL, in Cognito's shape or at this server. A pool
// that is not here is not resolved, whatever its address looks like: it may well be one of Cognito's.
func (s *Service) Resolve(discoveryURL string) (pool, issuer string, set jose.JSONWebKeySet, ok bool) {
	base, ok := strings.CutSuffix(discoveryURL, discoverySuffix)
	if !ok {
		return "", "", set, false
	}
	id := base[strings.LastIndexByte(base, '/')+1:]
	if base != s.Issuer(id) && base != s.Local(id) {
		return "", "", set, false
	}
	p, err := s.state(id)
	if err != nil {
		return "", "", set, false
	}
	return id, s.Issuer(id), p.keys.public(), true
}

// Tokens are what somebody gets who signed in.
type Tokens struct {
	Access   string
	Identity string        // of users
	Refresh  string        // of users who sign in; not with a refresh
	Life     time.Duration // of the access token
}

// grant is what tokens are made of.
type grant struct {
	Pool    string    `json:"p"`
	Client  string    `json:"c"`
	Name    string    `json:"n"`
	Sub     string    `json:"s"`
	Scopes  []string  `json:"g"`
	Origin  string    `json:"o"` // origin_jti
	Event   string    `json:"v"`
	Nonce   string    `json:"-"`
	SignIn  time.Time `json:"a"`
	Expires time.Time `json:"e"` // of the refresh token
}

// newGrant begins what a sign-in brings.
func (s *Service) newGrant(c *Client, u *User, scopes []string) grant {
	now := s.now()
	return grant{
		Pool: c.Pool, Client: c.ID, Name: u.Name, Sub: u.Sub, Scopes: scopes, Origin: uuid.NewString(), Event: uuid.NewString(),
		SignIn: now, Expires: now.Add(c.Refresh),
	}
}

// mint signs a user's tokens.
func (s *Service) mint(p *state, c *Client, u *User, g grant) (Tokens, error) {
	now := s.now()
	common := map[string]any{
		"sub": u.Sub, "iss": s.Issuer(p.ID), "origin_jti": g.Origin, "event_id": g.Event, "auth_time": g.SignIn.Unix(), "iat": now.Unix(),
	}
	access := maps.Clone(common)
	maps.Copy(access, map[string]any{
		"client_id": c.ID, "token_use": "access", "scope": strings.Join(g.Scopes, " "), "username": u.Name,
		"exp": now.Add(c.Access).Unix(), "jti": uuid.NewString(),
	})
	if !slices.Equal(g.Scopes, []string{adminScope}) {
		access["version"] = 2
	}
	out := Tokens{Life: c.Access}
	var err error
	if out.Access, err = p.keys.sign(0, access); err != nil {
		return Tokens{}, err
	}
	if slices.Contains(g.Scopes, "openid") || slices.Contains(g.Scopes, adminScope) {
		out.Identity, err = p.keys.sign(1, identityClaims(common, c, u, g, now))
	}
	return out, err
}

// shownBy says which scope an attribute is in; those that are not listed are in profile.
var shownBy = map[string]string{"email": "email", "email_verified": "email", "phone_number": "phone", "phone_number_verified": "phone"}

func identityClaims(common map[string]any, c *Client, u *User, g grant, now time.Time) map[string]any {
	claims := maps.Clone(common)
	maps.Copy(claims, map[string]any{
		"aud": c.ID, "token_use": "id", "cognito:username": u.Name, "exp": now.Add(c.Identity).Unix(), "jti": uuid.NewString(),
	})
	if g.Nonce != "" {
		claims["nonce"] = g.Nonce
	}
	for _, a := range u.Attributes {
		scope := shownBy[a.Name]
		if scope == "" {
			scope = "profile"
		}
		if !slices.Contains(g.Scopes, adminScope) && !slices.Contains(g.Scopes, scope) {
			continue
		}
		if strings.HasSuffix(a.Name, "_verified") {
			claims[a.Name] = a.Value == "true"
			continue
		}
		claims[a.Name] = a.Value
	}
	return claims
}

// machine signs the token of a client by itself.
func (s *Service) machine(p *state, c *Client, scopes []string) (Tokens, error) {
	now := s.now()
	token, err := p.keys.sign(0, map[string]any{
		"sub": c.ID, "client_id": c.ID, "iss": s.Issuer(p.ID), "token_use": "access", "scope": strings.Join(scopes, " "), "auth_time": now.Unix(),
		"iat": now.Unix(), "exp": now.Add(c.Access).Unix(), "jti": uuid.NewString(), "version": 2,
	})
	return Tokens{Access: token, Life: c.Access}, err
}

func (s *Service) prepare() error {
	s.prepareHashing()
	block, err := aes.NewCipher(s.Key)
	if err != nil {
		return err
	}
	s.aead, err = cipher.NewGCM(block)
	return err
}

// What a sealed text is for; one does not stand in for the other.
const forRefresh = "refresh token"

func (s *Service) seal(purpose string, v any) (string, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, s.aead.NonceSize(), s.aead.NonceSize()+len(plain)+s.aead.Overhead())
	rand.Read(nonce)
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nonce, nonce, plain, []byte(purpose))), nil
}

func (s *Service) unseal(purpose, text string, v any) bool {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	n := s.aead.NonceSize()
	if err != nil || len(raw) < n {
		return false
	}
	plain, err := s.aead.Open(nil, raw[:n], raw[n:], []byte(purpose))
	return err == nil && json.Unmarshal(plain, v) == nil
}

var errRefresh = named(moorage.Denied, "NotAuthorizedException", "Invalid Refresh Token")

// renewed returns the grant of a refresh token and whose it is.
func (s *Service) renewed(p *state, c *Client, token string) (grant, *User, error) {
	var g grant
	if !s.unseal(forRefresh, token, &g) || g.Client != c.ID || g.Pool != p.ID {
		return g, nil, errRefresh
	}
	u := s.user(p, g.Name)
	switch {
	case u == nil || u.Sub != g.Sub:
		return g, nil, errRefresh
	case s.now().After(g.Expires):
		return g, u, named(moorage.Denied, "NotAuthorizedException", "Refresh Token has expired")
	case u.PasswordSet.After(g.SignIn):
		return g, u, named(moorage.Denied, "NotAuthorizedException", "Refresh Token has been revoked")
	}
	return g, u, nil
}
