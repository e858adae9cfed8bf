package vault

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/store"
)

// wrapping is which key wraps the vault's data keys, and how far the work is to bring all under it:
//
//	SetKey ──▶ new secrets under the new key, all others readable where they are ──▶ Run rewraps them, one by one
//
// What is under which key stands beside each secret, so that a server that is killed has nothing to take up again
// but what is left.
type wrapping struct {
	setting sync.Mutex // held by whoever chooses a key

	mu      sync.Mutex
	id      string // of the key
	changed time.Time
	problem string

	wake chan struct{}
}

const keySetting = "token vault key"

// chosen is what is kept of the choice.
type chosen struct {
	Key     string    `json:"key"`
	Changed time.Time `json:"changed"`
}

// loadKey reads which key was chosen.
func (v *Vault) loadKey(tx *store.Tx) error {
	c := chosen{Key: v.Key.ID(), Changed: time.Unix(0, 0).UTC()}
	text, err := tx.SealedSetting(keySetting)
	if err != nil {
		return err
	}
	if text != nil {
		if err := json.Unmarshal(text, &c); err != nil {
			return err
		}
	}
	w := &v.wrapping
	w.mu.Lock()
	defer w.mu.Unlock()
	w.id, w.changed, w.wake = c.Key, c.Changed, make(chan struct{}, 1)
	if v.has(c.Key) == nil {
		v.Log.Error("this server does not have the token vault's key: its secrets stay closed", "key", c.Key)
	}
	return nil
}

// has finds a key that this server was given, or nil.
func (v *Vault) has(id string) Key {
	for _, k := range append([]Key{v.Key}, v.Keys...) {
		if k.ID() == id {
			return k
		}
	}
	return nil
}

// key is what wraps the data keys of new secrets.
func (v *Vault) key() Key {
	v.wrapping.mu.Lock()
	id := v.wrapping.id
	v.wrapping.mu.Unlock()
	return v.hasOrMisses(id)
}

func (v *Vault) hasOrMisses(id string) Key {
	if k := v.has(id); k != nil {
		return k
	}
	return missing(id)
}

// keyOf is the key that sealed something.
func (v *Vault) keyOf(s store.Sealed) (Key, error) {
	if k := v.has(s.Key); k != nil {
		return k, nil
	}
	return nil, &moorage.Error{Code: moorage.Unavailable, Exception: "DecryptionFailure", Message: "this secret is sealed under the key " + s.Key + ", which this server was not given: start it with --vault-key"}
}

// missing is a key that this server was not given.
type missing string

func (m missing) ID() string     { return string(m) }
func (m missing) String() string { return "not given to this server" }

func (m missing) EncryptWithContext(context.Context, []byte, []byte) ([]byte, error) {
	return nil, moorage.Errorf(moorage.NotFound, "the key %s was not given to this server: start it with --vault-key", string(m))
}

func (m missing) DecryptWithContext(ctx context.Context, _, _ []byte) ([]byte, error) {
	return m.EncryptWithContext(ctx, nil, nil)
}

// wrote has a secret rewrapped that was sealed before another key was chosen and written after.
func (v *Vault) wrote(s store.Sealed) {
	if s.Key != v.key().ID() {
		v.wakeRewrap()
	}
}

func (v *Vault) wakeRewrap() {
	select {
	case v.wrapping.wake <- struct{}{}:
	default: // it is awake
	}
}

// SetKey chooses the key that wraps all data keys: the server's own for "", else one of Keys. It returns once the
// key has proved good and new secrets are under it; Run brings the others under it. Choosing the key that is chosen
// changes nothing. Errors: NotFound for a key that the server was not given, EncryptionFailure for one that does not
// answer, ConcurrentModificationException while somebody else chooses.
func (v *Vault) SetKey(ctx context.Context, id string) error {
	if id == "" {
		id = v.Key.ID()
	} else if id == v.Key.ID() || v.has(id) == nil {
		return moorage.Errorf(moorage.NotFound, "this server was not given the key %s: start it with --vault-key %s, or with --vault-key %s=ADDRESS for a transit key", id, id, id)
	}
	w := &v.wrapping
	if !w.setting.TryLock() {
		return &moorage.Error{Code: moorage.Conflict, Exception: "ConcurrentModificationException", Message: "another key is being chosen for the token vault at this moment; look which one, and try again"}
	}
	defer w.setting.Unlock()
	defer v.wakeRewrap()
	if v.key().ID() == id {
		return nil
	}
	if err := prove(ctx, v.has(id)); err != nil {
		return &moorage.Error{Code: moorage.Unavailable, Exception: "EncryptionFailure", Message: "the token vault stays under the key that it has, since the new one does not work: " + reason(err), Err: err}
	}
	c := chosen{Key: id, Changed: v.now().UTC()}
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if err := v.Store.Update(ctx, func(tx *store.Tx) error { return tx.PutSealedSetting(keySetting, text) }); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.id, w.changed, w.problem = id, c.Changed, ""
	return nil
}

// prove has a key wrap and unwrap a data key.
func prove(ctx context.Context, k Key) error {
	probe := make([]byte, 32)
	rand.Read(probe)
	sealed, err := k.EncryptWithContext(ctx, probe, nil)
	if err != nil {
		return err
	}
	got, err := k.DecryptWithContext(ctx, sealed, nil)
	if err == nil && subtle.ConstantTimeCompare(got, probe) != 1 {
		err = moorage.Errorf(moorage.Unavailable, "%s unwraps something else than it wrapped", k)
	}
	return err
}

// reason is what an error says to whoever runs the server.
func reason(err error) string { return strings.TrimSpace(err.Error()) }

// KeyState is one of the keys that the server was given, or that secrets are under.
type KeyState struct {
	ID      string // an ARN, or that of the server's own
	Where   string
	Wraps   bool // the vault: new secrets, and in the end all
	Secrets int  // that are under it now
}

// Wrapping is how far the vault's secrets are under its key.
type Wrapping struct {
	Key     string // ID
	Own     bool   // the server's own
	Changed time.Time
	Secrets int
	Left    int    // of these, under another key still
	Problem string // of the last attempt to rewrap these; empty when none
	Keys    []KeyState
}

// Wrapping returns which key wraps the vault, and how far.
func (v *Vault) Wrapping(ctx context.Context) (out Wrapping, err error) {
	var counts map[string]int
	err = v.Store.View(ctx, func(tx *store.Tx) (err error) {
		counts, err = tx.SealedByKey()
		return err
	})
	if err != nil {
		return out, err
	}
	w := &v.wrapping
	w.mu.Lock()
	out = Wrapping{Key: w.id, Own: w.id == v.Key.ID(), Changed: w.changed, Problem: w.problem}
	w.mu.Unlock()
	keys := append([]Key{v.Key}, v.Keys...)
	for id := range counts {
		if v.has(id) == nil {
			keys = append(keys, missing(id))
		}
	}
	if v.has(out.Key) == nil && counts[out.Key] == 0 {
		keys = append(keys, missing(out.Key))
	}
	for _, k := range keys {
		out.Keys = append(out.Keys, KeyState{ID: k.ID(), Where: k.String(), Wraps: k.ID() == out.Key, Secrets: counts[k.ID()]})
		out.Secrets += counts[k.ID()]
	}
	if out.Left = out.Secrets - counts[out.Key]; out.Left == 0 {
		out.Problem = ""
	}
	return out, nil
}

const (
	rewrapBatch = 20
	leastPause  = time.Second // after a failure
	mostPause   = time.Minute
)

// Run brings every secret under the vault's key, now and whenever another is chosen, until ctx ends. What fails
// is tried again.
func (v *Vault) Run(ctx context.Context) {
	pause := leastPause
	for {
		err := v.rewrapAll(ctx)
		var again <-chan time.Time
		if err == nil {
			pause = leastPause
		} else if ctx.Err() == nil {
			v.Log.WarnContext(ctx, "secrets of the token vault stay under an earlier key for now", "err", err)
			again = time.After(pause)
			pause = min(2*pause, mostPause)
		}
		v.wrapping.mu.Lock()
		v.wrapping.problem = ""
		if err != nil {
			v.wrapping.problem = reason(err)
		}
		v.wrapping.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-v.wrapping.wake:
			pause = leastPause
		case <-again:
		}
	}
}

// rewrapAll goes once through what is under another key. A secret that does not open, or whose key does not answer,
// is left as it is and does not keep the others; when the new key does not answer, all are left.
func (v *Vault) rewrapAll(ctx context.Context) error {
	if err := v.Store.Update(ctx, func(tx *store.Tx) error { return tx.DeleteConsents(v.now()) }); err != nil {
		return err
	}
	pass := rewrapping{Vault: v, to: v.key(), failed: map[string]error{}}
	for table := range store.SealedTables {
		if err := pass.table(ctx, table); err != nil {
			return err
		}
	}
	for _, err := range pass.failed {
		pass.damaged = err
	}
	return pass.damaged
}

// rewrapping is one such pass.
type rewrapping struct {
	*Vault
	to      Key
	failed  map[string]error // earlier keys that do not answer, by their IDs
	damaged error            // the last secret that its key did not open
}

func (p *rewrapping) table(ctx context.Context, table int) error {
	for after := ""; ; {
		var rows []store.SealedRow
		err := p.Store.View(ctx, func(tx *store.Tx) (err error) {
			rows, err = tx.SealedNotUnder(p.to.ID(), table, after, rewrapBatch)
			return err
		})
		if err != nil {
			return err
		}
		for _, row := range rows {
			if p.key().ID() != p.to.ID() { // another was chosen, and Run will hear of it
				return nil
			}
			if err := p.row(ctx, row); err != nil {
				return err
			}
			after = row.Row
		}
		if len(rows) < rewrapBatch {
			return nil
		}
	}
}

// row has the new key wrap a secret's data key. What the data key encrypts stays as it is, and is not seen.
func (p *rewrapping) row(ctx context.Context, row store.SealedRow) error {
	id := row.Secret.Key
	if p.failed[id] != nil {
		return nil
	}
	wrapped, rest, err := dataKeyOf(row.Secret.Bytes)
	var dataKey []byte
	if err == nil {
		dataKey, err = p.hasOrMisses(id).DecryptWithContext(ctx, wrapped, nil)
	}
	switch moorage.CodeOf(err) {
	case "":
	case moorage.Unavailable, moorage.Denied, moorage.NotFound:
		p.failed[id] = err
		return ctx.Err()
	default:
		p.damaged = fmt.Errorf("%s %s: %w", store.SealedTables[row.Table].Name, row.Row, err)
		return ctx.Err()
	}
	if wrapped, err = p.to.EncryptWithContext(ctx, dataKey, nil); err != nil {
		return err
	}
	return p.Store.Update(ctx, func(tx *store.Tx) error {
		return tx.Reseal(row, store.Sealed{Key: p.to.ID(), Bytes: withDataKey(wrapped, rest)})
	})
}
