package pool

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/store"
)

// standardAttributes are those that every pool knows. Source: OpenID Connect Core, 5.1.
var standardAttributes = []string{
	"address", "birthdate", "email", "email_verified", "family_name", "gender", "given_name", "locale", "middle_name", "name", "nickname",
	"phone_number", "phone_number_verified", "picture", "preferred_username", "profile", "updated_at", "website", "zoneinfo",
}

// key is what a user is found by.
func (p *state) key(name string) string {
	if p.FoldNames {
		return strings.ToLower(name)
	}
	return name
}

func unknownUser() error {
	return named(moorage.NotFound, "UserNotFoundException", "User does not exist.")
}

// user returns a user by name, nil where there is none.
func (s *Service) user(p *state, name string) *User {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return p.users[p.key(name)]
}

// CreateUser makes a user with a temporary password: password, or where it is empty one that nobody knows.
func (s *Service) CreateUser(ctx context.Context, pool, name, password string, attributes []Attribute) (User, error) {
	p, err := s.state(pool)
	if err != nil {
		return User{}, err
	}
	if err := p.checkAttributes(attributes); err != nil {
		return User{}, err
	}
	if password == "" {
		password = rand.Text() + "aA1!"
	} else if err := p.Passwords.check(password); err != nil {
		return User{}, err
	}
	hash, err := s.hash(ctx, password)
	if err != nil {
		return User{}, err
	}
	now := s.now().UTC()
	u := &User{Name: name, Sub: uuid.NewString(), Hash: hash, Temporary: true, PasswordSet: now, Created: now, Changed: now, Attributes: attributes}
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.user(p, name) != nil {
		return User{}, named(moorage.Conflict, "UsernameExistsException", "User account already exists")
	}
	return *u, s.putUser(ctx, p, u)
}

// putUser writes a user. The caller holds writing.
func (s *Service) putUser(ctx context.Context, p *state, u *User) error {
	if _, err := s.state(p.ID); err != nil { // deleted meanwhile
		return err
	}
	if err := s.put(ctx, p.ID, kindUser, p.key(u.Name), u); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p.users[p.key(u.Name)] = u
	return nil
}

func (p *state) checkAttributes(attributes []Attribute) error {
	for _, a := range attributes {
		switch {
		case a.Name == "sub":
			return invalid("Cannot modify an immutable attribute: sub")
		case !IsStandard(a.Name) && !slices.Contains(p.Custom, a.Name):
			return invalid("Attributes did not conform to the schema: Type for attribute {%s} could not be determined", a.Name)
		case len(a.Value) > 2048:
			return invalid("Attributes did not conform to the schema: %s: String must be no longer than 2048 characters", a.Name)
		}
	}
	for _, name := range p.Required {
		if !slices.ContainsFunc(attributes, func(a Attribute) bool { return a.Name == name }) {
			return invalid("Attributes did not conform to the schema: %s: The attribute %s is required", name, name)
		}
	}
	return nil
}

// SetPassword gives a user another password; refresh tokens from before are no good any more.
func (s *Service) SetPassword(ctx context.Context, pool, name, password string, permanent bool) error {
	p, err := s.state(pool)
	if err != nil {
		return err
	}
	if s.user(p, name) == nil {
		return unknownUser()
	}
	if err := p.Passwords.check(password); err != nil {
		return err
	}
	hash, err := s.hash(ctx, password)
	if err != nil {
		return err
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	old := s.user(p, name)
	if old == nil {
		return unknownUser()
	}
	u := *old
	u.Hash, u.Temporary, u.PasswordSet, u.Changed = hash, !permanent, s.now().UTC(), s.now().UTC()
	return s.putUser(ctx, p, &u)
}

// DeleteUser removes a user; refresh tokens are no good any more.
func (s *Service) DeleteUser(ctx context.Context, pool, name string) error {
	p, err := s.state(pool)
	if err != nil {
		return err
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.user(p, name) == nil {
		return unknownUser()
	}
	err = s.Store.Update(ctx, func(tx *store.Tx) error { return tx.DeletePoolItem(pool, kindUser, p.key(name)) })
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(p.users, p.key(name))
	return nil
}

// Users returns those of a pool, by name.
func (s *Service) Users(pool string) ([]User, error) {
	p, err := s.state(pool)
	if err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]User, 0, len(p.users))
	for _, u := range p.users {
		out = append(out, *u)
	}
	slices.SortFunc(out, func(a, b User) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// IsStandard reports whether every pool has this attribute.
func IsStandard(name string) bool { return slices.Contains(standardAttributes, name) }
