package session_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
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

func TestMain(m *testing.M) {
	shim.Enter()
	code := m.Run()
	sandboxtest.Cleanup()
	os.Exit(code)
}

// house is a manager with real sandboxes and a real store, in a directory of its own.
type house struct {
	*session.Manager
	dir   string
	shim  *shim.Client
	store *store.DB
}

const runtimeID = "demo-abcdefghij"

// open starts a house in dir, as a server does that comes back to it.
func open(t *testing.T, dir string) *house {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	db, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	client, err := shim.Open(t.Context(), shim.Options{Dir: dir, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	h := &house{dir: dir, shim: client, store: db, Manager: &session.Manager{
		Store: db, Log: log, Storage: &session.Storage{Dir: filepath.Join(dir, "storage")}, PingEvery: 20 * time.Millisecond,
		Warm: &warm.Starter{Driver: client, Isolation: sandbox.Kernel, LogDir: filepath.Join(dir, "logs"), Region: "us-east-1", Log: log},
	}}
	if err := h.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	return h
}

// leave closes the house the way a stopped server does: the sandboxes live on.
func (h *house) leave(t *testing.T) {
	t.Helper()
	h.Close()
	if err := errors.Join(h.shim.Close(), h.store.Close()); err != nil {
		t.Error(err)
	}
}

// newHouse opens a house that is cleared away when the test ends.
func newHouse(t *testing.T) *house {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := shim.Shutdown(ctx, dir); err != nil {
			t.Error(err)
		}
	})
	h := open(t, dir)
	t.Cleanup(func() { h.leave(t) })
	return h
}

// version is the test agent in a mode, with lifecycles that a test can wait for.
func version(t *testing.T, h *house, lifecycle moorage.Lifecycle, args ...string) moorage.Version {
	t.Helper()
	image := sandboxtest.BuildImage(t)
	if image.EROFS == "" {
		t.Skip("needs mkfs.erofs")
	}
	if lifecycle.Idle == 0 {
		lifecycle.Idle = time.Hour
	}
	if lifecycle.Max == 0 {
		lifecycle.Max = time.Hour
	}
	now := time.Now()
	v := moorage.Version{RuntimeID: runtimeID, Number: 1, Status: moorage.Ready, CreatedAt: now, UpdatedAt: now,
		Config:  moorage.Config{Lifecycle: lifecycle},
		Program: &moorage.Program{Root: image.EROFS, Args: append([]string{"/agent"}, args...)}}
	rt := moorage.Runtime{ID: runtimeID, Name: "demo", ARN: "arn:demo", Latest: 1, Status: moorage.Ready, CreatedAt: now, UpdatedAt: now}
	err := h.store.Update(t.Context(), func(tx *store.Tx) error { return errors.Join(tx.PutRuntime(rt), tx.PutVersion(v)) })
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func key(owner, id string) session.Key {
	return session.Key{RuntimeID: runtimeID, Endpoint: moorage.DefaultEndpoint, Owner: owner, CallerID: id}
}

func acquire(t *testing.T, h *house, k session.Key, v moorage.Version) *session.Lease {
	t.Helper()
	l, err := h.Acquire(t.Context(), k, v)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// ask sends one request to the agent of a lease.
func ask(t *testing.T, l *session.Lease, path string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://agent"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := l.Agent.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("GET %s: %d %s %v", path, resp.StatusCode, body, err)
	}
	return string(body)
}

// ended waits until the session is on record as ended and returns why.
func ended(t *testing.T, h *house, id string) string {
	t.Helper()
	var s moorage.Session
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-time.After(5 * time.Millisecond) {
		err := h.store.View(t.Context(), func(tx *store.Tx) (err error) { s, err = tx.Session(id); return err })
		if err != nil {
			t.Fatal(err)
		}
		if !s.EndedAt.IsZero() {
			return s.EndReason
		}
	}
	t.Fatalf("session %s still lives: %+v", id, s)
	return ""
}

func TestAcquire_concurrentFirstCallsShareOneSandbox(t *testing.T) {
	h := newHouse(t)
	v := version(t, h, moorage.Lifecycle{})
	var all sync.WaitGroup
	boxes := make([]string, 8)
	for i := range boxes {
		all.Go(func() {
			l, err := h.Acquire(t.Context(), key("alice", "one"), v)
			if err != nil {
				t.Error(err)
				return
			}
			boxes[i] = l.Agent.Sandbox.Info().ID
			l.Release()
		})
	}
	all.Wait()
	for _, b := range boxes {
		if b == "" || b != boxes[0] {
			t.Fatalf("the callers got different sandboxes: %v", boxes)
		}
	}
	if list := h.List(); len(list) != 1 || list[0].State != moorage.Idle || list[0].StartedBy != "cold" || list[0].StartTook <= 0 {
		t.Errorf("sessions = %+v, want one that is idle and was started cold", list)
	}
}

func TestAcquire_ownersWithTheSameIDNeverMeet(t *testing.T) {
	h := newHouse(t)
	v := version(t, h, moorage.Lifecycle{})
	a, b := acquire(t, h, key("alice", "same"), v), acquire(t, h, key("bob", "same"), v)
	defer a.Release()
	defer b.Release()
	if a.Agent.Sandbox.Info().ID == b.Agent.Sandbox.Info().ID || a.Session.ID == b.Session.ID {
		t.Error("two owners share a session")
	}
}

func TestAcquire_failedStartSaysWhyAndLeavesNothing(t *testing.T) {
	h := newHouse(t)
	v := version(t, h, moorage.Lifecycle{}, "exit", "3")
	_, err := h.Acquire(t.Context(), key("alice", "one"), v)
	if moorage.CodeOf(err) != moorage.AgentFailed {
		t.Fatalf("Acquire = %v, want AgentFailed", err)
	}
	for _, want := range []string{"status 3", "GET /ping on port 8080", "last words"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not mention %q", err, want)
		}
	}
	if list := h.List(); len(list) != 0 {
		t.Errorf("sessions left: %+v", list)
	}
	if boxes, err := h.shim.List(t.Context()); err != nil || len(boxes) != 0 {
		t.Errorf("sandboxes left: %v, %v", boxes, err)
	}
}

func TestAcquire_agentThatNeverBindsIsGivenUp(t *testing.T) {
	h := newHouse(t)
	h.Warm.Patience = 300 * time.Millisecond
	_, err := h.Acquire(t.Context(), key("alice", "one"), version(t, h, moorage.Lifecycle{}, "never-bind"))
	if moorage.CodeOf(err) != moorage.AgentFailed || !strings.Contains(err.Error(), "Runtime initialization time exceeded") {
		t.Fatalf("Acquire = %v", err)
	}
}

func TestAcquire_limit(t *testing.T) {
	h := newHouse(t)
	h.Limit = 1
	v := version(t, h, moorage.Lifecycle{})
	acquire(t, h, key("alice", "one"), v).Release()
	if _, err := h.Acquire(t.Context(), key("alice", "two"), v); moorage.CodeOf(err) != moorage.Quota {
		t.Fatalf("Acquire = %v, want Quota", err)
	}
}

func TestIdleTimeout_endsTheSessionAndItsIDCanBeUsedAgain(t *testing.T) {
	h := newHouse(t)
	v := version(t, h, moorage.Lifecycle{Idle: 150 * time.Millisecond})
	l := acquire(t, h, key("alice", "one"), v)
	first := l.Session.ID
	l.Release()
	if reason := ended(t, h, first); !strings.Contains(reason, "idle for 150ms") {
		t.Errorf("ended because %q", reason)
	}
	again := acquire(t, h, key("alice", "one"), v)
	defer again.Release()
	if again.Session.ID == first {
		t.Error("the internal id was used twice")
	}
}

func TestMaxLifetime_endsEvenABusySession(t *testing.T) {
	h := newHouse(t)
	l := acquire(t, h, key("alice", "one"), version(t, h, moorage.Lifecycle{Max: 1500 * time.Millisecond}))
	defer l.Release()
	select {
	case <-l.Ended.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("the lease outlives the maximum lifetime")
	}
	if reason := ended(t, h, l.Session.ID); !strings.Contains(reason, "maximum lifetime") {
		t.Errorf("ended because %q", reason)
	}
}

func TestStop_endsTheSessionAndItsStreams(t *testing.T) {
	h := newHouse(t)
	k := key("alice", "one")
	l := acquire(t, h, k, version(t, h, moorage.Lifecycle{}))
	defer l.Release()
	if err := h.Stop(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	if cause := l.Failure(t.Context()); cause == nil || !strings.Contains(cause.Error(), "stopped by its caller") {
		t.Errorf("the call in progress learns %v", cause)
	}
	if err := h.Stop(t.Context(), k); moorage.CodeOf(err) != moorage.NotFound {
		t.Errorf("the second Stop = %v, want NotFound", err)
	}
	if boxes, err := h.shim.List(t.Context()); err != nil || len(boxes) != 0 {
		t.Errorf("sandboxes left: %v, %v", boxes, err)
	}
}

func TestDeath_isRecordedWithItsCause(t *testing.T) {
	h := newHouse(t)
	l := acquire(t, h, key("alice", "one"), version(t, h, moorage.Lifecycle{}, "serve"))
	defer l.Release()
	r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://agent/exit?code=7", nil)
	l.Agent.RoundTrip(r)
	if cause := l.Failure(t.Context()); moorage.CodeOf(cause) != moorage.AgentFailed {
		t.Fatalf("the call in progress learns %v", cause)
	}
	if reason := ended(t, h, l.Session.ID); !strings.Contains(reason, "7") {
		t.Errorf("ended because %q, want the exit status", reason)
	}
}

func TestRecover_sessionsLiveOnWithTheirMemory(t *testing.T) {
	h := newHouse(t)
	v := version(t, h, moorage.Lifecycle{})
	l := acquire(t, h, key("alice", "one"), v)
	ask(t, l, "/write?path=/tmp/note&bytes=8")
	id := l.Session.ID
	l.Release()
	h.leave(t)

	again := open(t, h.dir)
	h.Manager, h.shim, h.store = again.Manager, again.shim, again.store // the test's cleanup closes the second house
	if list := h.List(); len(list) != 1 || list[0].ID != id {
		t.Fatalf("sessions after the restart = %+v", list)
	}
	l = acquire(t, h, key("alice", "one"), v)
	defer l.Release()
	if l.Session.ID != id || !strings.Contains(ask(t, l, "/read?path=/tmp/note"), "wwwwwwww") {
		t.Error("the session came back without its files")
	}
}

func TestRecover_rowsAndSandboxesThatLostEachOtherAreCleared(t *testing.T) {
	h := newHouse(t)
	v := version(t, h, moorage.Lifecycle{})
	l := acquire(t, h, key("alice", "one"), v)
	l.Release()
	lost := moorage.Session{ID: moorage.NewSessionID(), CallerID: "gone", RuntimeID: runtimeID, Endpoint: "DEFAULT", SandboxID: sandbox.NewID(),
		State: moorage.Idle, Version: 1, CreatedAt: time.Now()}
	orphan, err := h.shim.Create(t.Context(), sandbox.Spec{ID: sandbox.NewID(), Labels: map[string]string{"session": "nobody"},
		Root: sandbox.Root{EROFS: v.Program.Root}, Process: sandbox.ProcessSpec{Args: []string{"/agent"}}, LogDir: filepath.Join(h.dir, "logs", "orphan")})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.store.Update(t.Context(), func(tx *store.Tx) error { return tx.PutSession(lost) }); err != nil {
		t.Fatal(err)
	}
	h.leave(t)

	again := open(t, h.dir)
	h.Manager, h.shim, h.store = again.Manager, again.shim, again.store
	if reason := ended(t, h, lost.ID); !strings.Contains(reason, "gone") {
		t.Errorf("the lost session ended because %q", reason)
	}
	boxes, err := h.shim.List(t.Context())
	if err != nil || len(boxes) != 1 || boxes[0].Info().ID == orphan.Info().ID {
		t.Errorf("sandboxes = %v, %v; want the session's alone", fmt.Sprint(len(boxes)), err)
	}
}
