// Package snapshot is what a sleeping sandbox is on disk: a directory that holds everything its
// engine needs to wake it, sealed under a key of its own.
//
//	DIR/key            32 random bytes, readable by the owner only
//	DIR/snapshot.json  a [Manifest], in the clear: which build of which engine can read the rest
//	DIR/spec, image    parts, encrypted with AES-256-GCM in chunks; bound to the manifest
//
// The directory appears whole or not at all: [Create] works beside it and [Writer.Commit] renames,
// after everything is on the disk. [Remove] unlinks the key first, which is the end of the data
// wherever else copies of it may be.
//
// The package knows no engine: what the parts hold is the business of whoever wrote them.
package snapshot

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/moorage-dev/moorage"
)

// Unfinished is what the name of a snapshot ends in while it is made.
const Unfinished = ".new"

// Format is the version of the directory's layout. A reader refuses every other.
const Format = 1

const (
	keyName      = "key"
	manifestName = "snapshot.json"
	keySize      = 32

	maxManifest = 64 << 10
)

// Manifest says what a snapshot is of, and what can read it.
type Manifest struct {
	Format  int       `json:"format"`
	Name    string    `json:"name,omitempty"` // of its directory; set by Create
	Driver  string    `json:"driver"`         // the engine's kind, such as "gvisor"
	Build   string    `json:"build"`          // the engine's build; no other may read the image
	Sandbox string    `json:"sandbox"`        // id
	At      time.Time `json:"at"`             // when it fell asleep
}

// Writer makes a snapshot. Either Commit or Abort ends it; Abort after Commit does nothing.
type Writer struct {
	dir      string // where it shall be
	work     string // where it is made
	key      []byte
	manifest []byte
	syncing  errgroup.Group // of files that are whole
	done     bool
}

// Create begins the snapshot that dir will hold. What an earlier attempt left there goes.
func Create(dir string, m Manifest) (*Writer, error) {
	m.Format, m.Name = Format, filepath.Base(dir)
	raw, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	w := &Writer{dir: dir, work: dir + Unfinished, key: make([]byte, keySize), manifest: raw}
	rand.Read(w.key)
	if err := errors.Join(Remove(w.work), os.MkdirAll(w.work, 0o700)); err != nil {
		return nil, diskError("make room for a snapshot", err)
	}
	for name, content := range map[string][]byte{keyName: w.key, manifestName: raw} {
		f, err := writeFile(filepath.Join(w.work, name), content)
		if err != nil {
			return nil, errors.Join(diskError("begin a snapshot", err), w.Abort())
		}
		w.sync(f)
	}
	return w, nil
}

// Write seals what r yields, to its end, as the part of that name. Several parts may be written at once. It does not wait
// for the disk, which Commit does.
func (w *Writer) Write(part string, r io.Reader) error {
	key, err := keyOf(w.key, part, w.manifest)
	if err != nil {
		return err
	}
	s, err := newStream(key)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(w.work, part), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return diskError("write a snapshot", err)
	}
	out := newEager(f)
	seal := newSealer(s, out)
	if _, err = seal.ReadFrom(r); err == nil {
		err = seal.Close()
	}
	if err != nil {
		return diskError("write a snapshot", errors.Join(err, out.Close()))
	}
	w.sync(out)
	return nil
}

// sync has the disk take all of a file, and closes it, while the rest of the snapshot is written.
func (w *Writer) sync(f interface {
	Sync() error
	io.Closer
}) {
	w.syncing.Go(func() error { return errors.Join(f.Sync(), f.Close()) })
}

// flushSize is how much of a part the disk is told at a time to keep, in bytes, while the rest is sealed. No more than that and what
// was sealed meanwhile is left for the end.
const flushSize = 8 << 20

// eager has the disk begin with what is written while the rest is sealed, so that the end has less to wait for.
type eager struct {
	*os.File
	size     int64          // that was written
	told     int64          // the size when the last flush began
	flushing errgroup.Group // one at a time
}

func newEager(f *os.File) *eager {
	e := &eager{File: f}
	e.flushing.SetLimit(1)
	return e
}

func (e *eager) Write(p []byte) (int, error) {
	n, err := e.File.Write(p)
	if n > 0 {
		unix.SyncFileRange(int(e.Fd()), e.size, int64(n), unix.SYNC_FILE_RANGE_WRITE) // Sync is what counts
	}
	e.size += int64(n)
	if e.size-e.told >= flushSize && e.flushing.TryGo(e.File.Sync) {
		e.told = e.size
	}
	return n, err
}

// Sync does not wait for an early flush before it begins, and returns what that met, too: the system tells of each error once.
func (e *eager) Sync() error {
	err := e.File.Sync()
	return errors.Join(e.flushing.Wait(), err)
}

func (e *eager) Close() error { return errors.Join(e.flushing.Wait(), e.File.Close()) }

// Commit puts the snapshot in its place. After it the snapshot survives a crash of the machine.
func (w *Writer) Commit() error {
	w.syncing.Go(func() error { return syncDir(w.work) }) // all files are there, if not on the disk
	err := w.syncing.Wait()
	if err == nil {
		err = Remove(w.dir)
	}
	if err == nil {
		err = os.Rename(w.work, w.dir)
	}
	if err == nil {
		err = syncDir(filepath.Dir(w.dir))
	}
	w.done = err == nil
	return diskError("keep a snapshot", err)
}

// Abort removes what was written.
func (w *Writer) Abort() error {
	if w.done {
		return nil
	}
	w.done = true
	w.syncing.Wait()
	return Remove(w.work)
}

// writeFile makes a file that is not on the disk yet.
func writeFile(path string, content []byte) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err = f.Write(content); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// diskError is what a caller is told when the disk does not play along. Nil stays nil.
func diskError(op string, err error) error {
	if err == nil {
		return nil
	}
	return &moorage.Error{Code: moorage.Unavailable, Op: op, Message: "the snapshot cannot be written to disk", Err: err}
}

// Snapshot is a sandbox that sleeps.
type Snapshot struct {
	Manifest Manifest
	dir      string
	key      []byte
	raw      []byte // the manifest as it is bound to the parts
}

// Open reads the snapshot in dir, the parts excepted. Errors: moorage.NotFound when there is none,
// moorage.Conflict when it is damaged, was made under another name (it is somebody else's, then), or is
// of a format that this build does not know.
func Open(dir string) (*Snapshot, error) {
	raw, err := readSmall(filepath.Join(dir, manifestName), maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, moorage.Errorf(moorage.NotFound, "nothing sleeps there")
	}
	if err != nil {
		return nil, Damaged(err)
	}
	s := &Snapshot{dir: dir, raw: raw}
	if err := json.Unmarshal(raw, &s.Manifest); err != nil {
		return nil, Damaged(err)
	}
	if s.Manifest.Format != Format {
		return nil, moorage.Errorf(moorage.Conflict, "the snapshot has format %d; this build reads %d", s.Manifest.Format, Format)
	}
	if m := s.Manifest; m.Name != "" && m.Name != filepath.Base(dir) {
		return nil, moorage.Errorf(moorage.Conflict, "the snapshot in %s was made as %s", filepath.Base(dir), m.Name)
	}
	if s.key, err = readSmall(filepath.Join(dir, keyName), keySize); err != nil || len(s.key) != keySize {
		return nil, Damaged(errors.Join(err, errors.New("its key is missing or cut short")))
	}
	return s, nil
}

func readSmall(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}

// Damaged is the error for a snapshot that cannot be woken, now or ever.
func Damaged(err error) error {
	return &moorage.Error{Code: moorage.Conflict, Op: "wake", Message: "the sleeping sandbox's image is damaged", Err: err}
}

// Part opens the file of a part, which stays sealed, and returns the key to it.
func (s *Snapshot) Part(part string) (sealed *os.File, key PartKey, err error) {
	if key, err = keyOf(s.key, part, s.raw); err != nil {
		return nil, key, err
	}
	if sealed, err = os.Open(filepath.Join(s.dir, part)); err != nil {
		return nil, key, Damaged(err)
	}
	return sealed, key, nil
}

// WritePart decrypts a part to its end into to. What was written before an error is genuine, but not whole.
func (s *Snapshot) WritePart(to io.Writer, part string) error {
	file, key, err := s.Part(part)
	if err != nil {
		return err
	}
	defer file.Close()
	sealed, err := io.ReadAll(file)
	if err != nil {
		return err
	}
	p, err := OpenPart(sealed, key)
	if err != nil {
		return damaged(err)
	}
	room := make([]byte, min(p.Size(), p.ChunkSize()))
	for index := range p.Chunks() {
		plain, err := p.ReadChunk(room, index)
		if err != nil {
			return damaged(err)
		}
		if _, err := to.Write(plain); err != nil {
			return err
		}
	}
	return nil
}

// ReadPart returns a part whole.
func (s *Snapshot) ReadPart(part string) ([]byte, error) {
	var all bytes.Buffer
	err := s.WritePart(&all, part)
	if err != nil {
		return nil, err
	}
	return all.Bytes(), nil
}

// damaged gives an error of what was changed its code.
func damaged(err error) error {
	if errors.Is(err, errDamaged) {
		return Damaged(err)
	}
	return err
}

// Size is how many bytes the snapshot in dir takes on disk; 0 when there is none.
func Size(dir string) (bytes int64) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			bytes += info.Size()
		}
	}
	return bytes
}

// Of reports whether dir holds a whole snapshot of the given sandbox.
func Of(dir, sandboxID string) bool {
	s, err := Open(dir)
	return err == nil && s.Manifest.Sandbox == sandboxID
}

// Remove ends a snapshot, its key first. It does nothing where there is none.
func Remove(dir string) error {
	err := os.Remove(filepath.Join(dir, keyName))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("remove the key of a snapshot: %w", err)
	}
	return errors.Join(err, os.RemoveAll(dir))
}

// Discard is Remove for whoever has no time: the disk takes some to be given its room back, and does that once what Discard returns is
// closed, or this process ended. It must be closed though there is an error.
func Discard(dir string) (room io.Closer, err error) {
	var parts files
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if f, err := os.Open(filepath.Join(dir, e.Name())); err == nil { // else its room is given back now
			parts = append(parts, f)
		}
	}
	return parts, Remove(dir)
}

type files []*os.File

func (all files) Close() (err error) {
	for _, f := range all {
		err = errors.Join(err, f.Close())
	}
	return err
}
