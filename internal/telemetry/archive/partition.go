package archive

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	_ "modernc.org/sqlite" // registers the driver "sqlite"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

//go:embed schema.sql
var schema string

// format is the version of schema.sql. A partition of another format is left alone and not read.
const format = 5

// partition is one file. Reading is open to everybody, writing to the writer alone.
type partition struct {
	path  string
	began time.Time
	read  *sql.DB
	write *sql.DB   // nil when it is full
	conn  *sql.Conn // the one connection of write
	gone  atomic.Bool
	known *filter            // the traces in its packs; of the writer
	torn  bool               // it was being written when the server was killed
	whose []telemetry.Source // sources, once they were asked for; nobody but the writer does
	until atomic.Int64       // when the next was begun, nanoseconds since 1970; 0 while there is none
}

const suffix = ".db"

// partitionPath names a partition by when it began, so that names sort by age.
func partitionPath(dir string, began time.Time) string {
	return filepath.Join(dir, began.UTC().Format("20060102T150405.000000000Z")+suffix)
}

func beganAt(path string) (time.Time, error) {
	name := filepath.Base(path)
	return time.Parse("20060102T150405.000000000Z.db", name)
}

func dsn(path, lock string, modes ...string) string {
	pragmas := append([]string{"page_size(4096)", "journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(10000)", "wal_autocheckpoint(8000)"}, modes...)
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + url.Values{"_txlock": {lock}, "_pragma": pragmas}.Encode()
}

// readers is how many questions a partition answers at once.
const readers = 4

// openPartition opens a partition for reading. Its files are closed when nobody asked for a while.
func openPartition(path string) (*partition, error) {
	began, err := beganAt(path)
	if err != nil {
		return nil, err
	}
	read, err := sql.Open("sqlite", dsn(path, "deferred", "query_only(1)"))
	if err != nil {
		return nil, err
	}
	read.SetMaxOpenConns(readers)
	read.SetConnMaxIdleTime(30 * time.Second)
	return &partition{path: path, began: began, read: read, known: newFilter(usualTraces)}, nil
}

// newPartition makes a partition and opens it for writing.
func newPartition(ctx context.Context, dir string, began time.Time) (*partition, error) {
	p, err := openPartition(partitionPath(dir, began))
	if err != nil {
		return nil, err
	}
	if err := p.openWrite(ctx); err != nil {
		return nil, errors.Join(err, p.remove())
	}
	if _, err := p.conn.ExecContext(ctx, fmt.Sprintf("BEGIN; %s PRAGMA user_version = %d; COMMIT", schema, format)); err != nil {
		return nil, errors.Join(err, p.remove())
	}
	return p, nil
}

func (p *partition) openWrite(ctx context.Context) (err error) {
	// What a statement of many rows would undo if it failed is kept in memory, not in a file of its own.
	if p.write, err = sql.Open("sqlite", dsn(p.path, "immediate", "cache_size(-16384)", "temp_store(memory)")); err != nil {
		return err
	}
	if p.conn, err = p.write.Conn(ctx); err == nil {
		_, err = p.conn.ExecContext(ctx, usedTable)
	}
	return err
}

// unseal opens a partition for writing once more.
func (p *partition) unseal(ctx context.Context) error {
	err := p.openWrite(ctx)
	if err == nil { // else it would not have the traces that come now
		_, err = p.conn.ExecContext(ctx, "DELETE FROM filters")
	}
	if err == nil && p.torn {
		_, err = p.conn.ExecContext(ctx, mendSessions)
	}
	return err
}

// format returns the version of the partition's schema; 0 for one whose making was cut off.
func (p *partition) format(ctx context.Context) (version int, err error) {
	err = p.read.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version)
	return version, err
}

// size is the partition's on disk, in bytes.
func (p *partition) size() (n int64) {
	for _, end := range []string{"", "-wal"} {
		if info, err := os.Stat(p.path + end); err == nil {
			n += info.Size()
		}
	}
	return n
}

// seal ends writing: what is in the log file goes to the main one.
func (p *partition) seal() error {
	if p.write == nil {
		return nil
	}
	_, err := p.conn.ExecContext(context.Background(), "INSERT INTO filters VALUES (?)", p.known.pack())
	if err == nil {
		_, err = p.conn.ExecContext(context.Background(), "PRAGMA wal_checkpoint(TRUNCATE)")
	}
	return errors.Join(err, p.endWrite())
}

func (p *partition) endWrite() (err error) {
	if p.conn != nil {
		err = p.conn.Close()
	}
	if p.write != nil {
		err = errors.Join(err, p.write.Close())
	}
	p.conn, p.write = nil, nil
	return err
}

func (p *partition) close() error { return errors.Join(p.read.Close(), p.endWrite()) }

// remove closes the partition and unlinks its files. Questions that are being answered from it end first.
func (p *partition) remove() error {
	p.gone.Store(true)
	errs := []error{p.close()}
	for _, end := range []string{"-wal", "-shm", ""} {
		if err := os.Remove(p.path + end); err != nil && !os.IsNotExist(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// rowName names a row of the partition so that no other row of the archive ever has the name.
func (p *partition) rowName(row int64) string {
	return strings.TrimSuffix(filepath.Base(p.path), suffix) + "-" + strconv.FormatInt(row, 10)
}

// sources lists whose telemetry is in a partition that is not written any more, as far as runtime, endpoint and group tell.
func (p *partition) sources(ctx context.Context) ([]telemetry.Source, error) {
	if p.whose != nil {
		return p.whose, nil
	}
	out := []telemetry.Source{}
	add := func(scan func(...any) error) error {
		var s telemetry.Source
		err := scan(&s.Runtime, &s.Endpoint, &s.Group)
		out = append(out, s)
		return err
	}
	err := each(ctx, p, add, `SELECT DISTINCT runtime, endpoint, '' FROM traces`)
	if err == nil {
		err = each(ctx, p, add, `SELECT DISTINCT ifnull(doc ->> 'runtime', ''), ifnull(doc ->> 'endpoint', ''), ifnull(doc ->> 'group', '')
			FROM sources WHERE id IN (SELECT source FROM blocks)`)
	}
	if err != nil {
		return nil, err
	}
	p.whose = out
	return out, nil
}

// late is how long after its spans' times a trace's chunks may come in.
const late = time.Hour

// mayHold reports whether chunks of a trace with these times may be in the partition. It is asked of
// partitions that were begun in turn, so that the times of one are between its own beginning and that
// of the next, and may be generous.
func (p *partition) mayHold(start, end int64) bool {
	until := p.until.Load()
	return p.began.UnixNano() <= end+int64(late) && (until == 0 || until >= start)
}
