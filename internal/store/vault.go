package store

import (
	"fmt"
	"time"

	"github.com/moorage-dev/moorage"
)

// Sealed is a secret as the token vault sealed it. The store cannot open it.
type Sealed struct {
	Key   string // which of the vault's keys seals it
	Bytes []byte
}

// CredentialProvider is what the vault knows of a service that agents have credentials for.
type CredentialProvider struct {
	Kind, Name string
	Document   string // JSON
	Secret     Sealed
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

const providerColumns = "kind, name, document, secret, secret_key, created_at, updated_at"

func scanProvider(r row) (p CredentialProvider, err error) {
	var created, updated int64
	err = r.Scan(&p.Kind, &p.Name, &p.Document, &p.Secret.Bytes, &p.Secret.Key, &created, &updated)
	p.CreatedAt, p.UpdatedAt = fromNanos(created), fromNanos(updated)
	return p, err
}

// CredentialProvider returns the provider of a kind and name, or NotFound.
func (tx *Tx) CredentialProvider(kind, name string) (CredentialProvider, error) {
	r := tx.sql.QueryRowContext(tx.ctx, "SELECT "+providerColumns+" FROM credential_providers WHERE kind = ? AND name = ?", kind, name)
	return one(r, scanProvider, fmt.Sprintf("no credential provider is named %q", name))
}

// CredentialProviders returns every provider, by kind and name.
func (tx *Tx) CredentialProviders() ([]CredentialProvider, error) {
	return all(tx, scanProvider, "SELECT "+providerColumns+" FROM credential_providers ORDER BY kind, name")
}

// PutCredentialProvider writes p, replacing one of the same kind and name.
func (tx *Tx) PutCredentialProvider(p CredentialProvider) error {
	return tx.exec("INSERT OR REPLACE INTO credential_providers VALUES (?, ?, ?, ?, ?, ?, ?)",
		p.Kind, p.Name, p.Document, p.Secret.Bytes, p.Secret.Key, nanos(p.CreatedAt), nanos(p.UpdatedAt))
}

// DeleteCredentialProvider removes a provider with the tokens that came of it, or says NotFound.
func (tx *Tx) DeleteCredentialProvider(kind, name string) error {
	had, err := tx.changed("DELETE FROM credential_providers WHERE kind = ? AND name = ?", kind, name)
	if err != nil {
		return err
	}
	if !had {
		return moorage.Errorf(moorage.NotFound, "no credential provider is named %q", name)
	}
	if kind != "oauth2" {
		return nil
	}
	if err := tx.exec("DELETE FROM resource_tokens WHERE provider = ?", name); err != nil {
		return err
	}
	return tx.exec("DELETE FROM consents WHERE provider = ?", name)
}

// ResourceToken is a user's token for a service, kept for a workload.
type ResourceToken struct {
	ID                 string
	Workload, Provider string
	Secret             Sealed
	UpdatedAt          time.Time
}

func scanResourceToken(r row) (t ResourceToken, err error) {
	var updated int64
	err = r.Scan(&t.ID, &t.Workload, &t.Provider, &t.Secret.Bytes, &t.Secret.Key, &updated)
	t.UpdatedAt = fromNanos(updated)
	return t, err
}

// ResourceToken returns the token with the given id, or NotFound.
func (tx *Tx) ResourceToken(id string) (ResourceToken, error) {
	r := tx.sql.QueryRowContext(tx.ctx, "SELECT * FROM resource_tokens WHERE id = ?", id)
	return one(r, scanResourceToken, "no such token")
}

// ResourceTokens returns all tokens of a workload for a provider.
func (tx *Tx) ResourceTokens(workload, provider string) ([]ResourceToken, error) {
	return all(tx, scanResourceToken, "SELECT * FROM resource_tokens WHERE workload = ? AND provider = ?", workload, provider)
}

// PutResourceToken writes t, replacing one with the same id.
func (tx *Tx) PutResourceToken(t ResourceToken) error {
	return tx.exec("INSERT OR REPLACE INTO resource_tokens VALUES (?, ?, ?, ?, ?, ?)",
		t.ID, t.Workload, t.Provider, t.Secret.Bytes, t.Secret.Key, nanos(t.UpdatedAt))
}

// DeleteResourceToken removes a token; one that is not there is no error.
func (tx *Tx) DeleteResourceToken(id string) error {
	return tx.exec("DELETE FROM resource_tokens WHERE id = ?", id)
}

// Consent is a user's consent that is being asked for.
type Consent struct {
	ID                 string
	State              string
	Workload, Provider string
	Status             string
	Secret             Sealed
	ExpiresAt          time.Time
}

func scanConsent(r row) (c Consent, err error) {
	var expires int64
	err = r.Scan(&c.ID, &c.State, &c.Workload, &c.Provider, &c.Status, &c.Secret.Bytes, &c.Secret.Key, &expires)
	c.ExpiresAt = fromNanos(expires)
	return c, err
}

// Consent returns the consent with the given id, or NotFound.
func (tx *Tx) Consent(id string) (Consent, error) {
	return one(tx.sql.QueryRowContext(tx.ctx, "SELECT * FROM consents WHERE id = ?", id), scanConsent, "no such session")
}

// ConsentByState returns the consent that a provider sends a user back with, or NotFound.
func (tx *Tx) ConsentByState(state string) (Consent, error) {
	return one(tx.sql.QueryRowContext(tx.ctx, "SELECT * FROM consents WHERE state = ?", state), scanConsent, "no such session")
}

// PutConsent writes c, replacing one with the same id.
func (tx *Tx) PutConsent(c Consent) error {
	return tx.exec("INSERT OR REPLACE INTO consents VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		c.ID, c.State, c.Workload, c.Provider, c.Status, c.Secret.Bytes, c.Secret.Key, nanos(c.ExpiresAt))
}

// DeleteConsents forgets those that expired before now.
func (tx *Tx) DeleteConsents(now time.Time) error {
	return tx.exec("DELETE FROM consents WHERE expires_at < ?", nanos(now))
}

// SealedTables are where the token vault's secrets are, each with what names a row.
var SealedTables = []struct{ Name, row string }{
	{"credential_providers", "kind || '/' || name"}, {"resource_tokens", "id"}, {"consents", "id"},
}

// SealedRow is one secret of the token vault.
type SealedRow struct {
	Table  int // of SealedTables
	Row    string
	Secret Sealed
}

// SealedNotUnder returns up to limit secrets of a table that another key seals, in the order of their rows, after
// the given row.
func (tx *Tx) SealedNotUnder(key string, table int, after string, limit int) ([]SealedRow, error) {
	scan := func(r row) (SealedRow, error) {
		s := SealedRow{Table: table}
		err := r.Scan(&s.Row, &s.Secret.Bytes, &s.Secret.Key)
		return s, err
	}
	t := SealedTables[table]
	return all(tx, scan, "SELECT "+t.row+", secret, secret_key FROM "+t.Name+" WHERE secret_key <> ? AND "+t.row+" > ? ORDER BY "+t.row+" LIMIT ?", key, after, limit)
}

// Reseal replaces how s is sealed. One that has changed since it was read stays as it is.
func (tx *Tx) Reseal(s SealedRow, as Sealed) error {
	t := SealedTables[s.Table]
	return tx.exec("UPDATE "+t.Name+" SET secret = ?, secret_key = ? WHERE "+t.row+" = ? AND secret = ?", as.Bytes, as.Key, s.Row, s.Secret.Bytes)
}

// SealedByKey returns how many secrets of the token vault each key seals.
func (tx *Tx) SealedByKey() (map[string]int, error) {
	type count struct {
		key string
		n   int
	}
	scan := func(r row) (c count, err error) {
		err = r.Scan(&c.key, &c.n)
		return c, err
	}
	out := map[string]int{}
	for _, t := range SealedTables {
		counts, err := all(tx, scan, "SELECT secret_key, count(*) FROM "+t.Name+" GROUP BY secret_key")
		if err != nil {
			return nil, err
		}
		for _, c := range counts {
			out[c.key] += c.n
		}
	}
	return out, nil
}
