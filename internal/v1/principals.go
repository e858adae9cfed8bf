package v1

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity/iam"
	"github.com/moorage-dev/moorage/internal/store"
)

// Principal is a user or role as operators see it.
type Principal struct {
	Kind              string          `json:"kind"` // user or role
	Name              string          `json:"name"`
	ID                string          `json:"id"`
	ARN               string          `json:"arn"`
	CreatedAt         time.Time       `json:"createdAt"`
	Description       string          `json:"description,omitempty"`
	MaxSessionSeconds int             `json:"maxSessionSeconds,omitempty"` // of a role
	Trust             json.RawMessage `json:"trust,omitempty"`             // who may assume the role; of one that is asked for by name
	Policies          []NamedPolicy   `json:"policies"`
	AccessKeys        []AccessKey     `json:"accessKeys"` // of a user, oldest first
}

// NamedPolicy is a policy of a user or role. Document is there where the principal was asked for by name.
type NamedPolicy struct {
	Name     string          `json:"name"`          // of a built-in one the ARN's last part
	ARN      string          `json:"arn,omitempty"` // of a built-in one
	Document json.RawMessage `json:"document,omitempty"`
}

// AccessKey is a user's key for signing; Secret is there once, in the answer to its creation.
type AccessKey struct {
	ID        string     `json:"id"`
	Secret    string     `json:"secret,omitempty"`
	Active    bool       `json:"active"`
	CreatedAt time.Time  `json:"createdAt"`
	UsedAt    *time.Time `json:"lastUsedAt,omitempty"`
	UsedFor   string     `json:"lastUsedFor,omitempty"` // a service
}

func accessKeyView(k store.AccessKey) AccessKey {
	out := AccessKey{ID: k.ID, Active: k.Active, CreatedAt: k.CreatedAt}
	if !k.Used.At.IsZero() {
		out.UsedAt, out.UsedFor = &k.Used.At, k.Used.Service
	}
	return out
}

func (h *Handler) listPrincipals(w http.ResponseWriter, _ *http.Request) error {
	out := []Principal{}
	for _, kind := range []string{iam.User, iam.Role} {
		for _, p := range h.People.Principals(kind, "/") {
			view, err := h.principal(p, false)
			if moorage.CodeOf(err) == moorage.NotFound { // it went meanwhile
				continue
			}
			if err != nil {
				return err
			}
			out = append(out, view)
		}
	}
	return writeJSON(w, map[string]any{"principals": out})
}

func (h *Handler) showPrincipal(w http.ResponseWriter, r *http.Request) error {
	p, err := h.People.Get(r.PathValue("kind"), r.PathValue("name"))
	if err != nil {
		return err
	}
	view, err := h.principal(p, true)
	if err != nil {
		return err
	}
	return writeJSON(w, view)
}

// principal is a principal with its keys and the names of its policies; whole has their documents, too.
func (h *Handler) principal(p iam.RoleView, whole bool) (Principal, error) {
	out := Principal{
		Kind: p.Kind, Name: p.Name, ID: p.ID, ARN: p.ARN, CreatedAt: p.CreatedAt, Description: p.Description,
		MaxSessionSeconds: int(p.MaxDuration / time.Second), Policies: []NamedPolicy{}, AccessKeys: []AccessKey{},
	}
	inline, attached, err := h.People.Policies(p.Kind, p.Name)
	if err != nil {
		return out, err
	}
	for _, arn := range attached {
		n := NamedPolicy{Name: arn[strings.LastIndexByte(arn, '/')+1:], ARN: arn}
		if whole {
			n.Document = rawOf(iam.BuiltIn(arn))
		}
		out.Policies = append(out.Policies, n)
	}
	for name, document := range inline {
		n := NamedPolicy{Name: name}
		if whole {
			n.Document = rawOf(document)
		}
		out.Policies = append(out.Policies, n)
	}
	slices.SortFunc(out.Policies, func(a, b NamedPolicy) int { return strings.Compare(a.Name, b.Name) })
	if p.Kind == iam.Role {
		if whole {
			out.Trust = rawOf(p.Trust)
		}
		return out, nil
	}
	keys, err := h.People.AccessKeys(p.Name)
	for _, k := range keys {
		out.AccessKeys = append(out.AccessKeys, accessKeyView(k))
	}
	return out, err
}

func (h *Handler) createAccessKey(w http.ResponseWriter, r *http.Request) error {
	k, err := h.People.CreateAccessKey(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	view := accessKeyView(k)
	view.Secret = k.Secret
	w.Header().Set("Cache-Control", "no-store")
	return writeJSON(w, view)
}

// changeAccessKey disables or enables a user's key.
func (h *Handler) changeAccessKey(w http.ResponseWriter, r *http.Request) error {
	to := r.PathValue("to")
	if to != "disable" && to != "enable" {
		return moorage.Errorf(moorage.NotFound, "a key can be disabled and enabled, not %q", to)
	}
	return h.done(w, h.People.SetAccessKey(r.Context(), r.PathValue("name"), r.PathValue("key"), to == "enable"))
}

func (h *Handler) deleteAccessKey(w http.ResponseWriter, r *http.Request) error {
	return h.done(w, h.People.DeleteAccessKey(r.Context(), r.PathValue("name"), r.PathValue("key")))
}
