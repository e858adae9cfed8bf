package workload

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/store"
)

// TagDiscovery is the tag of a workload identity whose value is the discovery URL of the provider whose
// tokens it takes as proof of a user. The cloud service does not document which issuers it trusts there.
const TagDiscovery = "moorage:discovery-url"

// maxIdentities is the cloud service's quota.
const maxIdentities = 11_000

// Service holds the workload identities of a directory. Its exported fields are set before Load.
type Service struct {
	Store   *store.DB
	Key     []byte // 32 bytes, under which tokens are sealed
	Region  string
	Account string
	// SessionIn returns the internal id of the session that a sandbox belongs to, or "".
	SessionIn func(ctx context.Context, sandbox string) (string, error)
	// Verify checks a user's token as the authorizer of a runtime would.
	Verify func(ctx context.Context, a moorage.JWTAuthorizer, token string) (User, error)
	// Authorizer is that of a runtime's DEFAULT endpoint; nil where callers sign.
	Authorizer func(runtimeID string) *moorage.JWTAuthorizer
	// Issued hears of each token before anybody has it, and can stop it; nil hears of none.
	Issued func(ctx context.Context, g Grant) error
	Now    func() time.Time // nil is time.Now

	sealer   sealer
	subjects subjects

	mu         sync.RWMutex
	identities map[string]moorage.WorkloadIdentity
}

// Load reads the identities into memory. Call it once, before any other method.
func (s *Service) Load(ctx context.Context) (err error) {
	if s.sealer, err = newSealer(s.Key); err != nil {
		return err
	}
	var all []moorage.WorkloadIdentity
	err = s.Store.View(ctx, func(tx *store.Tx) (err error) {
		all, err = tx.WorkloadIdentities("", -1)
		return err
	})
	s.identities = map[string]moorage.WorkloadIdentity{}
	for _, w := range all {
		s.identities[w.Name] = w
	}
	return err
}

// Identity finds an identity in memory.
func (s *Service) Identity(name string) (moorage.WorkloadIdentity, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	w, ok := s.identities[name]
	return w, ok
}

// Refresh brings the memory of one identity up to what is on disk.
func (s *Service) Refresh(ctx context.Context, name string) error {
	var w moorage.WorkloadIdentity
	err := s.Store.View(ctx, func(tx *store.Tx) (err error) {
		w, err = tx.WorkloadIdentity(name)
		return err
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if moorage.CodeOf(err) == moorage.NotFound {
		delete(s.identities, name)
		return nil
	}
	if err == nil {
		s.identities[name] = w
	}
	return err
}

// change writes and refreshes.
func (s *Service) change(ctx context.Context, name string, fn func(*store.Tx) error) error {
	if err := s.Store.Update(ctx, fn); err != nil {
		return err
	}
	return s.Refresh(context.WithoutCancel(ctx), name)
}

// Create makes an identity. Errors: Invalid with the reason ResourceConflict when the name is taken, Quota.
func (s *Service) Create(ctx context.Context, name string, returnURLs []string, tags map[string]string) (moorage.WorkloadIdentity, error) {
	now := s.now().UTC()
	w := moorage.WorkloadIdentity{
		Name: name, ARN: moorage.WorkloadIdentityARN(s.Region, s.Account, name).String(), ReturnURLs: returnURLs, CreatedAt: now, UpdatedAt: now,
	}
	return w, s.change(ctx, name, func(tx *store.Tx) error {
		if _, err := tx.WorkloadIdentity(name); err == nil {
			return &moorage.Error{Code: moorage.Invalid, Reason: "ResourceConflict", Message: "A workload identity named '" + name + "' already exists: choose another name"}
		} else if moorage.CodeOf(err) != moorage.NotFound {
			return err
		}
		if have, err := tx.WorkloadIdentities("", maxIdentities); err != nil {
			return err
		} else if len(have) >= maxIdentities {
			return moorage.Errorf(moorage.Quota, "this account has %d workload identities, which is the limit; delete some", maxIdentities)
		}
		if err := tx.PutWorkloadIdentity(w); err != nil {
			return err
		}
		return tx.PutTags(w.ARN, tags)
	})
}

// Update replaces the return URLs of an identity, a runtime's own among them. Errors: NotFound.
func (s *Service) Update(ctx context.Context, name string, returnURLs []string) (w moorage.WorkloadIdentity, err error) {
	err = s.change(ctx, name, func(tx *store.Tx) (err error) {
		if w, err = tx.WorkloadIdentity(name); err != nil {
			return err
		}
		w.ReturnURLs, w.UpdatedAt = returnURLs, s.now().UTC()
		return tx.PutWorkloadIdentity(w)
	})
	return w, err
}

// Delete removes an identity that a caller made. Errors: NotFound, Invalid for a runtime's own.
func (s *Service) Delete(ctx context.Context, name string) error {
	return s.change(ctx, name, func(tx *store.Tx) error {
		w, err := tx.WorkloadIdentity(name)
		if err != nil {
			return err
		}
		if w.RuntimeID != "" {
			return moorage.Errorf(moorage.Invalid, "workload identity %s belongs to agent runtime %s, and goes with it", name, w.RuntimeID)
		}
		return tx.DeleteWorkloadIdentity(w)
	})
}

// List returns up to limit identities by name, those after the given name.
func (s *Service) List(ctx context.Context, after string, limit int) (out []moorage.WorkloadIdentity, err error) {
	err = s.Store.View(ctx, func(tx *store.Tx) (err error) {
		out, err = tx.WorkloadIdentities(after, limit)
		return err
	})
	return out, err
}

// ReturnURL is where an identity's users go by default once they consented: the one return URL that it has,
// or "".
func (s *Service) ReturnURL(name string) string {
	if w, ok := s.Identity(name); ok && len(w.ReturnURLs) == 1 {
		return w.ReturnURLs[0]
	}
	return ""
}

// Returns reports whether users may be sent to url on an identity's behalf: it is one of its own, letter
// by letter.
func (s *Service) Returns(name, url string) bool {
	w, ok := s.Identity(name)
	return ok && slices.Contains(w.ReturnURLs, url)
}

// Token makes a token of an identity on nobody's behalf. Errors: NotFound, Denied for a runtime's own.
func (s *Service) Token(ctx context.Context, name string) (string, error) {
	return s.alone(ctx, name, User{})
}

// TokenForUser makes a token on behalf of a user whom the caller vouches for.
func (s *Service) TokenForUser(ctx context.Context, name, id string) (string, error) {
	return s.alone(ctx, name, User{ID: id})
}

// TokenForJWT makes a token on behalf of the user whose token of the identity's provider this is. Errors
// beside Token's: Invalid when the identity trusts no provider, and those of Verify.
func (s *Service) TokenForJWT(ctx context.Context, name, token string) (string, error) {
	if err := s.free(name); err != nil {
		return "", err
	}
	user, err := s.VerifyUser(ctx, name, token)
	if err != nil {
		return "", err
	}
	return s.alone(ctx, name, user)
}

// VerifyUser checks a user's token as calls to an identity's runtime are checked, or against the provider that
// the tag of an identity names that has none.
func (s *Service) VerifyUser(ctx context.Context, name, token string) (User, error) {
	if w, _ := s.Identity(name); w.RuntimeID != "" {
		a := s.Authorizer(w.RuntimeID)
		if a == nil {
			return User{}, moorage.Errorf(moorage.Invalid, "agent runtime %s takes no bearer tokens: name the user by userId", w.RuntimeID)
		}
		return s.Verify(ctx, *a, token)
	}
	var tags map[string]string
	err := s.Store.View(ctx, func(tx *store.Tx) (err error) {
		tags, err = tx.Tags(moorage.WorkloadIdentityARN(s.Region, s.Account, name).String())
		return err
	})
	if err != nil {
		return User{}, err
	}
	url := tags[TagDiscovery]
	if url == "" {
		return User{}, moorage.Errorf(moorage.Invalid, "workload identity %s trusts no provider of user tokens: set its tag %s to the provider's discovery URL", name, TagDiscovery)
	}
	return s.Verify(ctx, moorage.JWTAuthorizer{DiscoveryURL: url}, token)
}

// free refuses identities that are not for callers to use. The text is the cloud service's.
func (s *Service) free(name string) error {
	w, ok := s.Identity(name)
	if !ok {
		return moorage.Errorf(moorage.NotFound, "no workload identity is named %q", name)
	}
	if w.RuntimeID != "" {
		return moorage.Errorf(moorage.Denied, "WorkloadIdentity is linked to a service and cannot retrieve an access token by the caller")
	}
	return nil
}

func (s *Service) alone(ctx context.Context, name string, user User) (string, error) {
	if err := s.free(name); err != nil {
		return "", err
	}
	return s.issue(ctx, name, "", user, aloneLife)
}

func (s *Service) now() time.Time {
	if s.Now == nil {
		return time.Now()
	}
	return s.Now()
}
