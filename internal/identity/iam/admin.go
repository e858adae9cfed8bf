package iam

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity/policy"
	"github.com/moorage-dev/moorage/internal/store"
)

// RoleView is a user or role as it is shown.
type RoleView struct {
	store.Principal
	ARN string
}

func (p *principal) role() RoleView { return RoleView{p.Principal, p.arn} }

// exception makes the error that IAM's clients branch on.
func exception(code moorage.Code, name, format string, args ...any) error {
	return &moorage.Error{Code: code, Exception: name, Message: fmt.Sprintf(format, args...)}
}

func noSuch(kind, name string) error {
	return exception(moorage.NotFound, "NoSuchEntity", "The %s with name %s cannot be found.", kind, name)
}

var nameRule = regexp.MustCompile(`^[\w+=,.@-]{1,64}$`)

// Create makes a user or role.
func (d *Directory) Create(ctx context.Context, p store.Principal) (RoleView, error) {
	if !nameRule.MatchString(p.Name) {
		return RoleView{}, exception(moorage.Invalid, "ValidationError", "A name has 1 to 64 letters, digits and +=,.@_-")
	}
	prefix := "AIDA"
	if p.Kind == Role {
		prefix = "AROA"
		if _, err := policy.Parse(policy.Trust, "trust policy", p.Trust); err != nil {
			return RoleView{}, err
		}
		if p.MaxDuration == 0 {
			p.MaxDuration = DefaultDuration
		}
	}
	if p.Path == "" {
		p.Path = "/"
	}
	p.ID, p.CreatedAt = newID(prefix), d.now().UTC().Truncate(time.Second)
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.state.Load()
	for _, other := range s.principals { // names differ in more than case; source: IAM API, CreateUser
		if other.Kind == p.Kind && strings.EqualFold(other.Name, p.Name) {
			return RoleView{}, exception(moorage.Conflict, "EntityAlreadyExists", "%s with name %s already exists.", title(p.Kind), p.Name)
		}
	}
	if len(s.principals) >= maxPrincipals {
		return RoleView{}, exception(moorage.Quota, "LimitExceeded", "There are %d users and roles already.", maxPrincipals)
	}
	err := d.change(ctx, func(tx *store.Tx) error { return tx.PutPrincipal(p) })
	return RoleView{p, d.arn(p.Kind, p.Path, p.Name)}, err
}

func title(kind string) string { return strings.ToUpper(kind[:1]) + kind[1:] }

// Get returns a user or role.
func (d *Directory) Get(kind, name string) (RoleView, error) {
	p := d.state.Load().principals[kind+"/"+name]
	if p == nil {
		return RoleView{}, noSuch(kind, name)
	}
	return p.role(), nil
}

// Principals returns all users or all roles under a path, by name.
func (d *Directory) Principals(kind, path string) (out []RoleView) {
	s := d.state.Load()
	for _, key := range sorted(s.principals) {
		if p := s.principals[key]; p.Kind == kind && strings.HasPrefix(p.Path, path) {
			out = append(out, p.role())
		}
	}
	return out
}

// Delete removes a user or role that has no keys and policies any more.
func (d *Directory) Delete(ctx context.Context, kind, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.state.Load()
	p := s.principals[kind+"/"+name]
	switch {
	case p == nil:
		return noSuch(kind, name)
	case kind == User && name == Admin:
		return exception(moorage.Conflict, "DeleteConflict", "The first user cannot be deleted: somebody has to be able to get in.")
	case len(p.policies) > 0:
		return exception(moorage.Conflict, "DeleteConflict", "Cannot delete entity, must delete policies first.")
	}
	for _, k := range s.keys {
		if k.Principal == p.arn {
			return exception(moorage.Conflict, "DeleteConflict", "Cannot delete entity, must delete access keys first.")
		}
	}
	return d.change(ctx, func(tx *store.Tx) error { return tx.DeletePrincipal(kind, name) })
}

// SetTrust replaces a role's trust policy.
func (d *Directory) SetTrust(ctx context.Context, name, document string) error {
	if _, err := policy.Parse(policy.Trust, "trust policy", document); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.state.Load().principals[Role+"/"+name]
	if p == nil {
		return noSuch(Role, name)
	}
	changed := p.Principal
	changed.Trust = document
	return d.change(ctx, func(tx *store.Tx) error { return tx.PutPrincipal(changed) })
}

// PutPolicy sets an inline policy.
func (d *Directory) PutPolicy(ctx context.Context, kind, name, policyName, document string) error {
	if len(document) > maxInline {
		return exception(moorage.Quota, "LimitExceeded", "A policy has at most %d bytes.", maxInline)
	}
	if _, err := policy.Parse(policy.Identity, policyName, document); err != nil {
		return err
	}
	return d.putPolicy(ctx, store.PrincipalPolicy{Kind: kind, Name: name, Policy: policyName, Document: document})
}

// Attach gives a user or role a built-in policy.
func (d *Directory) Attach(ctx context.Context, kind, name, policyARN string) error {
	if builtIn[policyARN] == "" {
		return exception(moorage.NotFound, "NoSuchEntity", "Policy %s does not exist or is not attachable. Here are: %s; write others inline.", policyARN, strings.Join(sorted(builtIn), ", "))
	}
	return d.putPolicy(ctx, store.PrincipalPolicy{Kind: kind, Name: name, Policy: policyARN})
}

func (d *Directory) putPolicy(ctx context.Context, put store.PrincipalPolicy) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.state.Load().principals[put.Kind+"/"+put.Name]
	if p == nil {
		return noSuch(put.Kind, put.Name)
	}
	if _, had := p.policies[put.Policy]; !had && len(p.policies) >= maxPolicies {
		return exception(moorage.Quota, "LimitExceeded", "A %s has at most %d policies.", put.Kind, maxPolicies)
	}
	return d.change(ctx, func(tx *store.Tx) error { return tx.PutPrincipalPolicy(put) })
}

// DeletePolicy removes an inline policy, or detaches a built-in one.
func (d *Directory) DeletePolicy(ctx context.Context, kind, name, policyName string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.state.Load().principals[kind+"/"+name]
	if p == nil {
		return noSuch(kind, name)
	}
	if _, had := p.policies[policyName]; !had {
		return exception(moorage.NotFound, "NoSuchEntity", "The %s policy with name %s cannot be found.", kind, policyName)
	}
	if kind == User && name == Admin && policyName == administrator {
		return exception(moorage.Conflict, "DeleteConflict", "The first user stays an administrator: somebody has to be able to get in.")
	}
	return d.change(ctx, func(tx *store.Tx) error { return tx.DeletePrincipalPolicy(kind, name, policyName) })
}

// Policies returns the inline policies of a user or role, names to documents, and the ARNs of built-in ones.
func (d *Directory) Policies(kind, name string) (inline map[string]string, attached []string, err error) {
	p := d.state.Load().principals[kind+"/"+name]
	if p == nil {
		return nil, nil, noSuch(kind, name)
	}
	inline = map[string]string{}
	for _, n := range sorted(p.policies) {
		if doc := p.policies[n]; doc == "" {
			attached = append(attached, n)
		} else {
			inline[n] = doc
		}
	}
	return inline, attached, nil
}

// CreateAccessKey makes a key for a user. The secret is shown now and never again.
func (d *Directory) CreateAccessKey(ctx context.Context, user string) (store.AccessKey, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.state.Load()
	p := s.principals[User+"/"+user]
	if p == nil {
		return store.AccessKey{}, noSuch(User, user)
	}
	active := 0
	for _, k := range s.keys {
		if k.Principal == p.arn {
			active++
		}
	}
	if active >= maxAccessKeys {
		return store.AccessKey{}, exception(moorage.Quota, "LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: %d", maxAccessKeys)
	}
	k := NewAccessKey(p.arn, d.now())
	return k, d.change(ctx, func(tx *store.Tx) error { return tx.PutAccessKey(k) })
}

// NewAccessKey makes a key of AWS's form.
func NewAccessKey(principal string, now time.Time) store.AccessKey {
	secret := make([]byte, 30)
	rand.Read(secret)
	return store.AccessKey{
		ID: newID("AKIA")[:20], Secret: base64.StdEncoding.EncodeToString(secret), Principal: principal, Active: true, CreatedAt: now,
	}
}

// AccessKeys returns a user's keys, oldest first, with when they were last used. The secrets are left out.
func (d *Directory) AccessKeys(user string) (out []store.AccessKey, err error) {
	s := d.state.Load()
	p := s.principals[User+"/"+user]
	if p == nil {
		return nil, noSuch(User, user)
	}
	for _, k := range s.keys {
		if k.Principal == p.arn {
			k.Secret, k.Used = "", d.lastUse(k.ID, k.Used)
			out = append(out, k)
		}
	}
	slices.SortFunc(out, func(a, b store.AccessKey) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return out, nil
}

// KeyOwner returns the name of the user that an access key belongs to, and when it was last used.
func (d *Directory) KeyOwner(id string) (user string, used store.Use, err error) {
	k, ok := d.state.Load().keys[id]
	if !ok {
		return "", used, noSuch("Access Key", id)
	}
	return k.Principal[strings.LastIndexByte(k.Principal, '/')+1:], d.lastUse(id, k.Used), nil
}

// SetAccessKey disables or enables a user's key.
func (d *Directory) SetAccessKey(ctx context.Context, user, id string, active bool) error {
	return d.withKey(ctx, user, id, func(tx *store.Tx, k store.AccessKey) error {
		k.Active = active
		return tx.PutAccessKey(k)
	})
}

// DeleteAccessKey removes a user's key. It is refused from the next call on.
func (d *Directory) DeleteAccessKey(ctx context.Context, user, id string) error {
	return d.withKey(ctx, user, id, func(tx *store.Tx, _ store.AccessKey) error { return tx.DeleteAccessKey(id) })
}

func (d *Directory) withKey(ctx context.Context, user, id string, fn func(*store.Tx, store.AccessKey) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.state.Load()
	p, k := s.principals[User+"/"+user], s.keys[id]
	if p == nil {
		return noSuch(User, user)
	}
	if k.ID == "" || k.Principal != p.arn {
		return noSuch("Access Key", id)
	}
	others := 0
	for _, o := range s.keys {
		if o.Principal == p.arn && o.ID != id && o.Active {
			others++
		}
	}
	if user == Admin && others == 0 {
		return exception(moorage.Conflict, "DeleteConflict", "This is the last active key of the first user: make another one first.")
	}
	return d.change(ctx, func(tx *store.Tx) error { return fn(tx, k) })
}
