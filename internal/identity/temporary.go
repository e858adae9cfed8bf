package identity

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/moorage-dev/moorage"
)

// Workload is what runs in a sandbox.
type Workload struct {
	Sandbox string // id
	Role    string // ARN of the role that it acts under
	Session string // name of the role's session; empty is the sandbox's id
}

type workloadKey struct{}

// WithWorkload returns a context whose request came out of w's sandbox. Only who knows that from the
// connection itself may say so.
func WithWorkload(ctx context.Context, w Workload) context.Context {
	return context.WithValue(ctx, workloadKey{}, w)
}

// WorkloadOf returns whose sandbox the request of ctx came out of; the zero Workload for any other.
func WorkloadOf(ctx context.Context) Workload {
	w, _ := ctx.Value(workloadKey{}).(Workload)
	return w
}

// principal is the ARN of the role's session: arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION. A role's
// path is no part of it.
func (w Workload) principal() string {
	role, err := moorage.ParseARN(w.Role)
	if err != nil {
		return w.Role
	}
	session := w.Session
	if session == "" {
		session = w.Sandbox
	}
	name := role.Resource[strings.LastIndex(role.Resource, "/")+1:]
	return moorage.ARN{Partition: role.Partition, Service: "sts", Account: role.Account, Resource: "assumed-role/" + name + "/" + session}.String()
}

// Caller is the role's session, for requests that are known to come out of the sandbox.
func (w Workload) Caller() moorage.Caller { return AccessKey{Principal: w.principal()}.caller("") }

// Credentials are a temporary key. All but the id and the end of its life is secret: do not log it.
type Credentials struct {
	AccessKeyID     string // ASIA…
	SecretAccessKey string
	SessionToken    string
	Expires         time.Time
}

// RoleSession is what somebody who assumed a role works under.
type RoleSession struct {
	Role   string // ARN
	RoleID string // of the role as it was then: one that was made anew under its name is another
	Name   string // of the session
	Policy string // what it may do at most, as a policy; empty for no bound
}

// Temporary makes credentials for what runs in a sandbox, or for who assumes a role, and recognises them when they come
// back. It keeps none: all that has to be known is sealed in the session token, and the secret follows from that.
//
// A sandbox's are good for requests that come out of the sandbox that they were made for, and for no other: whoever
// carries them away has nothing; they end with their time or with the sandbox, whichever is first. A role's are good outside
// of sandboxes, until their time or until the role is deleted.
type Temporary struct {
	// RoleID returns the id of a role, by its ARN; "" when it is gone. Nil knows none, and no session of a role is accepted.
	RoleID func(roleARN string) string

	aead   cipher.AEAD
	secret []byte // from which secrets are derived
}

// NewTemporary makes one from a 32-byte key. The same key recognises what an earlier one made.
func NewTemporary(key []byte) (*Temporary, error) {
	seal, err := hkdf.Key(sha256.New, key, nil, "seal session tokens", 32)
	if err != nil {
		return nil, err
	}
	secret, err := hkdf.Key(sha256.New, key, nil, "derive secret access keys", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(seal)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return &Temporary{aead: aead, secret: secret}, err
}

// claims are what a session token says.
type claims struct {
	AccessKeyID string `json:"k"`
	Sandbox     string `json:"s"`
	Role        string `json:"r"`
	Expires     int64  `json:"e"` // seconds since 1970
	RoleID      string `json:"i,omitempty"`
	Session     string `json:"n,omitempty"`
	Policy      string `json:"p,omitempty"`
}

// temporaryPrefix begins the ids of temporary keys. Source: AWS, IAM identifiers.
const temporaryPrefix = "ASIA"

func isTemporary(accessKeyID string) bool { return strings.HasPrefix(accessKeyID, temporaryPrefix) }

// Issue makes credentials for w that expire at the given time, which is kept in whole seconds.
func (t *Temporary) Issue(w Workload, expires time.Time) (Credentials, error) {
	return t.issue(claims{Sandbox: w.Sandbox, Role: w.Role}, expires)
}

// IssueRole makes credentials for the session of a role.
func (t *Temporary) IssueRole(s RoleSession, expires time.Time) (Credentials, error) {
	return t.issue(claims{Role: s.Role, RoleID: s.RoleID, Session: s.Name, Policy: s.Policy}, expires)
}

func (t *Temporary) issue(c claims, expires time.Time) (Credentials, error) {
	var random [10]byte
	rand.Read(random[:])
	id := temporaryPrefix + base32.StdEncoding.EncodeToString(random[:])
	c.AccessKeyID, c.Expires = id, expires.Unix()
	plain, err := json.Marshal(c)
	if err != nil {
		return Credentials{}, err
	}
	sealed := t.aead.Seal(nil, nil, plain, nil)
	return Credentials{
		AccessKeyID: id, SecretAccessKey: t.secretOf(sealed), SessionToken: base64.StdEncoding.EncodeToString(sealed),
		Expires: time.Unix(expires.Unix(), 0).UTC(),
	}, nil
}

// secretOf is 40 characters, as AWS's are.
func (t *Temporary) secretOf(sealed []byte) string {
	h := hmac.New(sha256.New, t.secret)
	h.Write(sealed)
	return base64.StdEncoding.EncodeToString(h.Sum(nil)[:30])
}

// accessKey returns the key of a session token that came with a request, or why it is not accepted
// whatever it signs. That it may have expired is for the caller to see, once the signature is good.
func (t *Temporary) accessKey(ctx context.Context, id, token string) (key AccessKey, refused string) {
	if token == "" {
		return key, "a temporary access key needs its session token"
	}
	c, sealed, ok := t.open(token)
	if !ok || c.AccessKeyID != id {
		return key, "its session token was not made here for this access key"
	}
	w := WorkloadOf(ctx)
	if c.Sandbox == "" && c.Session != "" {
		return t.roleKey(w, c, sealed, token)
	}
	if w.Sandbox == "" || w.Sandbox != c.Sandbox {
		return key, "these credentials work only from inside the sandbox that they were made for"
	}
	w.Role = c.Role
	return AccessKey{Secret: t.secretOf(sealed), Principal: w.principal(), Token: token, Expires: time.Unix(c.Expires, 0)}, ""
}

// roleKey is the key of a role's session.
func (t *Temporary) roleKey(from Workload, c claims, sealed []byte, token string) (key AccessKey, refused string) {
	switch {
	case from.Sandbox != "":
		return key, "credentials of an assumed role do not work from inside a sandbox"
	case t.RoleID == nil || t.RoleID(c.Role) != c.RoleID:
		return key, "the role that these credentials are of is gone"
	}
	return AccessKey{
		Secret: t.secretOf(sealed), Principal: Workload{Role: c.Role, Session: c.Session}.principal(), Token: token,
		Expires: time.Unix(c.Expires, 0), SessionPolicy: c.Policy,
	}, ""
}

func (t *Temporary) open(token string) (c claims, sealed []byte, ok bool) {
	sealed, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		return c, nil, false
	}
	plain, err := t.aead.Open(nil, nil, sealed, nil)
	if err != nil {
		return c, nil, false
	}
	return c, sealed, json.Unmarshal(plain, &c) == nil
}
