package vault

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity/workload"
	"github.com/moorage-dev/moorage/internal/store"
)

// maxGrants is how many sets of scopes are kept for one user at one provider; the oldest goes.
const maxGrants = 8

// owner is whose tokens a row holds.
type owner struct{ workload, user, provider string }

func (o owner) id() string { return digest("token", o.workload, o.user, o.provider) }

func (v *Vault) tokenPlace(o owner) place {
	return place{v.Account, ID, "token", o.provider, o.workload, o.user}
}

// federated gets a token of the user, who may have to consent first.
func (v *Vault) federated(ctx context.Context, g workload.Grant, p *Provider, r Request) (Answer, error) {
	if g.User.IsZero() {
		return Answer{}, moorage.Errorf(moorage.Invalid, "USER_FEDERATION needs a user; this workload access token is on nobody's behalf")
	}
	o := owner{g.Workload, g.User.Key(), p.Name}
	s := v.slot(o.id())
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := v.load(ctx, s, o); err != nil {
		return Answer{}, err
	}
	if r.Force && r.SessionURI == "" {
		if err := v.keep(ctx, s, o, nil); err != nil {
			return Answer{}, err
		}
	} else if got, ok, err := v.held(ctx, s, o, p, r); ok || err != nil {
		return Answer{AccessToken: got.Access}, err
	}
	if r.SessionURI != "" {
		return v.progress(ctx, o, r.SessionURI)
	}
	return v.ask(ctx, o, p, r)
}

// load reads what is on disk for a slot's owner, once. The caller holds the slot.
func (v *Vault) load(ctx context.Context, s *slot, o owner) error {
	if s.loaded {
		return nil
	}
	var row store.ResourceToken
	err := v.Store.View(ctx, func(tx *store.Tx) (err error) {
		row, err = tx.ResourceToken(o.id())
		return err
	})
	if moorage.CodeOf(err) == moorage.NotFound {
		s.loaded = true
		return nil
	}
	if err != nil {
		return err
	}
	plain, err := v.open(ctx, row.Secret, v.tokenPlace(o))
	if err != nil {
		return err
	}
	s.loaded = true
	return json.Unmarshal(plain, &s.grants)
}

// keep writes what a slot's owner has, before anybody is told of it. The caller holds the slot.
func (v *Vault) keep(ctx context.Context, s *slot, o owner, grants []grant) error {
	row, err := v.row(ctx, o, grants)
	if err != nil {
		return err
	}
	defer v.wrote(row.Secret)
	err = v.Store.Update(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		if len(grants) == 0 {
			return tx.DeleteResourceToken(row.ID)
		}
		return tx.PutResourceToken(row)
	})
	if err == nil {
		s.grants = grants
	}
	return err
}

func (v *Vault) row(ctx context.Context, o owner, grants []grant) (store.ResourceToken, error) {
	plain, err := json.Marshal(grants)
	if err != nil {
		return store.ResourceToken{}, err
	}
	sealed, err := v.seal(ctx, plain, v.tokenPlace(o))
	return store.ResourceToken{ID: o.id(), Workload: o.workload, Provider: o.provider, Secret: sealed, UpdatedAt: v.now()}, err
}

// held returns a token that the owner has, renewing it where it has expired and can be. The slot is held all
// the while: a provider that gives a new refresh token with each use would take a second use for theft.
func (v *Vault) held(ctx context.Context, s *slot, o owner, p *Provider, r Request) (grant, bool, error) {
	if g, ok := s.find(r.Scopes, v.now()); ok {
		return g, true, nil
	}
	for i, g := range s.grants {
		if g.Refresh == "" || !covers(g.Scopes, r.Scopes) {
			continue
		}
		renewed, err := v.renew(ctx, p, g)
		var refused errRefused
		if errors.As(err, &refused) { // the user took it back, or it is too old: ask anew
			left := append(append([]grant(nil), s.grants[:i]...), s.grants[i+1:]...)
			return grant{}, false, v.keep(ctx, s, o, left)
		}
		if err != nil {
			return grant{}, false, err
		}
		all := append([]grant(nil), s.grants...)
		all[i] = renewed
		return renewed, true, v.keep(ctx, s, o, all)
	}
	return grant{}, false, nil
}

// renew uses a refresh token. The new one, if the provider gives one, takes its place.
func (v *Vault) renew(ctx context.Context, p *Provider, g grant) (grant, error) {
	got, err := v.token(context.WithoutCancel(ctx), p, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {g.Refresh}})
	if err != nil {
		return grant{}, err
	}
	if got.Refresh == "" {
		got.Refresh = g.Refresh
	}
	got.Scopes = g.Scopes
	return got, nil
}
