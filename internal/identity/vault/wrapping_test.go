package vault

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/store"
)

// farKey is a key elsewhere, which may be down, and may wrap only so often.
type farKey struct {
	LocalKey
	down atomic.Bool
	left atomic.Int64 // wraps until it is down; never below 0 by itself
}

func newFarKey(t *testing.T, id string) *farKey {
	t.Helper()
	local, err := NewLocalKey("arn:aws:kms:us-east-1:123456789012:key/"+id, []byte(strings.Repeat(id, 32)[:32]))
	if err != nil {
		t.Fatal(err)
	}
	k := &farKey{LocalKey: local}
	k.left.Store(1 << 40)
	return k
}

func (k *farKey) EncryptWithContext(ctx context.Context, plain, ad []byte) ([]byte, error) {
	if k.down.Load() || k.left.Add(-1) < 0 {
		return nil, moorage.Errorf(moorage.Unavailable, "%s does not answer", k.ID())
	}
	return k.LocalKey.EncryptWithContext(ctx, plain, ad)
}

func (k *farKey) DecryptWithContext(ctx context.Context, sealed, ad []byte) ([]byte, error) {
	if k.down.Load() {
		return nil, moorage.Errorf(moorage.Unavailable, "%s does not answer", k.ID())
	}
	return k.LocalKey.DecryptWithContext(ctx, sealed, ad)
}

// keeping returns a vault with n API keys, sealed under its own key.
func keeping(t *testing.T, n int) (*Vault, string) {
	t.Helper()
	v, token := newVault(t)
	for i := range n {
		if _, err := v.Create(t.Context(), Provider{Kind: APIKey, Name: fmt.Sprint("key-", i)}, fmt.Sprint("secret-", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	return v, token
}

// reads checks that every one of n API keys opens, after everything that was open was forgotten.
func (v *Vault) reads(t *testing.T, token string, n int) {
	t.Helper()
	if err := v.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if got, err := v.APIKey(t.Context(), token, fmt.Sprint("key-", i)); err != nil || got != fmt.Sprint("secret-", i) {
			t.Errorf("key-%d: %q, %v", i, got, err)
		}
	}
}

func (v *Vault) wraps(t *testing.T) Wrapping {
	t.Helper()
	w, err := v.Wrapping(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestSetKey_bringsAllUnderItAndBack(t *testing.T) {
	const n = 2*rewrapBatch + 3
	v, token := keeping(t, n)
	a, b := newFarKey(t, "a"), newFarKey(t, "b")
	v.Keys = []Key{a, b}
	o := owner{"agent", "id ann", "crm"} // secrets are in three tables
	row, err := v.row(t.Context(), o, []grant{{Access: "granted"}})
	if err != nil {
		t.Fatal(err)
	}
	c := store.Consent{ID: "c", State: "s", Workload: "agent", Provider: "crm", Status: asked, ExpiresAt: v.now().Add(consentLife)}
	if err := v.write(t.Context(), &c, request{User: "id ann"}, func(tx *store.Tx) error { return tx.PutResourceToken(row) }); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{a.ID(), b.ID(), ""} {
		if err := v.SetKey(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		before := v.wraps(t)
		if before.Left != n+2 || before.Own != (id == "") {
			t.Errorf("once %q is chosen: %+v", id, before)
		}
		v.reads(t, token, n) // before a single one is rewrapped
		if err := v.rewrapAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		after := v.wraps(t)
		if after.Left != 0 || after.Secrets != n+2 || !after.Changed.Equal(before.Changed) {
			t.Errorf("once all is under %q: %+v", id, after)
		}
		for _, k := range []*farKey{a, b} { // what is left behind is no longer asked
			k.down.Store(k.ID() != id)
		}
		v.reads(t, token, n)
		s := v.slot(o.id())
		if err := v.load(t.Context(), s, o); err != nil || len(s.grants) != 1 || s.grants[0].Access != "granted" {
			t.Errorf("under %q a user's token is %+v, %v", id, s.grants, err)
		}
		a.down.Store(false)
		b.down.Store(false)
		wraps := a.left.Load() + b.left.Load()
		if err := v.SetKey(t.Context(), id); err != nil { // again
			t.Fatal(err)
		}
		if again := v.wraps(t); !again.Changed.Equal(after.Changed) || again.Left != 0 || a.left.Load()+b.left.Load() != wraps {
			t.Errorf("chosen again: %+v", again)
		}
	}
}

func TestSetKey_refusesKeysThatDoNotWork(t *testing.T) {
	v, token := keeping(t, 2)
	down := newFarKey(t, "a")
	down.down.Store(true)
	v.Keys = []Key{down}
	err := v.SetKey(t.Context(), down.ID())
	var e *moorage.Error
	if e, _ = err.(*moorage.Error); e == nil || e.Exception != "EncryptionFailure" || !strings.Contains(e.Message, "does not answer") {
		t.Errorf("a key that is down: %v", err)
	}
	for _, id := range []string{newFarKey(t, "b").ID(), v.Key.ID()} {
		if err := v.SetKey(t.Context(), id); moorage.CodeOf(err) != moorage.NotFound || !strings.Contains(err.Error(), "--vault-key") {
			t.Errorf("a key that the server was not given: %v", err)
		}
	}
	v.wrapping.setting.Lock()
	if err, _ := v.SetKey(t.Context(), "").(*moorage.Error); err == nil || err.Exception != "ConcurrentModificationException" {
		t.Errorf("while another is chosen: %v", err)
	}
	v.wrapping.setting.Unlock()
	if w := v.wraps(t); !w.Own || w.Left != 0 || w.Changed.Unix() != 0 {
		t.Errorf("after that: %+v", w)
	}
	v.reads(t, token, 2)
}

func TestRun_goesOnOnceTheKeyIsBack(t *testing.T) {
	const n = 9
	v, token := keeping(t, n)
	key := newFarKey(t, "a")
	v.Keys = []Key{key}
	if err := v.SetKey(t.Context(), key.ID()); err != nil {
		t.Fatal(err)
	}
	key.left.Store(4)
	if err := v.rewrapAll(t.Context()); moorage.CodeOf(err) != moorage.Unavailable {
		t.Errorf("in the middle: %v", err)
	}
	if w := v.wraps(t); w.Left != n-4 {
		t.Errorf("in the middle: %+v", w)
	}
	v.reads(t, token, n)
	if _, err := v.Create(t.Context(), Provider{Kind: APIKey, Name: "new"}, "s", nil); err == nil || err.(*moorage.Error).Exception != "EncryptionFailure" {
		t.Errorf("a new secret while the key is down: %v", err)
	}
	key.down.Store(true)
	if err := v.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	failed, read := 0, 0
	for i := range n {
		_, err := v.APIKey(t.Context(), token, fmt.Sprint("key-", i))
		switch e, _ := err.(*moorage.Error); {
		case err == nil:
			read++
		case e != nil && e.Exception == "DecryptionFailure":
			failed++
		default:
			t.Errorf("key-%d: %v", i, err)
		}
	}
	if failed != 4 || read != n-4 {
		t.Errorf("while the key is down %d secrets open and %d do not", read, failed)
	}
	synctest.Test(t, func(t *testing.T) { // Run waits between its attempts
		if err := v.Load(t.Context()); err != nil { // its channel has to be of here
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { v.Run(ctx); close(done) }()
		synctest.Wait()
		if w := v.wraps(t); w.Left != n-4 || !strings.Contains(w.Problem, "does not answer") {
			t.Errorf("while the key is down: %+v", w)
		}
		key.down.Store(false)
		key.left.Store(1 << 40)
		v.wakeRewrap()
		synctest.Wait()
		if w := v.wraps(t); w.Left != 0 || w.Problem != "" {
			t.Errorf("once it is back: %+v", w)
		}
		cancel()
		<-done
	})
	v.reads(t, token, n)
}

func TestRewrap_aSecretThatDoesNotOpenKeepsNoOther(t *testing.T) {
	v, token := keeping(t, 3)
	key, other := newFarKey(t, "a"), newFarKey(t, "b")
	err := v.Store.Update(t.Context(), func(tx *store.Tx) error {
		for i, change := range []func(*store.Sealed){
			func(s *store.Sealed) { s.Bytes = []byte{0, 0, 1} },
			func(s *store.Sealed) { s.Key = other.ID() }, // which this server was not given
		} {
			p, err := tx.CredentialProvider(string(APIKey), fmt.Sprint("key-", i))
			if err != nil {
				return err
			}
			change(&p.Secret)
			if err := tx.PutCredentialProvider(p); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	v.Keys = []Key{key}
	if err := v.SetKey(t.Context(), key.ID()); err != nil {
		t.Fatal(err)
	}
	if err := v.rewrapAll(t.Context()); err == nil {
		t.Error("nothing is said of what does not open")
	}
	w := v.wraps(t)
	if w.Left != 2 || len(w.Keys) != 3 || w.Keys[2].ID != other.ID() || w.Keys[2].Where != missing("").String() {
		t.Errorf("%+v", w)
	}
	if got, err := v.APIKey(t.Context(), token, "key-2"); err != nil || got != "secret-2" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := v.APIKey(t.Context(), token, "key-1"); err == nil || !strings.Contains(err.Error(), "--vault-key") {
		t.Errorf("a secret under a key that is not there: %v", err)
	}
}

func TestReseal_leavesWhatHasChanged(t *testing.T) {
	v, token := keeping(t, 1)
	key := newFarKey(t, "a")
	v.Keys = []Key{key}
	if err := v.SetKey(t.Context(), key.ID()); err != nil {
		t.Fatal(err)
	}
	var rows []store.SealedRow
	err := v.Store.View(t.Context(), func(tx *store.Tx) (err error) {
		rows, err = tx.SealedNotUnder(key.ID(), 0, "", 10)
		return err
	})
	if err != nil || len(rows) != 1 {
		t.Fatalf("%v, %v", rows, err)
	}
	if _, err := v.Update(t.Context(), Provider{Kind: APIKey, Name: "key-0"}, "another"); err != nil {
		t.Fatal(err)
	}
	pass := rewrapping{Vault: v, to: key, failed: map[string]error{}}
	if err := pass.row(t.Context(), rows[0]); err != nil {
		t.Fatal(err)
	}
	if err := v.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := v.APIKey(t.Context(), token, "key-0"); err != nil || got != "another" {
		t.Errorf("a secret that was changed while it was rewrapped is %q, %v", got, err)
	}
}
