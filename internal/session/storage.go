package session

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
)

// Storage keeps the session storage of runtimes that ask for it: a directory per session that
// outlives its sandbox, and is wiped when the session comes back on another version.
type Storage struct {
	Dir string
}

// storageAge is how long storage is kept that no session came back to. Source: AgentCore developer
// guide, persistent filesystems.
const storageAge = 14 * 24 * time.Hour

// path is Dir/RUNTIME/ENDPOINT/SESSION-HASH, with a directory per version below: deleting a runtime,
// an endpoint or a session is one removal.
func (st *Storage) path(key Key) string {
	sum := sha256.Sum256([]byte(key.Owner + "\x00" + key.CallerID))
	return filepath.Join(st.Dir, key.RuntimeID, key.Endpoint, hex.EncodeToString(sum[:16]))
}

// mounts returns the mount of a session's storage, making the directory on first use.
func (st *Storage) mounts(key Key, v moorage.Version) ([]sandbox.Mount, error) {
	target := v.Config.Storage
	if target == "" {
		return nil, nil
	}
	dir := filepath.Join(st.path(key), strconv.Itoa(v.Number))
	if err := st.keepOnly(st.path(key), strconv.Itoa(v.Number)); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("session storage: %w", err)
	}
	now := time.Now()
	if err := os.Chtimes(st.path(key), now, now); err != nil { // what sweep goes by
		return nil, fmt.Errorf("session storage: %w", err)
	}
	return []sandbox.Mount{{Source: dir, Target: target}}, os.Chmod(dir, 0o777) // any user of the image may write
}

// keepOnly wipes what other versions left.
func (st *Storage) keepOnly(dir, version string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if e.Name() != version {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

// Limits of one session's storage. Source: AgentCore developer guide, persistent filesystems.
const (
	storageBytes = 1 << 30
	storageFiles = 200_000
)

// storageWatch measures a session's storage no more often than it is worth: at least pause apart, and
// never for more than a fiftieth of the time.
type storageWatch struct {
	pause time.Duration
	due   time.Time
}

func (w *storageWatch) excess(st *Storage, s *live) string {
	began := time.Now()
	if s.version.Config.Storage == "" || began.Before(w.due) {
		return ""
	}
	excess := st.excess(s.key, s.version)
	w.due = time.Now().Add(max(w.pause/2, 50*time.Since(began))) // half: a check that comes a little early still counts
	return excess
}

// excess says by how much a session's storage is over its limits, or "" when it is not. The limit is
// a check from time to time and not a wall: a session may be over it for as long as a check takes to come.
func (st *Storage) excess(key Key, v moorage.Version) string {
	if v.Config.Storage == "" {
		return ""
	}
	var bytes, files int64
	filepath.WalkDir(st.path(key), func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // removed meanwhile
		}
		if files++; files > storageFiles {
			return fs.SkipAll
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			bytes += min(info.Size(), allocated(info)) // a sparse file counts for what it takes
		}
		return nil
	})
	switch {
	case files > storageFiles:
		return fmt.Sprintf("its session storage holds more than %d files", storageFiles)
	case bytes > storageBytes:
		return fmt.Sprintf("its session storage holds %d MiB; the limit is %d MiB", bytes>>20, storageBytes>>20)
	}
	return ""
}

// allocated is how many bytes a file takes on disk.
func allocated(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return info.Size()
}

// sweep wipes the storage of sessions that began before t for the last time.
func (st *Storage) sweep(t time.Time) error {
	sessions, err := filepath.Glob(filepath.Join(globEscape(st.Dir), "*", "*", "*"))
	for _, dir := range sessions {
		if info, e := os.Stat(dir); e == nil && info.ModTime().Before(t) {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}
	return err
}

// globEscape makes a pattern that matches path alone.
func globEscape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// RemoveEndpoint wipes the storage of all of an endpoint's sessions.
func (st *Storage) RemoveEndpoint(runtimeID, endpoint string) error {
	return os.RemoveAll(filepath.Join(st.Dir, runtimeID, endpoint))
}

// RemoveRuntime wipes the storage of all of a runtime's sessions.
func (st *Storage) RemoveRuntime(runtimeID string) error {
	return os.RemoveAll(filepath.Join(st.Dir, runtimeID))
}
