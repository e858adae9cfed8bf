package store

import (
	"encoding/json"
	"fmt"

	"github.com/moorage-dev/moorage"
)

const runtimeColumns = "id, name, arn, latest, status, failure_reason, identity, created_at, updated_at"

func scanRuntime(r row) (rt moorage.Runtime, err error) {
	var created, updated int64
	err = r.Scan(&rt.ID, &rt.Name, &rt.ARN, &rt.Latest, &rt.Status, &rt.FailureReason, &rt.Identity, &created, &updated)
	rt.CreatedAt, rt.UpdatedAt = fromNanos(created), fromNanos(updated)
	return rt, err
}

// Runtime returns the runtime with the given id, or NotFound.
func (tx *Tx) Runtime(id string) (moorage.Runtime, error) {
	r := tx.sql.QueryRowContext(tx.ctx, "SELECT "+runtimeColumns+" FROM runtimes WHERE id = ?", id)
	return one(r, scanRuntime, fmt.Sprintf("no agent runtime has the id %q", id))
}

// RuntimeByName returns the runtime with the given name, or NotFound.
func (tx *Tx) RuntimeByName(name string) (moorage.Runtime, error) {
	r := tx.sql.QueryRowContext(tx.ctx, "SELECT "+runtimeColumns+" FROM runtimes WHERE name = ?", name)
	return one(r, scanRuntime, fmt.Sprintf("no agent runtime is named %q", name))
}

// Runtimes returns up to limit runtimes whose ids follow after, in the order of their ids. Limit -1 is all.
func (tx *Tx) Runtimes(after string, limit int) ([]moorage.Runtime, error) {
	return all(tx, scanRuntime, "SELECT "+runtimeColumns+" FROM runtimes WHERE id > ? ORDER BY id LIMIT ?", after, limit)
}

// PutRuntime writes rt, new or changed.
func (tx *Tx) PutRuntime(rt moorage.Runtime) error {
	return tx.exec(`INSERT INTO runtimes (`+runtimeColumns+`) VALUES (?,?,?,?,?,?,?,?,?)
		ON CONFLICT (id) DO UPDATE SET latest = excluded.latest, status = excluded.status,
			failure_reason = excluded.failure_reason, updated_at = excluded.updated_at`,
		rt.ID, rt.Name, rt.ARN, rt.Latest, rt.Status, rt.FailureReason, rt.Identity, nanos(rt.CreatedAt), nanos(rt.UpdatedAt))
}

// DeleteRuntime removes the runtime with its versions, endpoints, tags, policies, workload identity and session records.
func (tx *Tx) DeleteRuntime(rt moorage.Runtime) error {
	for _, table := range []string{"tags", "resource_policies"} {
		if err := tx.exec("DELETE FROM "+table+" WHERE arn = ? OR substr(arn, 1, length(?) + 1) = ? || '/'", rt.ARN, rt.ARN, rt.ARN); err != nil {
			return err
		}
	}
	if err := tx.exec("DELETE FROM sessions WHERE runtime_id = ?", rt.ID); err != nil {
		return err
	}
	if err := tx.exec("DELETE FROM tags WHERE arn = ?", rt.Identity); err != nil {
		return err
	}
	if err := tx.exec("DELETE FROM workload_identities WHERE runtime_id = ?", rt.ID); err != nil {
		return err
	}
	return tx.exec("DELETE FROM runtimes WHERE id = ?", rt.ID)
}

const versionColumns = "runtime_id, number, config, environment, status, failure_reason, last_words, program, created_at, updated_at"

func (tx *Tx) scanVersion(r row) (v moorage.Version, err error) {
	var config, words, program string
	var env []byte
	var created, updated int64
	if err := r.Scan(&v.RuntimeID, &v.Number, &config, &env, &v.Status, &v.FailureReason, &words, &program, &created, &updated); err != nil {
		return v, err
	}
	v.CreatedAt, v.UpdatedAt = fromNanos(created), fromNanos(updated)
	if env, err = tx.seal.open(env, versionPlace(v)); err != nil {
		return v, err
	}
	for _, doc := range []struct {
		text string
		into any
	}{{config, &v.Config}, {string(env), &v.Config.Environment}, {words, &v.LastWords}, {program, &v.Program}} {
		if doc.text == "" {
			continue
		}
		if err := json.Unmarshal([]byte(doc.text), doc.into); err != nil {
			return v, fmt.Errorf("version %s/%d: %w", v.RuntimeID, v.Number, err)
		}
	}
	return v, nil
}

func versionPlace(v moorage.Version) string {
	return fmt.Sprintf("environment of %s version %d", v.RuntimeID, v.Number)
}

// Version returns one version of a runtime, or NotFound.
func (tx *Tx) Version(runtimeID string, number int) (moorage.Version, error) {
	r := tx.sql.QueryRowContext(tx.ctx, "SELECT "+versionColumns+" FROM versions WHERE runtime_id = ? AND number = ?", runtimeID, number)
	return one(r, tx.scanVersion, fmt.Sprintf("agent runtime %s has no version %d", runtimeID, number))
}

// Versions returns up to limit versions of a runtime below before, newest first. Before 0 starts at the newest.
func (tx *Tx) Versions(runtimeID string, before, limit int) ([]moorage.Version, error) {
	return all(tx, tx.scanVersion, "SELECT "+versionColumns+` FROM versions WHERE runtime_id = ? AND (? = 0 OR number < ?)
		ORDER BY number DESC LIMIT ?`, runtimeID, before, before, limit)
}

// UnfinishedVersions returns the versions that the reconcile loop still has to build, oldest first.
func (tx *Tx) UnfinishedVersions() ([]moorage.Version, error) {
	return all(tx, tx.scanVersion, "SELECT "+versionColumns+" FROM versions WHERE status IN (?, ?) ORDER BY created_at", moorage.Creating, moorage.Updating)
}

// Programs returns the built programs of every version: what the image room must keep.
func (tx *Tx) Programs() ([]moorage.Program, error) {
	return all(tx, func(r row) (p moorage.Program, err error) {
		var doc string
		if err := r.Scan(&doc); err != nil {
			return p, err
		}
		return p, json.Unmarshal([]byte(doc), &p)
	}, "SELECT program FROM versions WHERE program <> ''")
}

// PutVersion writes v, new or changed. A version's configuration never changes once written.
func (tx *Tx) PutVersion(v moorage.Version) error {
	config, err := json.Marshal(v.Config)
	if err != nil {
		return err
	}
	env, err := json.Marshal(v.Config.Environment)
	if err != nil {
		return err
	}
	words, err := json.Marshal(v.LastWords)
	if err != nil {
		return err
	}
	var program []byte
	if v.Program != nil {
		if program, err = json.Marshal(v.Program); err != nil {
			return err
		}
	}
	return tx.exec(`INSERT INTO versions (`+versionColumns+`) VALUES (?,?,?,?,?,?,?,?,?,?)
		ON CONFLICT (runtime_id, number) DO UPDATE SET status = excluded.status, failure_reason = excluded.failure_reason,
			last_words = excluded.last_words, program = excluded.program, updated_at = excluded.updated_at`,
		v.RuntimeID, v.Number, string(config), tx.seal.seal(env, versionPlace(v)), v.Status, v.FailureReason,
		string(words), string(program), nanos(v.CreatedAt), nanos(v.UpdatedAt))
}

// DeleteVersion removes one version.
func (tx *Tx) DeleteVersion(runtimeID string, number int) error {
	return tx.exec("DELETE FROM versions WHERE runtime_id = ? AND number = ?", runtimeID, number)
}

const endpointColumns = "runtime_id, name, id, arn, description, live, target, status, failure_reason, created_at, updated_at"

func scanEndpoint(r row) (e moorage.Endpoint, err error) {
	var created, updated int64
	err = r.Scan(&e.RuntimeID, &e.Name, &e.ID, &e.ARN, &e.Description, &e.Live, &e.Target, &e.Status, &e.FailureReason, &created, &updated)
	e.CreatedAt, e.UpdatedAt = fromNanos(created), fromNanos(updated)
	return e, err
}

// Endpoint returns one endpoint of a runtime, or NotFound.
func (tx *Tx) Endpoint(runtimeID, name string) (moorage.Endpoint, error) {
	r := tx.sql.QueryRowContext(tx.ctx, "SELECT "+endpointColumns+" FROM endpoints WHERE runtime_id = ? AND name = ?", runtimeID, name)
	return one(r, scanEndpoint, fmt.Sprintf("agent runtime %s has no endpoint %q", runtimeID, name))
}

// Endpoints returns up to limit endpoints of a runtime whose names follow after, by name. Limit -1 is all.
func (tx *Tx) Endpoints(runtimeID, after string, limit int) ([]moorage.Endpoint, error) {
	return all(tx, scanEndpoint, "SELECT "+endpointColumns+` FROM endpoints WHERE runtime_id = ? AND name > ?
		ORDER BY name LIMIT ?`, runtimeID, after, limit)
}

// PutEndpoint writes e, new or changed.
func (tx *Tx) PutEndpoint(e moorage.Endpoint) error {
	return tx.exec(`INSERT INTO endpoints (`+endpointColumns+`) VALUES (?,?,?,?,?,?,?,?,?,?,?)
		ON CONFLICT (runtime_id, name) DO UPDATE SET description = excluded.description, live = excluded.live, target = excluded.target,
			status = excluded.status, failure_reason = excluded.failure_reason, updated_at = excluded.updated_at`,
		e.RuntimeID, e.Name, e.ID, e.ARN, e.Description, e.Live, e.Target, e.Status, e.FailureReason, nanos(e.CreatedAt), nanos(e.UpdatedAt))
}

// DeleteEndpoint removes one endpoint with its tags and policy.
func (tx *Tx) DeleteEndpoint(e moorage.Endpoint) error {
	for _, q := range []string{"DELETE FROM tags WHERE arn = ?", "DELETE FROM resource_policies WHERE arn = ?", "DELETE FROM endpoints WHERE arn = ?"} {
		if err := tx.exec(q, e.ARN); err != nil {
			return err
		}
	}
	return nil
}
