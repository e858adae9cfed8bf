// Package sessiontest opens the rooms below a session for tests: a real store, a real shim with real
// sandboxes, and an agent that does as it is told (testdata/agent).
//
// A test package that uses it calls [Main] from its TestMain.
package sessiontest

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/sandboxtest"
	"github.com/moorage-dev/moorage/internal/sandbox/shim"
	"github.com/moorage-dev/moorage/internal/session"
	"github.com/moorage-dev/moorage/internal/store"
	"github.com/moorage-dev/moorage/internal/warm"
)

// Main runs a test program that is also its own shim.
func Main(m *testing.M) {
	shim.Enter()
	code := m.Run()
	sandboxtest.Cleanup()
	if agent.dir != "" {
		os.RemoveAll(agent.dir)
	}
	os.Exit(code)
}

// House is a session manager with all that it needs, in a directory of its own.
type House struct {
	*session.Manager
	Dir  string
	Shim *shim.Client

	// Configure, when set, has a word before each Recover.
	Configure func(*session.Manager)
}

// New opens a house that is cleared away when the test ends.
func New(t testing.TB) *House {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := shim.Shutdown(ctx, dir); err != nil {
			t.Error(err)
		}
	})
	h := &House{Dir: dir}
	h.open(t)
	t.Cleanup(func() { h.Leave(t) })
	return h
}

func (h *House) open(t testing.TB) {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	db, err := store.Open(t.Context(), h.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if h.Shim, err = shim.Open(t.Context(), shim.Options{Dir: h.Dir, Log: log}); err != nil {
		t.Fatal(err)
	}
	h.Manager = &session.Manager{
		Store: db, Log: log, Storage: &session.Storage{Dir: filepath.Join(h.Dir, "storage")}, PingEvery: 20 * time.Millisecond,
		Warm: &warm.Starter{Driver: h.Shim, Isolation: sandbox.Kernel, LogDir: filepath.Join(h.Dir, "logs"), Region: "us-east-1", Log: log},
	}
	h.SleepDir = filepath.Join(h.Dir, "sleep")
	if h.Configure != nil {
		h.Configure(h.Manager)
	}
	if err := h.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Leave closes the house the way a stopped server does: the sandboxes live on.
func (h *House) Leave(t testing.TB) {
	t.Helper()
	h.Close()
	if err := errors.Join(h.Shim.Close(), h.Store.Close()); err != nil {
		t.Error(err)
	}
}

// Restart closes the house and opens it again, as the next server does.
func (h *House) Restart(t testing.TB) {
	t.Helper()
	h.Leave(t)
	h.open(t)
}

// Reopen opens a house that was left, after a change to its rows; nil is none.
func (h *House) Reopen(t testing.TB, change func(*store.Tx) error) {
	t.Helper()
	if change != nil {
		db, err := store.Open(t.Context(), h.Dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(db.Update(t.Context(), change), db.Close()); err != nil {
			t.Fatal(err)
		}
	}
	h.open(t)
}

// Version puts a runtime with one version into the store: the agent of this package, with lifecycles
// that a test can wait for; an hour where they are zero.
func (h *House) Version(t testing.TB, l moorage.Lifecycle) moorage.Version {
	t.Helper()
	return h.Put(t, moorage.Config{Lifecycle: l}, &moorage.Program{Root: Image(t), Args: []string{"/agent"}})
}

// RuntimeID is the runtime that Put puts.
const RuntimeID = "demo-abcdefghij"

// Put puts a runtime with one version into the store.
func (h *House) Put(t testing.TB, config moorage.Config, program *moorage.Program) moorage.Version {
	t.Helper()
	for _, d := range []*time.Duration{&config.Lifecycle.Idle, &config.Lifecycle.Max} {
		if *d == 0 {
			*d = time.Hour
		}
	}
	now := time.Now()
	v := moorage.Version{RuntimeID: RuntimeID, Number: 1, Status: moorage.Ready, CreatedAt: now, UpdatedAt: now, Config: config, Program: program}
	rt := moorage.Runtime{ID: RuntimeID, Name: "demo", ARN: "arn:demo", Latest: 1, Status: moorage.Ready, CreatedAt: now, UpdatedAt: now}
	err := h.Store.Update(t.Context(), func(tx *store.Tx) error { return errors.Join(tx.PutRuntime(rt), tx.PutVersion(v)) })
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Ended waits until the session is on record as ended and returns why.
func (h *House) Ended(t testing.TB, id string) string {
	t.Helper()
	var s moorage.Session
	Eventually(t, "session "+id+" ends", func() bool {
		err := h.Store.View(t.Context(), func(tx *store.Tx) (err error) { s, err = tx.Session(id); return err })
		if err != nil {
			t.Fatal(err)
		}
		return !s.EndedAt.IsZero()
	})
	return s.EndReason
}

// Eventually waits until something is so, for 20 seconds at most.
func Eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-tick.C {
		if so() {
			return
		}
	}
	t.Fatalf("it never came to pass that %s", what)
}

var agent struct {
	once sync.Once
	dir  string
	err  error
}

// Image builds the agent, once per test process, and returns its EROFS image.
func Image(t testing.TB) string {
	t.Helper()
	mkfs, err := exec.LookPath("mkfs.erofs")
	if err != nil {
		t.Skip("needs mkfs.erofs")
	}
	agent.once.Do(func() { agent.err = build(mkfs) })
	if agent.err != nil {
		t.Fatal("build the agent:", agent.err)
	}
	return filepath.Join(agent.dir, "root.erofs")
}

// Agent builds the agent and returns the host path of its static program. With the arguments "exit N"
// it says its last words and exits at once; with "never" it never listens.
func Agent(t testing.TB) string {
	return filepath.Join(filepath.Dir(Image(t)), "root", "agent")
}

func build(mkfs string) (err error) {
	if agent.dir, err = os.MkdirTemp("", "moorage-agent-"); err != nil {
		return err
	}
	root := filepath.Join(agent.dir, "root")
	for _, dir := range []string{"tmp", "mnt", "proc", "sys", "dev", "etc"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return err
		}
	}
	compile := exec.Command("go", "build", "-o", filepath.Join(root, "agent"), "github.com/moorage-dev/moorage/internal/session/sessiontest/testdata/agent")
	compile.Env = append(os.Environ(), "CGO_ENABLED=0")
	pack := exec.Command(mkfs, "--quiet", "-E", "noinline_data", filepath.Join(agent.dir, "root.erofs"), root)
	if err := addShell(root); err != nil {
		return err
	}
	for _, cmd := range []*exec.Cmd{compile, pack} {
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return err
		}
	}
	return os.Chmod(agent.dir, 0o755)
}

// addShell copies this machine's bash with the libraries that it needs; without one there is none.
func addShell(root string) error {
	const bash = "/bin/bash"
	out, err := exec.Command("ldd", bash).Output()
	if err != nil {
		return nil
	}
	files := append(strings.Fields(string(out)), bash)
	for _, name := range files {
		if !strings.HasPrefix(name, "/") {
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(root, name), data, 0o755); err != nil {
			return err
		}
	}
	return nil
}
