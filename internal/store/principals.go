package store

import (
	"encoding/json"
	"time"
)

// Principal is a user or a role.
type Principal struct {
	Kind        string // user or role
	Name        string
	ID          string
	Path        string
	Trust       string // of a role
	Description string
	MaxDuration time.Duration // of a role's sessions
	CreatedAt   time.Time
}

const principalColumns = "kind, name, id, path, trust, description, max_duration, created_at"

// Principals returns every user and role, by kind and name.
func (tx *Tx) Principals() ([]Principal, error) {
	return all(tx, func(r row) (p Principal, err error) {
		var seconds, created int64
		err = r.Scan(&p.Kind, &p.Name, &p.ID, &p.Path, &p.Trust, &p.Description, &seconds, &created)
		p.MaxDuration, p.CreatedAt = time.Duration(seconds)*time.Second, fromNanos(created)
		return p, err
	}, "SELECT "+principalColumns+" FROM principals ORDER BY kind, name")
}

// PutPrincipal writes p, new or changed.
func (tx *Tx) PutPrincipal(p Principal) error {
	return tx.exec(`INSERT INTO principals (`+principalColumns+`) VALUES (?,?,?,?,?,?,?,?)
		ON CONFLICT (kind, name) DO UPDATE SET trust = excluded.trust, description = excluded.description, max_duration = excluded.max_duration`,
		p.Kind, p.Name, p.ID, p.Path, p.Trust, p.Description, int64(p.MaxDuration/time.Second), nanos(p.CreatedAt))
}

// DeletePrincipal removes a user or role with its policies.
func (tx *Tx) DeletePrincipal(kind, name string) error {
	return tx.exec("DELETE FROM principals WHERE kind = ? AND name = ?", kind, name)
}

// PrincipalPolicy is one policy of a user or role: an inline one, or the ARN of a built-in one, without a document.
type PrincipalPolicy struct{ Kind, Name, Policy, Document string }

// PrincipalPolicies returns those of every user and role.
func (tx *Tx) PrincipalPolicies() ([]PrincipalPolicy, error) {
	return all(tx, func(r row) (p PrincipalPolicy, err error) {
		return p, r.Scan(&p.Kind, &p.Name, &p.Policy, &p.Document)
	}, "SELECT kind, name, policy, document FROM principal_policies ORDER BY kind, name, policy")
}

// PutPrincipalPolicy writes p, new or changed.
func (tx *Tx) PutPrincipalPolicy(p PrincipalPolicy) error {
	return tx.exec(`INSERT INTO principal_policies (kind, name, policy, document) VALUES (?,?,?,?)
		ON CONFLICT (kind, name, policy) DO UPDATE SET document = excluded.document`, p.Kind, p.Name, p.Policy, p.Document)
}

// DeletePrincipalPolicy removes one policy of a user or role.
func (tx *Tx) DeletePrincipalPolicy(kind, name, policy string) error {
	return tx.exec("DELETE FROM principal_policies WHERE kind = ? AND name = ? AND policy = ?", kind, name, policy)
}

// ResourcePolicies returns the document of every resource that has a policy, by ARN.
func (tx *Tx) ResourcePolicies() (map[string]string, error) {
	pairs, err := all(tx, func(r row) (p [2]string, err error) { return p, r.Scan(&p[0], &p[1]) }, "SELECT arn, document FROM resource_policies")
	out := map[string]string{}
	for _, p := range pairs {
		out[p[0]] = p[1]
	}
	return out, err
}

// APIKey is a key for one runtime. The key itself is not kept.
type APIKey struct {
	ID        string
	RuntimeID string
	Name      string
	Hash      []byte // SHA-256
	Scopes    []string
	Endpoints []string // none means all
	Active    bool
	CreatedBy string // ARN
	CreatedAt time.Time
	ExpiresAt time.Time // zero for never
	UsedAt    time.Time
}

// APIKeys returns every key, oldest first.
func (tx *Tx) APIKeys() ([]APIKey, error) {
	return all(tx, func(r row) (k APIKey, err error) {
		var scopes, endpoints string
		var created, expires, used int64
		if err := r.Scan(&k.ID, &k.RuntimeID, &k.Name, &k.Hash, &scopes, &endpoints, &k.Active, &k.CreatedBy, &created, &expires, &used); err != nil {
			return k, err
		}
		k.CreatedAt, k.ExpiresAt, k.UsedAt = fromNanos(created), fromNanos(expires), fromNanos(used)
		if err := json.Unmarshal([]byte(scopes), &k.Scopes); err != nil {
			return k, err
		}
		return k, json.Unmarshal([]byte(endpoints), &k.Endpoints)
	}, "SELECT id, runtime_id, name, hash, scopes, endpoints, active, created_by, created_at, expires_at, used_at FROM api_keys ORDER BY created_at")
}

// PutAPIKey writes k, new or with another state.
func (tx *Tx) PutAPIKey(k APIKey) error {
	scopes, err := json.Marshal(append([]string{}, k.Scopes...))
	if err != nil {
		return err
	}
	endpoints, err := json.Marshal(append([]string{}, k.Endpoints...))
	if err != nil {
		return err
	}
	return tx.exec(`INSERT INTO api_keys (id, runtime_id, name, hash, scopes, endpoints, active, created_by, created_at, expires_at, used_at)
		VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (id) DO UPDATE SET active = excluded.active`,
		k.ID, k.RuntimeID, k.Name, k.Hash, string(scopes), string(endpoints), k.Active, k.CreatedBy, nanos(k.CreatedAt), nanos(k.ExpiresAt), nanos(k.UsedAt))
}

// DeleteAPIKey removes a key.
func (tx *Tx) DeleteAPIKey(id string) error { return tx.exec("DELETE FROM api_keys WHERE id = ?", id) }

// DeleteAccessKey removes a key.
func (tx *Tx) DeleteAccessKey(id string) error {
	return tx.exec("DELETE FROM access_keys WHERE id = ?", id)
}

// Used notes when keys were last used: access keys with the service that they signed for, and API keys.
func (tx *Tx) Used(keys map[string]Use) error {
	for id, use := range keys {
		if err := tx.exec("UPDATE access_keys SET used_at = ?, used_for = ? WHERE id = ?", nanos(use.At), use.Service, id); err != nil {
			return err
		}
		if err := tx.exec("UPDATE api_keys SET used_at = ? WHERE id = ?", nanos(use.At), id); err != nil {
			return err
		}
	}
	return nil
}

// Use is the last use of a key.
type Use struct {
	At      time.Time
	Service string
}

// PoolItem is one part of a user pool. Doc is in the clear: do not log it.
type PoolItem struct {
	Pool, Kind, Name string
	Doc              []byte
}

func (i PoolItem) place() string { return "user pool " + i.Pool + " " + i.Kind + " " + i.Name }

// PoolItems returns every part of every user pool.
func (tx *Tx) PoolItems() ([]PoolItem, error) {
	return all(tx, func(r row) (i PoolItem, err error) {
		var sealed []byte
		if err := r.Scan(&i.Pool, &i.Kind, &i.Name, &sealed); err != nil {
			return i, err
		}
		i.Doc, err = tx.seal.open(sealed, i.place())
		return i, err
	}, "SELECT pool, kind, name, doc FROM pool_items ORDER BY pool, kind, name")
}

// PutPoolItem writes i, new or changed; it is sealed.
func (tx *Tx) PutPoolItem(i PoolItem) error {
	return tx.exec(`INSERT INTO pool_items VALUES (?,?,?,?) ON CONFLICT (pool, kind, name) DO UPDATE SET doc = excluded.doc`,
		i.Pool, i.Kind, i.Name, tx.seal.seal(i.Doc, i.place()))
}

// DeletePoolItem removes one part of a user pool.
func (tx *Tx) DeletePoolItem(pool, kind, name string) error {
	return tx.exec("DELETE FROM pool_items WHERE pool = ? AND kind = ? AND name = ?", pool, kind, name)
}

// DeletePool removes a user pool with all its parts.
func (tx *Tx) DeletePool(pool string) error {
	return tx.exec("DELETE FROM pool_items WHERE pool = ?", pool)
}
