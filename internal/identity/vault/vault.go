package vault

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity/bearer"
	"github.com/moorage-dev/moorage/internal/identity/workload"
	"github.com/moorage-dev/moorage/internal/store"
)

// ID is the name of the one vault of an account.
const ID = "default"

// maxProviders of each kind is the cloud service's quota.
const maxProviders = 50

// Vault holds the credentials of a directory. Its exported fields are set before Load.
type Vault struct {
	Store     *store.DB
	Workloads *workload.Service
	Key       Key              // the server's own, which wraps data keys until SetKey says otherwise
	Keys      []Key            // that SetKey may choose, each with an ID of its own
	Client    *http.Client     // to providers, whose addresses tenants choose
	Endpoints bearer.Endpoints // the private ones that providers may name
	// Certificates reads those that providers name beside them.
	Certificates bearer.ReadCertificate
	Region       string
	Account      string
	PublicURL    string // without a slash at its end
	Log          *slog.Logger
	Policy       *Policy // which credentials are released; nil releases all
	// Note records each release and refusal; nil records none. Its failure stops a release.
	Note func(ctx context.Context, r Release, refused error) error
	Now  func() time.Time // nil is time.Now

	changing  sync.Mutex // held by whoever changes a provider that is there
	mu        sync.RWMutex
	providers map[providerID]*Provider
	slots     map[string]*slot
	sweepAt   int
	metadata  metadataCache
	clients   map[string]*http.Client // to providers at private endpoints, by their way

	wrapping wrapping
}

type providerID struct {
	kind Kind
	name string
}

// Load reads the providers into memory. Call it once, before any other method.
func (v *Vault) Load(ctx context.Context) error {
	var rows []store.CredentialProvider
	err := v.Store.View(ctx, func(tx *store.Tx) (err error) {
		if rows, err = tx.CredentialProviders(); err != nil {
			return err
		}
		return v.loadKey(tx)
	})
	if err != nil {
		return err
	}
	v.providers, v.slots = map[providerID]*Provider{}, map[string]*slot{}
	for _, row := range rows {
		p, err := providerOf(row)
		if err != nil {
			return err
		}
		v.providers[p.id()] = p
	}
	return nil
}

// Provider finds a provider, or says NotFound.
func (v *Vault) Provider(kind Kind, name string) (*Provider, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if p := v.providers[providerID{kind, name}]; p != nil {
		return p, nil
	}
	return nil, moorage.Errorf(moorage.NotFound, "no %s credential provider is named %q", kind, name)
}

// byCallback finds the OAuth2 provider whose users come back to the address that ends with id.
func (v *Vault) byCallback(id string) *Provider {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for _, p := range v.providers {
		if p.Kind == OAuth2 && p.CallbackID == id {
			return p
		}
	}
	return nil
}

// Create makes a provider. Secret is the key, or the client's secret. Errors: Conflict when the name is taken,
// Quota.
func (v *Vault) Create(ctx context.Context, p Provider, secret string, tags map[string]string) (*Provider, error) {
	var err error
	if p.Rules, p.InjectScopes, err = rulesOf(tags); err != nil {
		return nil, err
	}
	p.CreatedAt = v.now().UTC()
	p.UpdatedAt, p.CallbackID = p.CreatedAt, uuid.NewString()
	return v.put(ctx, p, secret, func(tx *store.Tx) error {
		if _, err := tx.CredentialProvider(string(p.Kind), p.Name); err == nil {
			return moorage.Errorf(moorage.Conflict, "A credential provider named '%s' already exists: update it, or choose another name", p.Name)
		} else if moorage.CodeOf(err) != moorage.NotFound {
			return err
		}
		all, err := tx.CredentialProviders()
		if err != nil {
			return err
		}
		n := 0
		for _, row := range all {
			if row.Kind == string(p.Kind) {
				n++
			}
		}
		if n >= maxProviders {
			return moorage.Errorf(moorage.Quota, "this account has %d %s credential providers, which is the limit; delete some", n, p.Kind)
		}
		return tx.PutTags(v.ARN(p), tags)
	})
}

// Update replaces a provider's settings and secret. Its callback address stays; tokens that clients got are
// not used again, those that users consented to are.
func (v *Vault) Update(ctx context.Context, p Provider, secret string) (*Provider, error) {
	v.changing.Lock()
	defer v.changing.Unlock()
	old, err := v.Provider(p.Kind, p.Name)
	if err != nil {
		return nil, err
	}
	p.Rules, p.InjectScopes = old.Rules, old.InjectScopes
	p.CreatedAt, p.UpdatedAt, p.CallbackID = old.CreatedAt, v.now().UTC(), old.CallbackID
	return v.put(ctx, p, secret, func(tx *store.Tx) error {
		_, err := tx.CredentialProvider(string(p.Kind), p.Name)
		return err
	})
}

// put seals and writes a provider, in the transaction that first runs check.
func (v *Vault) put(ctx context.Context, p Provider, secret string, check func(*store.Tx) error) (*Provider, error) {
	if err := v.checkWay(p.Client); err != nil {
		return nil, err
	}
	sealed, err := v.seal(ctx, []byte(secret), v.secretPlace(p.id()))
	if err != nil {
		return nil, err
	}
	defer v.wrote(sealed)
	p.once = new(sync.Mutex)
	document, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	row := store.CredentialProvider{
		Kind: string(p.Kind), Name: p.Name, Document: string(document), Secret: sealed, CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt,
	}
	err = v.Store.Update(ctx, func(tx *store.Tx) error {
		if err := check(tx); err != nil {
			return err
		}
		return tx.PutCredentialProvider(row)
	})
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.providers[p.id()] = &p
	return &p, nil
}

// Delete removes a provider, its secret, and the tokens that users consented to there.
func (v *Vault) Delete(ctx context.Context, kind Kind, name string) error {
	v.changing.Lock()
	defer v.changing.Unlock()
	p, err := v.Provider(kind, name)
	if err != nil {
		return err
	}
	err = v.Store.Update(ctx, func(tx *store.Tx) error {
		arn := v.ARN(*p)
		tags, err := tx.Tags(arn)
		if err != nil {
			return err
		}
		for key := range tags {
			if err := tx.DeleteTags(arn, []string{key}); err != nil {
				return err
			}
		}
		return tx.DeleteCredentialProvider(string(kind), name)
	})
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.providers, p.id())
	clear(v.slots) // users' tokens of this provider are among them; the others are read again
	return nil
}

// List returns the providers of a kind after the given name, by name.
func (v *Vault) List(kind Kind, after string) (out []*Provider) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for id, p := range v.providers {
		if id.kind == kind && id.name > after {
			out = append(out, p)
		}
	}
	sortByName(out)
	return out
}

// VaultARN names the vault itself.
func (v *Vault) VaultARN() string {
	return moorage.ARN{Partition: "aws", Service: "bedrock-agentcore", Region: v.Region, Account: v.Account, Resource: "token-vault/" + ID}.String()
}

// ARN names a provider. The service model's pattern has another service in it; this is what the cloud
// service returns.
func (v *Vault) ARN(p Provider) string {
	return moorage.ARN{
		Partition: "aws", Service: "bedrock-agentcore", Region: v.Region, Account: v.Account,
		Resource: "token-vault/" + ID + "/" + string(p.Kind) + "credentialprovider/" + p.Name,
	}.String()
}

// SecretARN is how the cloud service would name a provider's secret. Nothing resolves it here.
func (v *Vault) SecretARN(p Provider) string {
	return moorage.ARN{
		Partition: "aws", Service: "secretsmanager", Region: v.Region, Account: v.Account,
		Resource: "secret:bedrock-agentcore-identity!" + ID + "/" + string(p.Kind) + "/" + p.Name,
	}.String()
}

// CallbackURL is where users of an OAuth2 provider come back to; it is registered there.
func (v *Vault) CallbackURL(p Provider) string { return v.PublicURL + callbackPath + p.CallbackID }

func (v *Vault) secretPlace(id providerID) place {
	return place{v.Account, ID, string(id.kind), id.name, "secret"}
}

// secretOf opens a provider's secret, once for as long as the provider does not change.
func (v *Vault) secretOf(ctx context.Context, p *Provider) (string, error) {
	p.once.Lock()
	defer p.once.Unlock()
	if p.opened {
		return p.plain, nil
	}
	var row store.CredentialProvider
	err := v.Store.View(ctx, func(tx *store.Tx) (err error) {
		row, err = tx.CredentialProvider(string(p.Kind), p.Name)
		return err
	})
	if err != nil {
		return "", err
	}
	plain, err := v.open(ctx, row.Secret, v.secretPlace(p.id()))
	if err != nil {
		return "", err
	}
	p.plain, p.opened = string(plain), true
	return p.plain, nil
}

// APIKey returns the key of a provider to whoever presents a workload's token.
func (v *Vault) APIKey(ctx context.Context, token, name string) (string, error) {
	grant, err := v.Workloads.Redeem(ctx, token)
	if err != nil {
		return "", err
	}
	p, err := v.Provider(APIKey, name)
	if err != nil {
		return "", err
	}
	if err := v.release(ctx, grant, p, FlowAPIKey, false); err != nil {
		return "", err
	}
	return v.secretOf(ctx, p)
}

func (v *Vault) now() time.Time {
	if v.Now == nil {
		return time.Now()
	}
	return v.Now()
}
