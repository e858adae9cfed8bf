package v1

import (
	"net/http"
	"strings"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity"
	"github.com/moorage-dev/moorage/internal/store"
)

// APIKey is a key of a runtime as operators see it; Key is there once, in the answer to its creation.
type APIKey struct {
	ID        string     `json:"id"`
	Runtime   string     `json:"runtime"`
	Key       string     `json:"key,omitempty"`
	Name      string     `json:"name,omitempty"`
	Scopes    []string   `json:"scopes"`
	Endpoints []string   `json:"endpoints"` // none means all
	Active    bool       `json:"active"`
	CreatedBy string     `json:"createdBy"`
	CreatedAt time.Time  `json:"createdAt"`
	ExpiresAt *time.Time `json:"expiresAt,omitempty"`
	UsedAt    *time.Time `json:"lastUsedAt,omitempty"`
}

func apiKeyView(k store.APIKey) APIKey {
	out := APIKey{ID: k.ID, Runtime: k.RuntimeID, Name: k.Name, Scopes: k.Scopes, Endpoints: k.Endpoints, Active: k.Active, CreatedBy: k.CreatedBy, CreatedAt: k.CreatedAt}
	if out.Endpoints == nil {
		out.Endpoints = []string{}
	}
	if !k.ExpiresAt.IsZero() {
		out.ExpiresAt = &k.ExpiresAt
	}
	if !k.UsedAt.IsZero() {
		out.UsedAt = &k.UsedAt
	}
	return out
}

func (h *Handler) listKeys(w http.ResponseWriter, r *http.Request) error {
	return h.writeKeys(w, r.PathValue("id"))
}

// listAllKeys answers with the keys of every runtime, or of ?runtime=.
func (h *Handler) listAllKeys(w http.ResponseWriter, r *http.Request) error {
	return h.writeKeys(w, r.URL.Query().Get("runtime"))
}

func (h *Handler) writeKeys(w http.ResponseWriter, runtime string) error {
	out := []APIKey{}
	for _, k := range h.People.APIKeys(runtime) {
		out = append(out, apiKeyView(k))
	}
	return writeJSON(w, map[string]any{"apiKeys": out})
}

// createKey makes a key: ?name=&scope=invoke,stop&endpoint=DEFAULT&expires=720h.
func (h *Handler) createKey(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	k := store.APIKey{RuntimeID: r.PathValue("id"), Name: q.Get("name"), Scopes: words(q.Get("scope")), Endpoints: words(q.Get("endpoint")), CreatedBy: identity.CallerOf(r.Context()).ARN}
	if expires := q.Get("expires"); expires != "" {
		life, err := time.ParseDuration(expires)
		if err != nil || life <= 0 {
			return moorage.Errorf(moorage.Invalid, "expires must be a duration such as 720h")
		}
		k.ExpiresAt = time.Now().Add(life).UTC().Truncate(time.Second)
	}
	key, made, err := h.People.CreateAPIKey(r.Context(), k)
	if err != nil {
		return err
	}
	view := apiKeyView(made)
	view.Key = key
	w.Header().Set("Cache-Control", "no-store")
	return writeJSON(w, view)
}

func words(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// changeKey disables or enables a key.
func (h *Handler) changeKey(w http.ResponseWriter, r *http.Request) error {
	to := r.PathValue("to")
	if to != "disable" && to != "enable" {
		return moorage.Errorf(moorage.NotFound, "a key can be disabled and enabled, not %q", to)
	}
	return h.done(w, h.People.SetAPIKey(r.Context(), r.PathValue("id"), r.PathValue("key"), to == "enable"))
}

func (h *Handler) deleteKey(w http.ResponseWriter, r *http.Request) error {
	return h.done(w, h.People.DeleteAPIKey(r.Context(), r.PathValue("id"), r.PathValue("key")))
}

func (h *Handler) done(w http.ResponseWriter, err error) error {
	if err != nil {
		return err
	}
	return writeJSON(w, struct{}{})
}
