// Package iam keeps who there is, users and roles with their access keys and policies and the API keys of runtimes, and
// decides what they may do.
//
// Everything that a decision needs is in memory, in one snapshot that a change replaces: a call waits for no disk. Changes are on
// disk when they return, and hold from the next call on.
//
// How policies add up, within the one account that there is: an explicit denial wins, wherever it stands. Else a permission of
// the caller's own policies, or of the resource's naming the caller, is enough; with several resources (a runtime and its endpoint)
// each needs one. A session that was opened with a policy of its own has at most what that says. Nobody in particular (a
// token's subject, an API key) is let in by its credentials, and then only denied, or kept out by a resource policy that does not name everybody.
// Source: IAM User Guide, "Policy evaluation logic"; AgentCore developer guide, "Resource-based policies".
package iam

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity"
	"github.com/moorage-dev/moorage/internal/identity/policy"
	"github.com/moorage-dev/moorage/internal/lazy"
	"github.com/moorage-dev/moorage/internal/store"
)

// Kinds of principals.
const (
	User = "user"
	Role = "role"
)

// Admin is the user of the first access key, who may do everything and cannot be deleted.
const Admin = "admin"

// Limits. Source: IAM quotas.
const (
	maxAccessKeys   = 2 // of a user
	maxPrincipals   = 5000
	maxInline       = 10240 // bytes of one inline policy
	maxPolicies     = 20    // of one principal
	DefaultDuration = time.Hour
	MaxDuration     = 12 * time.Hour
)

// Directory is the account's users, roles, keys and policies. Store, Account and Region are required. Load comes first.
type Directory struct {
	Store   *store.DB
	Account string
	Region  string
	Now     func() time.Time // default time.Now

	mu    sync.Mutex // held by whoever changes
	state atomic.Pointer[state]

	usesMu sync.Mutex
	uses   map[string]store.Use // of keys, not on disk yet

	flushes *lazy.Ticker // after a key was used
}

// state is one snapshot. It does not change.
type state struct {
	principals map[string]*principal // by kind/name
	keys       map[string]store.AccessKey
	apiKeys    map[string]store.APIKey
	onResource map[string]*policy.Document // by ARN
}

type principal struct {
	store.Principal
	arn       string
	trust     *policy.Document
	policies  map[string]string // names to documents; built-in ones by ARN, without a document
	documents []*policy.Document
}

// Load reads everything, and makes the administrator at the first start.
func (d *Directory) Load(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.flushes == nil {
		d.flushes = lazy.NewTicker(FlushEvery)
	}
	err := d.Store.Update(ctx, func(tx *store.Tx) error {
		there, err := tx.Principals()
		if err != nil || slices.ContainsFunc(there, func(p store.Principal) bool { return p.Kind == User && p.Name == Admin }) {
			return err
		}
		if err := tx.PutPrincipal(store.Principal{Kind: User, Name: Admin, ID: newID("AIDA"), Path: "/", CreatedAt: d.now()}); err != nil {
			return err
		}
		return tx.PutPrincipalPolicy(store.PrincipalPolicy{Kind: User, Name: Admin, Policy: administrator})
	})
	if err != nil {
		return err
	}
	return d.reload(ctx)
}

// Reload reads everything again, after another room changed resource policies or removed a runtime.
func (d *Directory) Reload(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.reload(ctx)
}

func (d *Directory) reload(ctx context.Context) error {
	s := &state{map[string]*principal{}, map[string]store.AccessKey{}, map[string]store.APIKey{}, map[string]*policy.Document{}}
	err := d.Store.View(ctx, func(tx *store.Tx) error { return d.read(tx, s) })
	if err == nil {
		d.state.Store(s)
	}
	return err
}

func (d *Directory) read(tx *store.Tx, s *state) error {
	principals, err := tx.Principals()
	if err != nil {
		return err
	}
	for _, p := range principals {
		s.principals[p.Kind+"/"+p.Name] = &principal{Principal: p, arn: d.arn(p.Kind, p.Path, p.Name), policies: map[string]string{}}
	}
	policies, err := tx.PrincipalPolicies()
	if err != nil {
		return err
	}
	for _, p := range policies {
		s.principals[p.Kind+"/"+p.Name].policies[p.Policy] = p.Document
	}
	for _, p := range s.principals {
		if err := p.compile(); err != nil {
			return err
		}
	}
	return d.readRest(tx, s)
}

func (d *Directory) readRest(tx *store.Tx, s *state) error {
	keys, err := tx.AccessKeys()
	if err != nil {
		return err
	}
	for _, k := range keys {
		s.keys[k.ID] = k
	}
	apiKeys, err := tx.APIKeys()
	if err != nil {
		return err
	}
	for _, k := range apiKeys {
		s.apiKeys[k.ID] = k
	}
	documents, err := tx.ResourcePolicies()
	if err != nil {
		return err
	}
	for arn, text := range documents {
		doc, err := policy.Parse(policy.Resource, "resource policy of "+arn, text)
		if err != nil { // kept by a server that did not read them yet: it lets nobody in, and denies everybody
			doc, _ = policy.Parse(policy.Resource, "unreadable resource policy of "+arn, `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}}`)
		}
		s.onResource[arn] = doc
	}
	return nil
}

// compile readies a principal's policies.
func (p *principal) compile() (err error) {
	if p.Kind == Role {
		if p.trust, err = policy.Parse(policy.Trust, "trust policy", p.Trust); err != nil {
			return err
		}
	}
	for _, name := range sorted(p.policies) {
		text := p.policies[name]
		if text == "" {
			text = builtIn[name]
		}
		doc, err := policy.Parse(policy.Identity, name, text)
		if err != nil {
			return fmt.Errorf("policy %s of %s: %w", name, p.arn, err)
		}
		p.documents = append(p.documents, doc)
	}
	return nil
}

func sorted[T any](m map[string]T) (out []string) {
	for name := range m {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// change writes, and makes the next snapshot.
func (d *Directory) change(ctx context.Context, fn func(*store.Tx) error) error {
	if err := d.Store.Update(ctx, fn); err != nil {
		return err
	}
	return d.reload(context.WithoutCancel(ctx))
}

func (d *Directory) arn(kind, path, name string) string {
	return moorage.ARN{Partition: "aws", Service: "iam", Account: d.Account, Resource: kind + path + name}.String()
}

func (d *Directory) now() time.Time {
	if d.Now == nil {
		return time.Now()
	}
	return d.Now()
}

// newID is an id of AWS's form: a prefix that says of what, and 17 characters.
func newID(prefix string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	id := make([]byte, 17)
	rand.Read(id)
	for i := range id {
		id[i] = alphabet[id[i]%32]
	}
	return prefix + string(id)
}

// AccessKey finds an active access key, as a Verifier asks for one.
func (d *Directory) AccessKey(_ context.Context, id string) (identity.AccessKey, error) {
	k, ok := d.state.Load().keys[id]
	if !ok || !k.Active {
		return identity.AccessKey{}, moorage.Errorf(moorage.NotFound, "no active access key has the id %q", id)
	}
	return identity.AccessKey{Secret: k.Secret, Principal: k.Principal}, nil
}

// Use notes that a key was used. It is on disk after the next Flush.
func (d *Directory) Use(id, service string) {
	if id == "" || strings.HasPrefix(id, "ASIA") {
		return
	}
	d.usesMu.Lock()
	defer d.usesMu.Unlock()
	if d.uses == nil {
		d.uses = map[string]store.Use{}
	}
	d.uses[id] = store.Use{At: d.now(), Service: service}
	d.flushes.Wake()
}

// Flush writes when keys were last used.
func (d *Directory) Flush(ctx context.Context) error {
	d.usesMu.Lock()
	uses := d.uses
	d.uses = nil
	d.usesMu.Unlock()
	if len(uses) == 0 {
		return nil
	}
	return d.Store.Update(ctx, func(tx *store.Tx) error { return tx.Used(uses) })
}

// FlushEvery is how old the last use on disk may be.
const FlushEvery = time.Minute

// Run writes last uses until ctx ends, and once more then.
func (d *Directory) Run(ctx context.Context) (err error) {
	rounds, stop := context.WithCancel(ctx)
	defer stop()
	d.flushes.Run(rounds, func() time.Duration {
		if err = d.Flush(context.WithoutCancel(ctx)); err != nil {
			stop()
		}
		return 0
	})
	if err != nil {
		return err
	}
	return d.Flush(context.WithoutCancel(ctx))
}

// lastUse is when a key was used last, on disk or not.
func (d *Directory) lastUse(id string, stored store.Use) store.Use {
	d.usesMu.Lock()
	defer d.usesMu.Unlock()
	if u, ok := d.uses[id]; ok {
		return u
	}
	return stored
}
