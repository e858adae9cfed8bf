// Package store keeps what must survive a crash: runtimes, versions, endpoints, sessions, access keys.
//
// It is one SQLite file in write-ahead mode with synchronous=FULL: when [DB.Update] returns nil, the
// change is on disk. There is one writer; readers never wait for it. Rows come and go as the nouns of
// package moorage. Secrets, environment variables included, are sealed under DIR/root.key, so that a
// copy of the database alone gives nothing away.
//
// The store decides nothing: rules about what may be written live in control and session.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	_ "modernc.org/sqlite" // registers the driver "sqlite"

	"github.com/moorage-dev/moorage"
)

//go:embed migrations/*.sql
var migrations embed.FS

// DB is the open store of one directory. Close it once.
type DB struct {
	write *sql.DB
	read  *sql.DB
	seal  sealer
}

// Open opens the store in dir, which must exist, making it and the root key on first use.
func Open(ctx context.Context, dir string) (*DB, error) {
	seal, err := openRootKey(filepath.Join(dir, "root.key"))
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "moorage.db")
	write, err := open(path, 1, readWrite)
	if err != nil {
		return nil, err
	}
	db := &DB{write: write, seal: seal}
	if err := db.migrate(ctx); err != nil {
		write.Close()
		return nil, err
	}
	if db.read, err = open(path, 4, readOnly); err != nil {
		write.Close()
		return nil, err
	}
	return db, nil
}

// Modes of a pool, as SQLite pragmas.
const (
	readWrite = "query_only(0)"
	readOnly  = "query_only(1)"
)

func open(path string, conns int, mode string) (*sql.DB, error) {
	lock := "immediate" // a writer takes its turn at the start, so that it never has to be undone halfway
	if mode == readOnly {
		lock = "deferred"
	}
	q := url.Values{"_txlock": {lock}, "_pragma": {
		"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "busy_timeout(10000)", mode,
	}}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", filepath.Base(path), err)
	}
	db.SetMaxOpenConns(conns)
	return db, nil
}

// Close waits for running transactions and closes the file.
func (db *DB) Close() error { return errors.Join(db.read.Close(), db.write.Close()) }

// migrate applies each numbered file that this database has not seen, all in one transaction.
func (db *DB) migrate(ctx context.Context) error {
	tx, err := db.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	defer tx.Rollback()
	var have int
	if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	files, err := migrations.ReadDir("migrations")
	if err != nil {
		return err
	}
	sort.Slice(files, func(i, j int) bool { return files[i].Name() < files[j].Name() })
	for _, f := range files {
		n, err := strconv.Atoi(f.Name()[:3])
		if err != nil {
			return fmt.Errorf("migration %s: its name must begin with three digits", f.Name())
		}
		if n <= have {
			continue
		}
		text, err := migrations.ReadFile("migrations/" + f.Name())
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, string(text)); err != nil {
			return fmt.Errorf("migration %s: %w", f.Name(), err)
		}
		have = n
	}
	if have > len(files) {
		return moorage.Errorf(moorage.Unavailable, "this directory was written by a newer Moorage (schema %d, this build knows %d): upgrade the binary", have, len(files))
	}
	if _, err := tx.ExecContext(ctx, "PRAGMA user_version = "+strconv.Itoa(have)); err != nil {
		return err
	}
	return tx.Commit()
}

// Tx is one transaction; it is valid only inside the function it was given to.
type Tx struct {
	ctx  context.Context
	sql  *sql.Tx
	seal sealer
}

// Update runs fn in a transaction that is on disk when Update returns nil, and undone when fn fails.
// Transactions run one after the other.
func (db *DB) Update(ctx context.Context, fn func(*Tx) error) error {
	return db.run(ctx, db.write, fn)
}

// View runs fn on one consistent state of the store. Writes in it fail.
func (db *DB) View(ctx context.Context, fn func(*Tx) error) error {
	return db.run(ctx, db.read, fn)
}

func (db *DB) run(ctx context.Context, pool *sql.DB, fn func(*Tx) error) error {
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return diskError(err)
	}
	defer tx.Rollback()
	if err := fn(&Tx{ctx, tx, db.seal}); err != nil {
		return diskError(err)
	}
	return diskError(tx.Commit())
}

// diskError gives a full disk its code, so that callers learn that nothing was kept and why.
func diskError(err error) error {
	if err == nil || !strings.Contains(err.Error(), "SQLITE_FULL") && !strings.Contains(err.Error(), "disk is full") {
		return err
	}
	return &moorage.Error{Code: moorage.Unavailable, Message: "the server's disk is full; nothing was changed", Err: err}
}

func (tx *Tx) exec(query string, args ...any) error {
	_, err := tx.sql.ExecContext(tx.ctx, query, args...)
	return err
}

func (tx *Tx) changed(query string, args ...any) (bool, error) {
	r, err := tx.sql.ExecContext(tx.ctx, query, args...)
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	return n > 0, err
}

// row is what sql.Row and sql.Rows share.
type row interface{ Scan(...any) error }

// one reads a single row, turning its absence into a NotFound with the given message.
func one[T any](r row, scan func(row) (T, error), missing string) (T, error) {
	v, err := scan(r)
	if errors.Is(err, sql.ErrNoRows) {
		return v, &moorage.Error{Code: moorage.NotFound, Message: missing}
	}
	return v, err
}

// all reads every row of a query.
func all[T any](tx *Tx, scan func(row) (T, error), query string, args ...any) ([]T, error) {
	rows, err := tx.sql.QueryContext(tx.ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromNanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}
