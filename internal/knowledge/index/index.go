package index

import (
	"context"
	"database/sql"
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"

	_ "modernc.org/sqlite" // registers the driver "sqlite"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/knowledge"
)

//go:embed schema.sql
var schema string

const format = 1 // of schema.sql

// Index is one open file.
type Index struct {
	write, read *sql.DB
	signer      signer
	memory      *memory
	counted     counts
}

var _ knowledge.Index = (*Index)(nil)

// Open opens the index in a file, making it on first use. Vectors have so many dimensions, always.
func Open(ctx context.Context, path string, dimensions int) (knowledge.Index, error) {
	x := &Index{signer: newSigner(dimensions)}
	x.memory = newMemory(x.signer.words())
	var err error
	if x.write, err = open(path, "immediate", "query_only(0)"); err != nil {
		return nil, err
	}
	x.write.SetMaxOpenConns(1)
	if err = x.prepare(ctx); err == nil {
		x.read, err = open(path, "deferred", "query_only(1)")
	}
	if err == nil {
		x.read.SetMaxOpenConns(4)
		err = x.load(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, x.Close())
	}
	return x, nil
}

func open(path, lock, mode string) (*sql.DB, error) {
	pragmas := []string{"page_size(8192)", "journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(10000)", "cache_size(-16384)", mode}
	return sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+url.Values{"_txlock": {lock}, "_pragma": pragmas}.Encode())
}

func (x *Index) prepare(ctx context.Context) error {
	var have int
	if err := x.write.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
		return err
	}
	switch have {
	case format:
		return nil
	case 0:
		_, err := x.write.ExecContext(ctx, fmt.Sprintf("BEGIN; %s PRAGMA user_version = %d; COMMIT", schema, format))
		return err
	}
	return moorage.Errorf(moorage.Unavailable, "the knowledge base's index was written by another Moorage (format %d, this build knows %d)", have, format)
}

// Close implements [knowledge.Index].
func (x *Index) Close() error {
	var errs []error
	for _, db := range []*sql.DB{x.read, x.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// load reads what memory holds.
func (x *Index) load(ctx context.Context) error {
	err := x.each(ctx, "SELECT id, source, uri, fingerprint, metadata FROM documents", func(scan func(...any) error) error {
		var id int64
		var d knowledge.Document
		var metadata []byte
		if err := scan(&id, &d.Source, &d.URI, &d.Fingerprint, &metadata); err != nil {
			return err
		}
		return x.remember(id, d, metadata)
	})
	if err != nil {
		return err
	}
	return x.each(ctx, "SELECT chunk, document, bits FROM signatures", func(scan func(...any) error) error {
		var chunk, document int64
		var bits []byte
		if err := scan(&chunk, &document, &bits); err != nil {
			return err
		}
		x.memory.add(chunk, document, unpackSignature(bits))
		return nil
	})
}

func (x *Index) remember(id int64, d knowledge.Document, metadata []byte) error {
	err := json.Unmarshal(metadata, &d.Metadata)
	x.memory.known[id] = d
	return err
}

func (x *Index) each(ctx context.Context, query string, row func(scan func(...any) error) error, args ...any) error {
	rows, err := x.read.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Size implements [knowledge.Index].
func (x *Index) Size(context.Context) (documents, chunks int, err error) {
	x.memory.mu.RLock()
	defer x.memory.mu.RUnlock()
	return len(x.memory.known), len(x.memory.chunks), nil
}

// Fingerprints implements [knowledge.Index].
func (x *Index) Fingerprints(_ context.Context, source string) (map[string]string, error) {
	x.memory.mu.RLock()
	defer x.memory.mu.RUnlock()
	out := map[string]string{}
	for _, d := range x.memory.known {
		if d.Source == source {
			out[d.URI] = d.Fingerprint
		}
	}
	return out, nil
}

// change is what a transaction did, for memory to follow once it is on disk.
type change struct {
	removed []int64
	added   []row
	known   map[int64]knowledge.Document
}

type row struct {
	chunk, document int64
	signature       []uint64
}

// update runs fn in a transaction, and then has memory follow.
func (x *Index) update(ctx context.Context, fn func(*sql.Tx, *change) error) error {
	tx, err := x.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	c := &change{known: map[int64]knowledge.Document{}}
	if err := fn(tx, c); err != nil {
		return diskFull(err)
	}
	x.memory.mu.Lock() // before the commit: a reader of the file sees no chunk that memory lacks
	defer x.memory.mu.Unlock()
	if err := tx.Commit(); err != nil {
		return diskFull(err)
	}
	x.counted.forget()
	for _, id := range c.removed {
		x.memory.remove(id)
	}
	for id, d := range c.known {
		x.memory.known[id] = d
	}
	for _, r := range c.added {
		x.memory.add(r.chunk, r.document, r.signature)
	}
	return nil
}

func diskFull(err error) error {
	if !strings.Contains(err.Error(), "SQLITE_FULL") && !strings.Contains(err.Error(), "disk is full") {
		return err
	}
	return &moorage.Error{Code: moorage.Unavailable, Message: "the server's disk is full; nothing of this was indexed", Err: err}
}

// Put implements [knowledge.Index].
func (x *Index) Put(ctx context.Context, entries []knowledge.Entry) error {
	return x.update(ctx, func(tx *sql.Tx, c *change) error {
		for _, e := range entries {
			if err := x.remove(ctx, tx, c, e.Source, e.URI); err != nil {
				return err
			}
			if err := x.put(ctx, tx, c, e); err != nil {
				return err
			}
		}
		return nil
	})
}

func (x *Index) put(ctx context.Context, tx *sql.Tx, c *change, e knowledge.Entry) error {
	metadata, err := json.Marshal(e.Metadata)
	if err != nil {
		return err
	}
	r, err := tx.ExecContext(ctx, "INSERT INTO documents (source, uri, fingerprint, metadata) VALUES (?, ?, ?, ?)", e.Source, e.URI, e.Fingerprint, string(metadata))
	if err != nil {
		return err
	}
	document, err := r.LastInsertId()
	if err != nil {
		return err
	}
	c.known[document] = e.Document
	for _, chunk := range e.Chunks {
		if err := x.putChunk(ctx, tx, c, document, chunk); err != nil {
			return err
		}
	}
	return nil
}

func (x *Index) putChunk(ctx context.Context, tx *sql.Tx, c *change, document int64, chunk knowledge.Chunk) error {
	r, err := tx.ExecContext(ctx, "INSERT INTO chunks (document, text) VALUES (?, ?)", document, chunk.Text)
	if err != nil {
		return err
	}
	id, err := r.LastInsertId()
	if err != nil {
		return err
	}
	signature := x.signer.sign(chunk.Vector)
	for query, args := range map[string][]any{
		"INSERT INTO signatures (chunk, document, bits) VALUES (?, ?, ?)": {id, document, packSignature(signature)},
		"INSERT INTO vectors (chunk, vector) VALUES (?, ?)":               {id, packVector(chunk.Vector)},
		"INSERT INTO words (rowid, text) VALUES (?, ?)":                   {id, chunk.Text},
	} {
		if _, err := tx.ExecContext(ctx, query, args...); err != nil {
			return err
		}
	}
	c.added = append(c.added, row{id, document, signature})
	return nil
}

// Remove implements [knowledge.Index].
func (x *Index) Remove(ctx context.Context, source string, uris []string) error {
	return x.update(ctx, func(tx *sql.Tx, c *change) error {
		for _, uri := range uris {
			if err := x.remove(ctx, tx, c, source, uri); err != nil {
				return err
			}
		}
		return nil
	})
}

func (x *Index) remove(ctx context.Context, tx *sql.Tx, c *change, source, uri string) error {
	var document int64
	err := tx.QueryRowContext(ctx, "SELECT id FROM documents WHERE source = ? AND uri = ?", source, uri).Scan(&document)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, query := range []string{
		"INSERT INTO words (words, rowid, text) SELECT 'delete', id, text FROM chunks WHERE document = ?",
		"DELETE FROM signatures WHERE chunk IN (SELECT id FROM chunks WHERE document = ?)",
		"DELETE FROM vectors WHERE chunk IN (SELECT id FROM chunks WHERE document = ?)",
		"DELETE FROM chunks WHERE document = ?",
		"DELETE FROM documents WHERE id = ?",
	} {
		if _, err := tx.ExecContext(ctx, query, document); err != nil {
			return err
		}
	}
	delete(c.known, document)
	c.added = slices.DeleteFunc(c.added, func(r row) bool { return r.document == document })
	c.removed = append(c.removed, document)
	return nil
}

func packVector(v []float32) []byte {
	out := make([]byte, 0, len(v)*4)
	for _, f := range v {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(f))
	}
	return out
}

// cosine of a vector and one from the disk, both of length 1.
func cosine(v []float32, packed []byte) (dot float64) {
	for i := range min(len(v), len(packed)/4) {
		dot += float64(v[i]) * float64(math.Float32frombits(binary.LittleEndian.Uint32(packed[i*4:])))
	}
	return dot
}

// name is how a hit names a chunk.
func name(chunk int64) string { return "chunk-" + strconv.FormatInt(chunk, 10) }
