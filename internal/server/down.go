package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox/shim"
	"github.com/moorage-dev/moorage/internal/sandbox/snapshot"
)

// Down ends the server of a directory, every session and every shim, and says what it ended. It is
// no error when nothing runs.
func Down(ctx context.Context, dir string) ([]string, error) {
	var ended []string
	server, err := endServer(ctx, dir)
	if server != "" {
		ended = append(ended, server)
	}
	if err != nil {
		return ended, err
	}
	asleep, err := endSleepers(filepath.Join(dir, "sleep"))
	ended = append(ended, asleep...)
	if err != nil {
		return ended, err
	}
	if _, err := os.Stat(filepath.Join(dir, "engines")); errors.Is(err, fs.ErrNotExist) {
		return ended, nil
	}
	client, err := shim.Open(ctx, shim.Options{Dir: dir})
	if err != nil {
		return ended, errors.Join(err, shim.Shutdown(ctx, dir))
	}
	boxes, err := client.List(ctx)
	for _, b := range boxes {
		ended = append(ended, "sandbox "+b.Info().ID)
	}
	return ended, errors.Join(err, client.Close(), shim.Shutdown(ctx, dir))
}

// endSleepers removes the sessions that sleep on disk.
func endSleepers(dir string) (ended []string, err error) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, snapshot.Remove(filepath.Join(dir, e.Name())))
		ended = append(ended, "sleeping session "+e.Name())
	}
	return ended, err
}

// endServer asks the server that holds the directory's lock to stop, and waits until it did.
func endServer(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "server.lock")
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	if free(f) {
		return "", nil
	}
	pid := serverPID(dir)
	if pid == 0 {
		return "", moorage.Errorf(moorage.Unavailable, "a server holds %s, but does not say which process it is", path)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return "", fmt.Errorf("stop server %d: %w", pid, err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !free(f) {
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-tick.C:
		}
	}
	return fmt.Sprintf("server (process %d)", pid), nil
}

// free reports whether nobody holds the lock.
func free(f *os.File) bool {
	if syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) != nil {
		return false
	}
	syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
	return true
}

// serverPID reads who holds the lock; client.json may be that of an earlier server.
func serverPID(dir string) int {
	var pid int
	if text, err := os.ReadFile(filepath.Join(dir, "server.lock")); err == nil {
		fmt.Sscan(string(text), &pid)
	}
	if pid == 0 {
		var c Client
		if doc, err := os.ReadFile(filepath.Join(dir, "client.json")); err == nil && json.Unmarshal(doc, &c) == nil {
			pid = c.PID
		}
	}
	return pid
}
