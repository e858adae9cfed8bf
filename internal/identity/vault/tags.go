package vault

import (
	"context"
	"encoding/json"
	"maps"
	"strings"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/store"
)

const maxTags = 50 // of one provider. Source: AgentCore API reference

// IsProvider reports whether an ARN is one of a credential provider.
func IsProvider(arn string) bool {
	_, ok := providerIn(arn)
	return ok
}

func providerIn(arn string) (id providerID, ok bool) {
	a, err := moorage.ParseARN(arn)
	if err != nil {
		return id, false
	}
	kind, name, ok := strings.Cut(strings.TrimPrefix(a.Resource, "token-vault/"+ID+"/"), "credentialprovider/")
	id = providerID{Kind(kind), name}
	return id, ok && (id.kind == APIKey || id.kind == OAuth2) && name != ""
}

// named finds the provider that an ARN names, whole.
func (v *Vault) named(arn string) (*Provider, error) {
	id, _ := providerIn(arn)
	p, err := v.Provider(id.kind, id.name)
	if err == nil && v.ARN(*p) != arn {
		err = moorage.Errorf(moorage.NotFound, "%s is not a credential provider of this account and region", arn)
	}
	return p, err
}

// Tags returns a provider's tags.
func (v *Vault) Tags(ctx context.Context, arn string) (tags map[string]string, err error) {
	if _, err := v.named(arn); err != nil {
		return nil, err
	}
	err = v.Store.View(ctx, func(tx *store.Tx) (err error) {
		tags, err = tx.Tags(arn)
		return err
	})
	return tags, err
}

// Tag sets and removes tags of a provider. Its rules are as its tags say from then on. Errors: Invalid for a tag
// that is no rule but is called like one.
func (v *Vault) Tag(ctx context.Context, arn string, set map[string]string, remove []string) error {
	v.changing.Lock()
	defer v.changing.Unlock()
	p, err := v.named(arn)
	if err != nil {
		return err
	}
	p.once.Lock()
	changed := *p
	p.once.Unlock()
	err = v.Store.Update(ctx, func(tx *store.Tx) error {
		tags, err := tx.Tags(arn)
		if err != nil {
			return err
		}
		maps.Copy(tags, set)
		for _, key := range remove {
			delete(tags, key)
		}
		if len(tags) > maxTags {
			return moorage.Errorf(moorage.Invalid, "a resource has at most %d tags", maxTags)
		}
		if changed.Rules, changed.InjectScopes, err = rulesOf(tags); err != nil {
			return err
		}
		row, err := tx.CredentialProvider(string(p.Kind), p.Name)
		if err != nil {
			return err
		}
		document, err := json.Marshal(changed)
		if err != nil {
			return err
		}
		row.Document = string(document)
		if err := tx.PutCredentialProvider(row); err != nil {
			return err
		}
		if err := tx.DeleteTags(arn, remove); err != nil {
			return err
		}
		return tx.PutTags(arn, set)
	})
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.providers[p.id()] = &changed
	return nil
}
