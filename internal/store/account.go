package store

import (
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/moorage-dev/moorage"
)

// Setting returns a value of this instance, such as its account number; "" when it was never set.
func (tx *Tx) Setting(key string) (value string, err error) {
	err = tx.sql.QueryRowContext(tx.ctx, "SELECT value FROM instance WHERE key = ?", key).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return value, err
}

// PutSetting sets a value of this instance.
func (tx *Tx) PutSetting(key, value string) error {
	return tx.exec("INSERT INTO instance VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", key, value)
}

// AccessKey is a SigV4 key with its secret in the clear: do not log it.
type AccessKey struct {
	ID        string
	Secret    string
	Principal string // ARN that calls signed with it are made by
	Active    bool
	CreatedAt time.Time
	Used      Use
}

// PutAccessKey writes k; its secret is sealed.
func (tx *Tx) PutAccessKey(k AccessKey) error {
	return tx.exec(`INSERT INTO access_keys (id, secret, principal, active, created_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET active = excluded.active`,
		k.ID, tx.seal.seal([]byte(k.Secret), "access key "+k.ID), k.Principal, k.Active, nanos(k.CreatedAt))
}

// AccessKeys returns every key, oldest first.
func (tx *Tx) AccessKeys() ([]AccessKey, error) {
	return all(tx, func(r row) (k AccessKey, err error) {
		var sealed []byte
		var created, used int64
		if err := r.Scan(&k.ID, &sealed, &k.Principal, &k.Active, &created, &used, &k.Used.Service); err != nil {
			return k, err
		}
		secret, err := tx.seal.open(sealed, "access key "+k.ID)
		k.Secret, k.CreatedAt, k.Used.At = string(secret), fromNanos(created), fromNanos(used)
		return k, err
	}, "SELECT id, secret, principal, active, created_at, used_at, used_for FROM access_keys ORDER BY created_at")
}

// Tags returns the tags of a resource.
func (tx *Tx) Tags(arn string) (map[string]string, error) {
	type pair struct{ k, v string }
	pairs, err := all(tx, func(r row) (p pair, err error) { return p, r.Scan(&p.k, &p.v) }, "SELECT key, value FROM tags WHERE arn = ?", arn)
	tags := map[string]string{}
	for _, p := range pairs {
		tags[p.k] = p.v
	}
	return tags, err
}

// PutTags adds tags to a resource, replacing those with the same key.
func (tx *Tx) PutTags(arn string, tags map[string]string) error {
	for k, v := range tags {
		if err := tx.exec("INSERT INTO tags VALUES (?, ?, ?) ON CONFLICT (arn, key) DO UPDATE SET value = excluded.value", arn, k, v); err != nil {
			return err
		}
	}
	return nil
}

// DeleteTags removes tags by key; keys that are not there are no error.
func (tx *Tx) DeleteTags(arn string, keys []string) error {
	for _, k := range keys {
		if err := tx.exec("DELETE FROM tags WHERE arn = ? AND key = ?", arn, k); err != nil {
			return err
		}
	}
	return nil
}

// Policy returns the resource policy of an ARN, or NotFound.
func (tx *Tx) Policy(arn string) (string, error) {
	r := tx.sql.QueryRowContext(tx.ctx, "SELECT document FROM resource_policies WHERE arn = ?", arn)
	return one(r, func(r row) (doc string, err error) { return doc, r.Scan(&doc) }, fmt.Sprintf("%s has no resource policy", arn))
}

// PutPolicy sets the resource policy of an ARN.
func (tx *Tx) PutPolicy(arn, document string) error {
	return tx.exec("INSERT INTO resource_policies VALUES (?, ?) ON CONFLICT (arn) DO UPDATE SET document = excluded.document", arn, document)
}

// DeletePolicy removes the resource policy of an ARN, or says NotFound.
func (tx *Tx) DeletePolicy(arn string) error {
	had, err := tx.changed("DELETE FROM resource_policies WHERE arn = ?", arn)
	if err == nil && !had {
		return moorage.Errorf(moorage.NotFound, "%s has no resource policy", arn)
	}
	return err
}

// Idempotent returns the response that was recorded for an operation and client token, with the
// digest of the parameters it was given for; response is "" when the token is new.
func (tx *Tx) Idempotent(operation, token string) (digest, response string, err error) {
	err = tx.sql.QueryRowContext(tx.ctx, "SELECT digest, response FROM idempotency WHERE operation = ? AND token = ?", operation, token).Scan(&digest, &response)
	if errors.Is(err, sql.ErrNoRows) {
		return "", "", nil
	}
	return digest, response, err
}

// idempotencyAge is how long a client token is remembered.
const idempotencyAge = 24 * time.Hour

// PutIdempotent records a response and forgets tokens older than a day.
func (tx *Tx) PutIdempotent(operation, token, digest, response string, now time.Time) error {
	if err := tx.exec("DELETE FROM idempotency WHERE created_at < ?", nanos(now.Add(-idempotencyAge))); err != nil {
		return err
	}
	return tx.exec("INSERT INTO idempotency VALUES (?, ?, ?, ?, ?)", operation, token, digest, response, nanos(now))
}

// SealedSetting returns a value of this instance that holds secrets; nil when it was never set.
func (tx *Tx) SealedSetting(key string) ([]byte, error) {
	text, err := tx.Setting(key)
	if err != nil || text == "" {
		return nil, err
	}
	sealed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("setting %s: %w", key, err)
	}
	return tx.seal.open(sealed, "setting "+key)
}

// PutSealedSetting sets a value of this instance that holds secrets.
func (tx *Tx) PutSealedSetting(key string, value []byte) error {
	return tx.PutSetting(key, base64.StdEncoding.EncodeToString(tx.seal.seal(value, "setting "+key)))
}
