package workload

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity"
	"github.com/moorage-dev/moorage/internal/store"
)

func newService(t *testing.T) *Service {
	t.Helper()
	db, err := store.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s := &Service{
		Store: db, Key: []byte(strings.Repeat("k", 32)), Region: "us-east-1", Account: "123456789012",
		SessionIn: func(_ context.Context, sandbox string) (string, error) {
			return strings.TrimPrefix(sandbox, "box-"), nil
		},
	}
	if err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), "agent", nil, nil); err != nil {
		t.Fatal(err)
	}
	return s
}

func inside(t *testing.T, session string) context.Context {
	return identity.WithWorkload(t.Context(), identity.Workload{Sandbox: "box-" + session})
}

func TestRedeem_onlyInsideTheSession(t *testing.T) {
	s := newService(t)
	user := User{Issuer: "https://idp.example", Subject: "ann", Token: "a.b.c", Expires: time.Now().Add(time.Minute)}
	token, err := s.Deliver(t.Context(), "agent", "one", user)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(token, "ann") || strings.Contains(token, "a.b.c") {
		t.Errorf("the token shows what it says: %s", token)
	}
	got, err := s.Redeem(inside(t, "one"), token)
	if err != nil || got.User.Token != "a.b.c" || got.User.Key() != "jwt https://idp.example#ann" || got.Workload != "agent" {
		t.Errorf("inside: %+v, %v", got, err)
	}
	for name, ctx := range map[string]context.Context{"outside": t.Context(), "another session": inside(t, "two"), "no session": inside(t, "")} {
		if _, err := s.Redeem(ctx, token); moorage.CodeOf(err) != moorage.Denied {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, damaged := range map[string]string{
		"cut short": token[:len(token)-4], "changed": token[:20] + "AAAA" + token[24:], "without its prefix": token[5:], "empty": "", "a JWT": "a.b.c",
	} {
		if _, err := s.Redeem(inside(t, "one"), damaged); moorage.CodeOf(err) != moorage.Denied {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRedeem_endsWithTheCallersTokenAndTheIdentity(t *testing.T) {
	s := newService(t)
	now := time.Now()
	s.Now = func() time.Time { return now }
	byJWT, _ := s.Deliver(t.Context(), "agent", "one", User{Issuer: "i", Subject: "s", Token: "t", Expires: now.Add(time.Minute)})
	byID, _ := s.Deliver(t.Context(), "agent", "one", User{ID: "ann"})
	now = now.Add(2 * time.Minute)
	if _, err := s.Redeem(inside(t, "one"), byJWT); moorage.CodeOf(err) != moorage.Denied {
		t.Errorf("after the caller's token expired: %v", err)
	}
	if _, err := s.Redeem(inside(t, "one"), byID); err != nil {
		t.Errorf("of a user id: %v", err)
	}
	now = now.Add(sessionLife)
	if _, err := s.Redeem(inside(t, "one"), byID); moorage.CodeOf(err) != moorage.Denied {
		t.Errorf("after an hour: %v", err)
	}
	alone, err := s.TokenForUser(t.Context(), "agent", "ann")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Redeem(t.Context(), alone); err != nil {
		t.Errorf("of no session: %v", err)
	}
	if err := s.Delete(t.Context(), "agent"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Redeem(t.Context(), alone); moorage.CodeOf(err) != moorage.Denied {
		t.Errorf("after the identity was deleted: %v", err)
	}
}

func TestUserKey_tellsKindsApart(t *testing.T) {
	seen := map[string]User{}
	for _, u := range []User{{}, {Issuer: "a", Subject: "s"}, {Issuer: "b", Subject: "s"}, {ID: "s"}, {ID: "a#s"}, {ID: "jwt a#s"}} {
		if other, ok := seen[u.Key()]; ok {
			t.Errorf("%+v and %+v are one", u, other)
		}
		seen[u.Key()] = u
	}
}
