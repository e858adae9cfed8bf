package store

import (
	"encoding/json"
	"fmt"

	"github.com/moorage-dev/moorage"
)

const identityColumns = "name, arn, return_urls, runtime_id, created_at, updated_at"

func scanIdentity(r row) (w moorage.WorkloadIdentity, err error) {
	var urls string
	var created, updated int64
	if err := r.Scan(&w.Name, &w.ARN, &urls, &w.RuntimeID, &created, &updated); err != nil {
		return w, err
	}
	w.CreatedAt, w.UpdatedAt = fromNanos(created), fromNanos(updated)
	return w, json.Unmarshal([]byte(urls), &w.ReturnURLs)
}

// WorkloadIdentity returns the identity with the given name, or NotFound.
func (tx *Tx) WorkloadIdentity(name string) (moorage.WorkloadIdentity, error) {
	r := tx.sql.QueryRowContext(tx.ctx, "SELECT "+identityColumns+" FROM workload_identities WHERE name = ?", name)
	return one(r, scanIdentity, fmt.Sprintf("no workload identity is named %q", name))
}

// WorkloadIdentities returns up to limit identities by name, those after the given name; limit -1 returns all.
func (tx *Tx) WorkloadIdentities(after string, limit int) ([]moorage.WorkloadIdentity, error) {
	return all(tx, scanIdentity, "SELECT "+identityColumns+" FROM workload_identities WHERE name > ? ORDER BY name LIMIT ?", after, limit)
}

// PutWorkloadIdentity writes w, replacing one of the same name.
func (tx *Tx) PutWorkloadIdentity(w moorage.WorkloadIdentity) error {
	urls, err := json.Marshal(w.ReturnURLs)
	if err != nil {
		return err
	}
	return tx.exec("INSERT OR REPLACE INTO workload_identities VALUES (?, ?, ?, ?, ?, ?)",
		w.Name, w.ARN, string(urls), w.RuntimeID, nanos(w.CreatedAt), nanos(w.UpdatedAt))
}

// DeleteWorkloadIdentity removes an identity with its tags.
func (tx *Tx) DeleteWorkloadIdentity(w moorage.WorkloadIdentity) error {
	if err := tx.exec("DELETE FROM tags WHERE arn = ?", w.ARN); err != nil {
		return err
	}
	return tx.exec("DELETE FROM workload_identities WHERE name = ?", w.Name)
}
