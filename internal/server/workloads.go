package server

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"strings"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/agentcore"
	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/identity"
	"github.com/moorage-dev/moorage/internal/identity/audit"
	"github.com/moorage-dev/moorage/internal/identity/bearer"
	"github.com/moorage-dev/moorage/internal/identity/pool"
	"github.com/moorage-dev/moorage/internal/identity/vault"
	"github.com/moorage-dev/moorage/internal/identity/vault/kek"
	"github.com/moorage-dev/moorage/internal/identity/workload"
	"github.com/moorage-dev/moorage/internal/invoke"
)

// openWorkloads opens what agents are and hold.
func (h *house) openWorkloads(ctx context.Context) error {
	key, err := h.store.Key("workload access tokens")
	if err != nil {
		return err
	}
	h.workloads = &workload.Service{Store: h.store, Key: key, Region: h.Region, Account: h.account, SessionIn: h.sessionIn, Verify: h.verifyUser, Authorizer: h.authorizerOf, Issued: h.issuedToWorkload}
	if err := h.workloads.Load(ctx); err != nil {
		return err
	}
	if key, err = h.store.Key("token vault"); err != nil {
		return err
	}
	local, err := vault.NewLocalKey("root.key", key)
	if err != nil {
		return err
	}
	client := bearer.NewClient(h.providerNetworks())
	client.Transport = pool.Transport{Pools: h.userPools, Next: client.Transport}
	h.vault = &vault.Vault{
		Store: h.store, Workloads: h.workloads, Key: local, Client: client, Endpoints: h.tokens.Endpoints, Certificates: h.certificate,
		Region: h.Region, Account: h.account, PublicURL: strings.TrimSuffix(h.PublicURL, "/"), Log: h.Log,
	}
	if h.vault.Keys, err = h.vaultKeys(ctx); err != nil {
		return err
	}
	if h.vault.Policy, err = h.releasePolicy(); err != nil {
		return err
	}
	h.vault.Note = h.noteRelease
	return h.vault.Load(ctx)
}

// vaultKeys are those that the token vault may be brought under, by the options.
func (h *house) vaultKeys(ctx context.Context) (keys []vault.Key, err error) {
	o := kek.Options{Region: h.Region, Account: h.account, VaultARN: h.vault.VaultARN(), Transit: h.Transit}
	seen := map[string]bool{}
	for _, spec := range h.VaultKeys {
		if !strings.Contains(spec, "://") && h.isAWSEndpoint() {
			return nil, moorage.Errorf(moorage.Invalid, "AWS_ENDPOINT_URL of this environment is this server itself, where no key of AWS KMS is: unset AWS_ENDPOINT_URL and Moorage's access key for serve")
		}
		k, err := kek.Open(ctx, spec, o)
		if err != nil {
			return nil, err
		}
		if seen[k.ID()] {
			return nil, moorage.Errorf(moorage.Invalid, "--vault-key is given twice for %s", k.ID())
		}
		seen[k.ID()] = true
		keys = append(keys, k)
	}
	return keys, nil
}

// isAWSEndpoint reports whether AWS's libraries in this process look for AWS here: `moorage env` sets up a shell so.
func (h *house) isAWSEndpoint() bool {
	at := strings.TrimSuffix(os.Getenv("AWS_ENDPOINT_URL"), "/")
	return at != "" && os.Getenv("AWS_ENDPOINT_URL_KMS") == "" && at == strings.TrimSuffix(h.PublicURL, "/")
}

// policyName is a file in DIR with policies in Cedar on the release of credentials; without it the default holds.
const policyName = "release.cedar"

// releasePolicy reads the policies once: they hold until the server is started anew.
func (h *house) releasePolicy() (*vault.Policy, error) {
	h.release.Source, h.release.Text = "the default", vault.DefaultPolicy
	text, err := os.ReadFile(h.path(policyName))
	if err == nil {
		h.release.Source, h.release.Text = policyName, string(text)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return vault.ParsePolicy(h.release.Source, []byte(h.release.Text))
}

// noteRelease puts a release, or its refusal, on the audit record before anybody is told.
func (h *house) noteRelease(ctx context.Context, r vault.Release, refused error) error {
	if h.audit == nil {
		return nil
	}
	record := audit.Record{
		Kind: audit.Release, Refused: refused != nil, RequestID: wire.RequestID(ctx), Caller: identity.CallerOf(ctx).ARN,
		Resources: []string{moorage.WorkloadIdentityARN(h.Region, h.account, r.Workload).String(), r.Provider},
		Action:    "bedrock-agentcore:GetResourceOauth2Token", Detail: map[string]string{"flow": string(r.Flow)},
	}
	if r.Flow == vault.FlowAPIKey {
		record.Action = "bedrock-agentcore:GetResourceApiKey"
	}
	for name, value := range map[string]string{"session": r.Session, "user": r.User} {
		if value != "" {
			record.Detail[name] = value
		}
	}
	if r.Injected {
		record.Detail["injected"] = "yes"
	}
	if refused != nil {
		record.Reason = "policy " + policyName
	}
	return h.audit.Record(ctx, record)
}

// insidePaths are where an agent asks the vault from its sandbox. What else the identity service has is for
// those who deploy agents: an agent makes no tokens on behalf of users whom it names itself.
var insidePaths = []string{"/identities/api-key", "/identities/oauth2/token"}

// insideVault serves insidePaths.
func (h *house) insideVault() http.Handler {
	svc := wire.NewService(agentcore.Model, wire.Options{Logger: h.Log})
	agentcore.ServeVault(svc, h.vault, h.fetched)
	svc.Use(func(next http.Handler) http.Handler { return h.signed(h.traced(next), wire.WriteError) })
	return svc
}

// maxIdentity bounds a request to the identity service in bytes: a token of a user has up to 131,072.
const maxIdentity = 256 << 10

// consentPages are where users' browsers go on their way to a provider and back.
func (h *house) consentPages() http.Handler {
	mux := http.NewServeMux()
	visit := func(next func(r *http.Request) (string, error)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			r = withRequestID(w, r)
			w.Header().Set("Cache-Control", "no-store")
			w.Header().Set("Referrer-Policy", "no-referrer")
			to, err := next(r)
			if err != nil {
				wire.WriteError(w, r, err)
				return
			}
			http.Redirect(w, r, to, http.StatusFound)
		}
	}
	mux.HandleFunc("GET /identities/oauth2/authorize", visit(func(r *http.Request) (string, error) {
		return h.vault.Authorize(r.Context(), r.URL.Query().Get("request_uri"))
	}))
	mux.HandleFunc("GET /identities/oauth2/callback/{id}", visit(func(r *http.Request) (string, error) {
		return h.vault.Callback(r.Context(), r.PathValue("id"), r.URL.Query())
	}))
	return mux
}

// sessionIn is the session that a sandbox belongs to, by its labels.
func (h *house) sessionIn(ctx context.Context, sandbox string) (string, error) {
	box, err := h.shim.Lookup(ctx, sandbox)
	if err != nil {
		return "", err
	}
	return box.Info().Labels["session"], nil
}

func (h *house) authorizerOf(runtimeID string) *moorage.JWTAuthorizer {
	return h.invoke.Authorizer(invoke.Address{Runtime: runtimeID, Account: h.account})
}

func (h *house) verifyUser(ctx context.Context, a moorage.JWTAuthorizer, token string) (workload.User, error) {
	t, err := h.tokens.Verify(ctx, a, token)
	return workload.User{Issuer: t.Issuer, Subject: t.Subject, Token: token, Expires: t.Expires}, err
}
