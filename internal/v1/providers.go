package v1

import (
	"cmp"
	"net/http"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity/vault"
)

// CredentialProvider is a provider of the token vault as operators see it. No secret is part of it.
type CredentialProvider struct {
	Kind         vault.Kind   `json:"kind"` // apikey or oauth2
	Name         string       `json:"name"`
	ARN          string       `json:"arn"`
	CreatedAt    time.Time    `json:"createdAt"`
	UpdatedAt    time.Time    `json:"updatedAt"`
	Rules        []vault.Rule `json:"rules"` // calls that get the credential in place of a placeholder
	InjectScopes []string     `json:"injectScopes,omitempty"`

	Vendor      string `json:"vendor,omitempty"` // this and the rest of OAuth2
	ClientID    string `json:"clientId,omitempty"`
	Server      string `json:"server,omitempty"`      // its discovery document, or else its issuer or token endpoint
	CallbackURL string `json:"callbackUrl,omitempty"` // to be registered there
	OnBehalfOf  string `json:"onBehalfOf,omitempty"`  // how users' tokens are exchanged there
}

// TokenVault says under which key the secrets of providers are.
type TokenVault struct {
	Key       string     `json:"key"` // an id: of a key in AWS KMS the ARN, of a transit key its address
	Own       bool       `json:"own"` // it is the server's own
	ChangedAt *time.Time `json:"changedAt,omitempty"`
	Secrets   int        `json:"secrets"`
	Left      int        `json:"left"`              // of these, that are under another key still
	Problem   string     `json:"problem,omitempty"` // why they are
}

func tokenVaultView(w vault.Wrapping) TokenVault {
	out := TokenVault{Key: w.Key, Own: w.Own, Secrets: w.Secrets, Left: w.Left, Problem: w.Problem}
	if w.Changed.Unix() > 0 { // it was ever
		out.ChangedAt = &w.Changed
	}
	return out
}

func (h *Handler) listProviders(w http.ResponseWriter, r *http.Request) error {
	wrapping, err := h.Vault.Wrapping(r.Context())
	if err != nil {
		return err
	}
	out := []CredentialProvider{}
	for _, kind := range []vault.Kind{vault.APIKey, vault.OAuth2} {
		for _, p := range h.Vault.List(kind, "") {
			out = append(out, h.providerView(p))
		}
	}
	return writeJSON(w, map[string]any{"providers": out, "vault": tokenVaultView(wrapping)})
}

func (h *Handler) providerView(p *vault.Provider) CredentialProvider {
	out := CredentialProvider{
		Kind: p.Kind, Name: p.Name, ARN: h.Vault.ARN(*p), CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt,
		Rules: append([]vault.Rule{}, p.Rules...), InjectScopes: p.InjectScopes,
	}
	if p.Kind != vault.OAuth2 {
		return out
	}
	out.Vendor, out.ClientID, out.CallbackURL = p.Client.Vendor, p.Client.ID, h.Vault.CallbackURL(*p)
	out.Server = cmp.Or(p.Client.Server.DiscoveryURL, p.Client.Server.Issuer, p.Client.Server.Token)
	if p.Client.OnBehalf != nil {
		out.OnBehalfOf = p.Client.OnBehalf.Grant
	}
	return out
}

// Workload is a workload identity as operators see it.
type Workload struct {
	Name       string    `json:"name"`
	ARN        string    `json:"arn"`
	Runtime    string    `json:"runtime,omitempty"` // id of the one that it belongs to
	ReturnURLs []string  `json:"returnUrls"`        // where its users go once they consented
	CreatedAt  time.Time `json:"createdAt"`
}

// workloadPage is how many workload identities one answer has.
const workloadPage = 100

// listWorkloads answers with the identities that follow ?after=NAME, by name.
func (h *Handler) listWorkloads(w http.ResponseWriter, r *http.Request) error {
	found, err := h.Workloads.List(r.Context(), r.URL.Query().Get("after"), workloadPage+1)
	if err != nil {
		return err
	}
	more := len(found) > workloadPage
	if more {
		found = found[:workloadPage]
	}
	out := []Workload{}
	for _, each := range found {
		out = append(out, workloadView(each))
	}
	return writeJSON(w, map[string]any{"workloads": out, "more": more})
}

func workloadView(w moorage.WorkloadIdentity) Workload {
	return Workload{Name: w.Name, ARN: w.ARN, Runtime: w.RuntimeID, ReturnURLs: append([]string{}, w.ReturnURLs...), CreatedAt: w.CreatedAt}
}
