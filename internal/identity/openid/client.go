package openid

import (
	"cmp"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity/bearer"
)

// Client is us at one OpenID provider. Its exported fields but Secret and Now are required, and do not change. It may be used
// concurrently.
type Client struct {
	Provider string // issuer, or the address of its discovery document
	ID       string
	Secret   string // empty for a public client
	Scopes   []string
	Grants   []Grant // the first that fits counts
	Callback string  // where the provider sends browsers back to
	HTTP     *http.Client
	Tokens   *bearer.Verifier
	Key      []byte           // 32 bytes, under which a login is sealed on its way
	Now      func() time.Time // default time.Now

	mu       sync.Mutex
	metadata metadata
	read     time.Time // when
}

// Person is somebody whom the provider knows. Grant is zero where none fits.
type Person struct {
	Issuer, Subject string
	Name            string // an address, a name, or the subject: for people to read
	Grant           Grant
}

// Life is how long a login may take, from the first redirect to the last.
const Life = 10 * time.Minute

// login is what belongs to one login, and to the one browser that began it.
type login struct {
	State    string    `json:"s"`
	Nonce    string    `json:"n"`
	Verifier string    `json:"v"`
	To       string    `json:"t"` // where the browser goes in the end
	Until    time.Time `json:"u"`
}

func random() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// Begin returns the provider's address that a browser is sent to, and what the browser keeps until it is back. Errors:
// moorage.Unavailable when the provider cannot be asked.
func (c *Client) Begin(ctx context.Context, to string) (address, kept string, err error) {
	m, err := c.known(ctx)
	if err != nil {
		return "", "", err
	}
	u, err := url.Parse(m.Authorization)
	if err != nil {
		return "", "", moorage.Errorf(moorage.Unavailable, "the OpenID provider's authorization endpoint is no address: %w", err)
	}
	l := login{random(), random(), random(), to, c.now().Add(Life)}
	challenge := sha256.Sum256([]byte(l.Verifier))
	q := u.Query()
	for name, value := range map[string]string{
		"response_type": "code", "client_id": c.ID, "redirect_uri": c.Callback, "scope": strings.Join(c.Scopes, " "), "state": l.State, "nonce": l.Nonce,
		"code_challenge": base64.RawURLEncoding.EncodeToString(challenge[:]), "code_challenge_method": "S256",
	} {
		q.Set(name, value)
	}
	u.RawQuery = q.Encode()
	kept, err = c.seal(l)
	return u.String(), kept, err
}

// errState does not tell a forged answer from one that is late.
var errState = moorage.Errorf(moorage.Unauthenticated, "this login was not begun in this browser, or took longer than ten minutes")

// Finish takes a browser that came back with an answer and with what it kept, and says who it is and where it goes. Errors:
// moorage.Unauthenticated for an answer that is not of this login, or not the provider's; moorage.Denied when the provider refused, or what
// it says does not hold; moorage.Unavailable when it cannot be asked.
func (c *Client) Finish(ctx context.Context, kept string, answer url.Values) (who Person, to string, err error) {
	l, ok := c.unseal(kept)
	if !ok || c.now().After(l.Until) || subtle.ConstantTimeCompare([]byte(l.State), []byte(answer.Get("state"))) != 1 {
		return who, "", errState
	}
	m, err := c.known(ctx)
	if err != nil {
		return who, "", err
	}
	if issuer := answer.Get("iss"); issuer != m.Issuer && (issuer != "" || m.SendsIssuer) { // another provider's answer
		return who, "", errState
	}
	if code := answer.Get("error"); code != "" {
		return who, "", moorage.Errorf(moorage.Denied, "the OpenID provider refused: %.60q", code)
	}
	t, err := c.exchange(ctx, m, answer.Get("code"), l.Verifier)
	if err != nil {
		return who, "", err
	}
	who, err = c.person(ctx, m, t, l.Nonce)
	return who, l.To, err
}

// person verifies the ID token of a login and finds the grant of who it is of.
func (c *Client) person(ctx context.Context, m metadata, t tokens, nonce string) (who Person, err error) {
	verified, err := c.Tokens.Verify(ctx, moorage.JWTAuthorizer{
		DiscoveryURL: c.discovery(), Audience: []string{c.ID}, Claims: []moorage.ClaimRule{{Name: "nonce", Operator: "EQUALS", Values: []string{nonce}}},
	}, t.Identity)
	if code := moorage.CodeOf(err); code == moorage.Denied || code == moorage.Unauthenticated {
		err = moorage.Errorf(moorage.Denied, "the OpenID provider's ID token does not pass: %w", err)
	}
	if err != nil {
		return who, err
	}
	subject := verified.Texts("sub")
	party := verified.Texts("azp")
	if len(subject) != 1 || subject[0] == "" || len(party) > 0 && !slices.Contains(party, c.ID) || len(party) == 0 && len(verified.Texts("aud")) > 1 {
		return who, moorage.Errorf(moorage.Denied, "the OpenID provider's ID token is not for this client")
	}
	claims := verified.Claims()
	if c.lacks(claims) {
		if err := c.ask(ctx, m, t.Access, subject[0], claims); err != nil {
			return who, err
		}
	}
	known := func(claim string) []string { return bearer.Texts(claims[claim]) }
	who = Person{Issuer: verified.Issuer, Subject: subject[0]}
	who.Name = cmp.Or(first(known("email")), first(known("preferred_username")), first(known("cognito:username")), who.Subject)
	address, _ := claims["email_verified"].(bool)
	for _, g := range c.Grants {
		if g.fits(known, address) {
			who.Grant = g
			return who, nil
		}
	}
	return who, nil
}

// lacks reports whether a grant asks for a claim that is not there.
func (c *Client) lacks(claims map[string]any) bool {
	return slices.ContainsFunc(c.Grants, func(g Grant) bool { return claims[g.Claim] == nil })
}

func first(texts []string) string {
	if len(texts) == 0 {
		return ""
	}
	return texts[0]
}

func (c *Client) aead() (cipher.AEAD, error) {
	block, err := aes.NewCipher(c.Key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

const purpose = "a login by OpenID, on its way"

func (c *Client) seal(l login) (string, error) {
	aead, err := c.aead()
	if err != nil {
		return "", err
	}
	plain, err := json.Marshal(l)
	return base64.RawURLEncoding.EncodeToString(aead.Seal(nil, nil, plain, []byte(purpose))), err
}

func (c *Client) unseal(text string) (l login, ok bool) {
	aead, err := c.aead()
	if err != nil {
		return l, false
	}
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return l, false
	}
	plain, err := aead.Open(nil, nil, sealed, []byte(purpose))
	return l, err == nil && json.Unmarshal(plain, &l) == nil && l.State != ""
}

func (c *Client) now() time.Time {
	if c.Now == nil {
		return time.Now()
	}
	return c.Now()
}
