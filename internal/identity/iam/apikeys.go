package iam

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/store"
)

// An API key is moorage_ID_SECRETCHECK: a prefix by which scanners of secrets find it, an id of 12 characters, which is no
// secret, a secret of 43 (256 bits), and six of CRC-32 over what stands before, by which a scanner tells a key from what
// looks like one. All in base 62, so that it is one word everywhere.
const (
	apiKeyPrefix = "moorage_"
	apiKeyID     = 12
	apiKeySecret = 43
	apiKeyCheck  = 6

	maxAPIKeys = 100 // of one runtime
)

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// What an API key may be good for.
const (
	ScopeInvoke  = "invoke"  // InvokeAgentRuntime, its WebSocket and the agent card
	ScopeStop    = "stop"    // StopRuntimeSession
	ScopeCommand = "command" // InvokeAgentRuntimeCommand and …CommandShell
)

var scopes = []string{ScopeInvoke, ScopeStop, ScopeCommand}

// scopeOf is what an operation needs; an operation that is not here is for no API key.
var scopeOf = map[string]string{
	"InvokeAgentRuntime": ScopeInvoke, "InvokeAgentRuntimeWithWebSocketStream": ScopeInvoke, "GetAgentCard": ScopeInvoke,
	"StopRuntimeSession": ScopeStop, "InvokeAgentRuntimeCommand": ScopeCommand, "InvokeAgentRuntimeCommandShell": ScopeCommand,
}

func randomText(n int) string {
	out := make([]byte, 0, n)
	for len(out) < n {
		var b [64]byte
		rand.Read(b[:])
		for _, c := range b {
			if c < 248 && len(out) < n { // 248 = 4 * 62: no character is likelier than another
				out = append(out, base62[c%62])
			}
		}
	}
	return string(out)
}

func checkOf(s string) string {
	n := crc32.ChecksumIEEE([]byte(s))
	out := make([]byte, apiKeyCheck)
	for i := range out {
		out[apiKeyCheck-1-i] = base62[n%62]
		n /= 62
	}
	return string(out)
}

// IsAPIKey reports whether a bearer token has the form of an API key, and a check that is right.
func IsAPIKey(token string) bool {
	if len(token) != len(apiKeyPrefix)+apiKeyID+1+apiKeySecret+apiKeyCheck || !strings.HasPrefix(token, apiKeyPrefix) {
		return false
	}
	body := token[:len(token)-apiKeyCheck]
	return body[len(apiKeyPrefix)+apiKeyID] == '_' && checkOf(body) == token[len(body):]
}

// CreateAPIKey makes a key for a runtime from what k says of its name, scopes, endpoints and expiry. The key is returned now
// and never again: only its hash is kept, which for 256 random bits need not be slow.
func (d *Directory) CreateAPIKey(ctx context.Context, k store.APIKey) (key string, made store.APIKey, err error) {
	if len(k.Scopes) == 0 {
		k.Scopes = []string{ScopeInvoke, ScopeStop}
	}
	for _, s := range k.Scopes {
		if !slices.Contains(scopes, s) {
			return "", made, moorage.Errorf(moorage.Invalid, "%q is no scope of an API key: there are %s", s, strings.Join(scopes, ", "))
		}
	}
	if !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(d.now()) {
		return "", made, moorage.Errorf(moorage.Invalid, "the key would have expired already")
	}
	if len(k.Name) > 100 {
		return "", made, moorage.Errorf(moorage.Invalid, "the name of a key has at most 100 bytes")
	}
	k.ID, k.Active, k.CreatedAt = randomText(apiKeyID), true, d.now().UTC().Truncate(time.Second)
	body := apiKeyPrefix + k.ID + "_" + randomText(apiKeySecret)
	key = body + checkOf(body)
	sum := sha256.Sum256([]byte(key))
	k.Hash = sum[:]
	d.mu.Lock()
	defer d.mu.Unlock()
	of := 0
	for _, other := range d.state.Load().apiKeys {
		if other.RuntimeID == k.RuntimeID {
			of++
		}
	}
	if of >= maxAPIKeys {
		return "", made, moorage.Errorf(moorage.Quota, "the runtime has %d API keys already: delete some", maxAPIKeys)
	}
	err = d.change(ctx, func(tx *store.Tx) error {
		if _, err := tx.Runtime(k.RuntimeID); err != nil {
			return err
		}
		return tx.PutAPIKey(k)
	})
	return key, k, err
}

// APIKeys returns the keys of a runtime, or with "" of all, oldest first, with when they were last used and without their hashes.
func (d *Directory) APIKeys(runtimeID string) []store.APIKey {
	out := []store.APIKey{}
	for _, k := range d.state.Load().apiKeys {
		if runtimeID == "" || k.RuntimeID == runtimeID {
			k.Hash, k.UsedAt = nil, d.lastUse(k.ID, store.Use{At: k.UsedAt}).At
			out = append(out, k)
		}
	}
	slices.SortFunc(out, func(a, b store.APIKey) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return out
}

// SetAPIKey disables or enables a key of a runtime.
func (d *Directory) SetAPIKey(ctx context.Context, runtimeID, id string, active bool) error {
	return d.withAPIKey(ctx, runtimeID, id, func(tx *store.Tx, k store.APIKey) error {
		k.Active = active
		return tx.PutAPIKey(k)
	})
}

// DeleteAPIKey removes a key of a runtime. It is refused from the next call on.
func (d *Directory) DeleteAPIKey(ctx context.Context, runtimeID, id string) error {
	return d.withAPIKey(ctx, runtimeID, id, func(tx *store.Tx, _ store.APIKey) error { return tx.DeleteAPIKey(id) })
}

func (d *Directory) withAPIKey(ctx context.Context, runtimeID, id string, fn func(*store.Tx, store.APIKey) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	k := d.state.Load().apiKeys[id]
	if k.ID == "" || k.RuntimeID != runtimeID {
		return moorage.Errorf(moorage.NotFound, "the runtime has no API key %q", id)
	}
	return d.change(ctx, func(tx *store.Tx) error { return fn(tx, k) })
}

// errAPIKey does not tell a key that is unknown from one that is disabled, has expired, or is another runtime's.
var errAPIKey = moorage.Errorf(moorage.Unauthenticated, "Invalid API key")

// CheckAPIKey says who calls an operation of a runtime's endpoint with a key. Errors: moorage.Unauthenticated for a key that is not
// good here; moorage.Denied for one that is good for other operations or endpoints.
func (d *Directory) CheckAPIKey(token, runtimeID, endpoint, operation string) (moorage.Caller, error) {
	none := moorage.Caller{Source: moorage.APIKey}
	if !IsAPIKey(token) {
		return none, errAPIKey
	}
	id := token[len(apiKeyPrefix) : len(apiKeyPrefix)+apiKeyID]
	sum := sha256.Sum256([]byte(token))
	k, ok := d.state.Load().apiKeys[id]
	good := subtle.ConstantTimeCompare(sum[:], k.Hash) == 1
	if !ok || !good || !k.Active || k.RuntimeID != runtimeID || !k.ExpiresAt.IsZero() && !d.now().Before(k.ExpiresAt) {
		return none, errAPIKey
	}
	c := moorage.Caller{
		Source: moorage.APIKey, Account: d.Account, AccessKeyID: k.ID,
		ARN: fmt.Sprintf("%s/api-key/%s", moorage.RuntimeARN(d.Region, d.Account, runtimeID), k.ID),
	}
	if scope := scopeOf[operation]; scope == "" || !slices.Contains(k.Scopes, scope) {
		return c, moorage.Errorf(moorage.Denied, "The API key is not authorized to perform: %s", operation)
	}
	if len(k.Endpoints) > 0 && !slices.Contains(k.Endpoints, endpoint) {
		return c, moorage.Errorf(moorage.Denied, "The API key is not authorized to call this endpoint")
	}
	d.Use(k.ID, "bedrock-agentcore")
	return c, nil
}
