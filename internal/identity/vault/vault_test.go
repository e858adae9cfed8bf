package vault

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity/workload"
	"github.com/moorage-dev/moorage/internal/store"
)

// newVault returns one with the workload "agent", and the workload's token.
func newVault(t testing.TB) (*Vault, string) {
	t.Helper()
	db, err := store.Open(context.Background(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	w := &workload.Service{Store: db, Key: []byte(strings.Repeat("w", 32)), Region: "us-east-1", Account: "123456789012"}
	if err := w.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Create(context.Background(), "agent", nil, nil); err != nil {
		t.Fatal(err)
	}
	token, err := w.Token(context.Background(), "agent")
	if err != nil {
		t.Fatal(err)
	}
	key, err := NewLocalKey("test", []byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	v := &Vault{Store: db, Workloads: w, Key: key, Client: http.DefaultClient, Region: "us-east-1", Account: "123456789012", Log: slog.New(slog.DiscardHandler)}
	if err := v.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	return v, token
}

func TestSecrets_openInTheirOwnRowOnly(t *testing.T) {
	v, token := newVault(t)
	ctx := t.Context()
	for name, key := range map[string]string{"mine": "key-of-mine", "theirs": "key-of-theirs"} {
		if _, err := v.Create(ctx, Provider{Kind: APIKey, Name: name}, key, nil); err != nil {
			t.Fatal(err)
		}
	}
	err := v.Store.Update(ctx, func(tx *store.Tx) error { // who can write the database moves a secret
		theirs, err := tx.CredentialProvider("apikey", "theirs")
		if err != nil {
			return err
		}
		mine, err := tx.CredentialProvider("apikey", "mine")
		if err != nil {
			return err
		}
		mine.Secret = theirs.Secret
		return tx.PutCredentialProvider(mine)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Load(ctx); err != nil {
		t.Fatal(err)
	}
	if got, err := v.APIKey(ctx, token, "mine"); err == nil {
		t.Errorf("a secret of another row opened: %q", got)
	}
	if got, err := v.APIKey(ctx, token, "theirs"); err != nil || got != "key-of-theirs" {
		t.Errorf("%q, %v", got, err)
	}
	other, _ := NewLocalKey("test", []byte(strings.Repeat("x", 32)))
	v.Key = other
	if err := v.Load(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := v.APIKey(ctx, token, "theirs"); err == nil {
		t.Error("a secret opened under another key")
	}
}

func TestPolicy_decidesWhoGetsWhat(t *testing.T) {
	v, token := newVault(t)
	ctx := t.Context()
	if _, err := v.Create(ctx, Provider{Kind: APIKey, Name: "weather"}, "k", nil); err != nil {
		t.Fatal(err)
	}
	var notes []Release
	v.Note = func(_ context.Context, r Release, _ error) error { notes = append(notes, r); return nil }
	for text, want := range map[string]moorage.Code{
		DefaultPolicy: "",
		"":            moorage.Denied,
		`permit (principal == AgentCore::Workload::"agent", action, resource == AgentCore::CredentialProvider::"weather");`: "",
		`permit (principal == AgentCore::Workload::"other", action, resource);`:                                             moorage.Denied,
		`permit (principal, action == AgentCore::Action::"GetResourceOauth2Token", resource);`:                              moorage.Denied,
		`permit (principal, action, resource) when { context.flow == "API_KEY" && context.user.kind == "none" };`:           "",
		`permit (principal, action, resource) when { context.injected };`:                                                   moorage.Denied,
		DefaultPolicy + `forbid (principal, action, resource) when { resource.kind == "apikey" };`:                          moorage.Denied,
		DefaultPolicy + `forbid (principal, action, resource) when { context.nothing == 1 };`:                               moorage.Denied,
		`permit (principal, action, resource) when { principal.runtime == "agent" };`:                                       "",
	} {
		p, err := ParsePolicy("test", []byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		v.Policy = p
		if _, err := v.APIKey(ctx, token, "weather"); moorage.CodeOf(err) != want {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if len(notes) != 10 || notes[0].Workload != "agent" || !strings.HasSuffix(notes[0].Provider, "apikeycredentialprovider/weather") {
		t.Errorf("noted: %+v", notes)
	}
	if _, err := ParsePolicy("test", []byte("permit everything")); moorage.CodeOf(err) != moorage.Invalid {
		t.Errorf("what is no policy: %v", err)
	}
}

// machineClient makes a client whose provider counts how often it is asked.
func machineClient(t testing.TB, v *Vault) *atomic.Int64 {
	t.Helper()
	asked := new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		w.Write([]byte(`{"access_token":"t","token_type":"Bearer","expires_in":3600}`))
	}))
	t.Cleanup(s.Close)
	client := Client{Vendor: "CustomOauth2", ID: "id", Server: Server{Issuer: s.URL, Token: s.URL + "/token"}}
	if _, err := v.Create(context.Background(), Provider{Kind: OAuth2, Name: "crm", Client: client}, "secret", nil); err != nil {
		t.Fatal(err)
	}
	return asked
}

func TestAccessToken_oneRequestForManyCallers(t *testing.T) {
	v, token := newVault(t)
	asked := machineClient(t, v)
	done := make(chan error)
	for range 20 {
		go func() {
			_, err := v.AccessToken(context.Background(), Request{Token: token, Provider: "crm", Flow: FlowM2M})
			done <- err
		}()
	}
	for range 20 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the provider was asked %d times", n)
	}
}

// BenchmarkAccessToken_cached is what an agent's request for a token that is there costs, from its workload's
// token to the answer, without the request itself.
func BenchmarkAccessToken_cached(b *testing.B) {
	v, token := newVault(b)
	machineClient(b, v)
	v.Policy, _ = ParsePolicy("default", []byte(DefaultPolicy))
	r := Request{Token: token, Provider: "crm", Flow: FlowM2M, Scopes: []string{"read", "write"}}
	if _, err := v.AccessToken(context.Background(), r); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.AccessToken(context.Background(), r); err != nil {
			b.Fatal(err)
		}
	}
}
