package v1

import (
	"net/http"
	"time"
)

// Vault is how far the token vault's secrets are under its key.
type Vault struct {
	Key       string     `json:"key"`                 // id of the key: an ARN, or that of the server's own
	ChangedAt *time.Time `json:"changedAt,omitempty"` // none when it was never set
	Secrets   int        `json:"secrets"`
	Left      int        `json:"left"`              // of these, under another key still
	Problem   string     `json:"problem,omitempty"` // of the last attempt to bring them under it
	Keys      []VaultKey `json:"keys"`
}

// VaultKey is a key that the server was given, or that secrets are under.
type VaultKey struct {
	ID      string `json:"id"`
	Where   string `json:"where"`
	Wraps   bool   `json:"wraps"`   // the vault
	Secrets int    `json:"secrets"` // under it now
}

func (h *Handler) showVault(w http.ResponseWriter, r *http.Request) error {
	state, err := h.Vault.Wrapping(r.Context())
	if err != nil {
		return err
	}
	out := Vault{Key: state.Key, Secrets: state.Secrets, Left: state.Left, Problem: state.Problem}
	if state.Changed.Unix() > 0 {
		out.ChangedAt = &state.Changed
	}
	for _, k := range state.Keys {
		out.Keys = append(out.Keys, VaultKey(k))
	}
	return writeJSON(w, out)
}
