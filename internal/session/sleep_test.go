package session_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/session"
	"github.com/moorage-dev/moorage/internal/session/sessiontest"
	"golang.org/x/sys/unix"
)

// sleepyHouse is a house whose sessions fall asleep after so long.
func sleepyHouse(t *testing.T, after time.Duration) *house {
	t.Helper()
	h := newHouse(t)
	h.Configure = func(m *session.Manager) {
		m.SleepAfter, m.PingEvery = after, 100*time.Millisecond
		m.Memory = func() (int64, int64) { return 1 << 40, 1 << 40 }
	}
	h.Restart(t)
	return h
}

// stateOf is the state of a session; empty when it does not live.
func stateOf(h *house, id string) moorage.SessionState {
	for _, s := range h.List() {
		if s.ID == id {
			return s.State
		}
	}
	return ""
}

func awaitState(t *testing.T, h *house, id string, want moorage.SessionState) {
	t.Helper()
	sessiontest.Eventually(t, fmt.Sprintf("session %s is %s", id, want), func() bool { return stateOf(h, id) == want })
}

func sleep(t *testing.T, h *house, id string) {
	t.Helper()
	if err := h.SleepID(t.Context(), id); err != nil {
		t.Fatal("sleep: ", err)
	}
}

// add counts a call in the agent's memory.
func add(t *testing.T, h *house, k session.Key, v moorage.Version) int {
	t.Helper()
	l := acquire(t, h, k, v)
	defer l.Release()
	n, err := strconv.Atoi(ask(t, l, "/add"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func boxes(t *testing.T, h *house) int {
	t.Helper()
	list, err := h.Shim.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestSleep_idleSessionsFallAsleepAndTheNextCallWakesThem(t *testing.T) {
	h := sleepyHouse(t, 300*time.Millisecond)
	v := version(t, h, moorage.Lifecycle{})
	k := key("alice", "one")
	l := acquire(t, h, k, v)
	ask(t, l, "/add")
	id := l.Session.ID
	l.Release()
	awaitState(t, h, id, moorage.Asleep)
	if n := boxes(t, h); n != 0 {
		t.Errorf("%d sandboxes take memory", n)
	}
	info := h.List()[0]
	if stats := h.Stats(t.Context(), id); stats.MemoryBytes != 0 || stats.CPU == 0 || info.SleepBytes == 0 {
		t.Errorf("stats %+v, %d bytes on disk", stats, info.SleepBytes)
	}
	if n := add(t, h, k, v); n != 2 {
		t.Errorf("memory says %d", n)
	}
	info = h.List()[0]
	if info.ID != id || info.StartedBy != "cold" || info.WokeTook <= 0 || info.Sleeps != 1 || info.SleepBytes != 0 {
		t.Errorf("woke as %+v", info)
	}
	t.Logf("woke in %v", info.WokeTook)
	awaitState(t, h, id, moorage.Asleep) // and again
}

func TestSleep_notWhileSomethingGoesOn(t *testing.T) {
	h := sleepyHouse(t, 200*time.Millisecond)
	v := version(t, h, moorage.Lifecycle{})
	open, spinning := acquire(t, h, key("alice", "open"), v), acquire(t, h, key("alice", "spinning"), v)
	ask(t, spinning, "/spin")
	spinning.Release()
	defer open.Release()
	witness := acquire(t, h, key("alice", "witness"), v)
	witness.Release()
	awaitState(t, h, witness.Session.ID, moorage.Asleep)
	for _, s := range []*session.Lease{open, spinning} {
		if state := stateOf(h, s.Session.ID); state == moorage.Asleep {
			t.Errorf("%s sleeps", s.Session.CallerID)
		}
	}
	if err := h.SleepID(t.Context(), open.Session.ID); moorage.CodeOf(err) != moorage.Conflict {
		t.Errorf("with a call open: %v", err)
	}
	ask(t, open, "/add")
}

func TestSleep_survivesARestartOfTheServer(t *testing.T) {
	h := sleepyHouse(t, time.Hour)
	v := version(t, h, moorage.Lifecycle{})
	k := key("alice", "one")
	for range 3 {
		add(t, h, k, v)
	}
	id := h.List()[0].ID
	sleep(t, h, id)
	sleep(t, h, id) // twice is once
	h.Restart(t)
	if state := stateOf(h, id); state != moorage.Asleep {
		t.Fatalf("after the restart it is %q", state)
	}
	if n := add(t, h, k, v); n != 4 {
		t.Errorf("memory says %d", n)
	}
	if got := h.List()[0]; got.ID != id || got.StartedBy != "cold" {
		t.Errorf("woke as %+v", got)
	}
	h.Restart(t) // it is awake, and stays so
	if n := add(t, h, k, v); n != 5 {
		t.Errorf("memory says %d", n)
	}
}

func TestSleep_damagedSnapshotsGiveAFreshStart(t *testing.T) {
	h := sleepyHouse(t, time.Hour)
	v := version(t, h, moorage.Lifecycle{})
	for name, harm := range map[string]func(bed string) error{
		"truncated": func(bed string) error { return os.Truncate(filepath.Join(bed, "image"), 10000) },
		"changed": func(bed string) error {
			f, err := os.OpenFile(filepath.Join(bed, "image"), os.O_RDWR, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt([]byte("harm"), 50000)
			return errors.Join(err, f.Close())
		},
		"without a key": func(bed string) error { return os.Remove(filepath.Join(bed, "key")) },
		"gone":          os.RemoveAll,
	} {
		t.Run(name, func(t *testing.T) {
			k := key("alice", name)
			add(t, h, k, v)
			l := acquire(t, h, k, v)
			l.Release()
			sleep(t, h, l.Session.ID)
			if err := harm(filepath.Join(h.SleepDir, l.Session.ID)); err != nil {
				t.Fatal(err)
			}
			if n := add(t, h, k, v); n != 1 {
				t.Errorf("memory says %d", n)
			}
			if reason := ended(t, h, l.Session.ID); !strings.Contains(reason, "could not be woken") {
				t.Errorf("ended because %q", reason)
			}
			if _, err := os.Stat(filepath.Join(h.SleepDir, l.Session.ID)); !os.IsNotExist(err) {
				t.Errorf("the snapshot is still there: %v", err)
			}
		})
	}
}

func TestSleep_clocksGoOnAndStopRemovesTheSnapshot(t *testing.T) {
	h := sleepyHouse(t, 100*time.Millisecond)
	byIdle := acquire(t, h, key("alice", "idle"), version(t, h, moorage.Lifecycle{Idle: 2 * time.Second}))
	byLife := acquire(t, h, key("alice", "life"), version(t, h, moorage.Lifecycle{Max: 3 * time.Second}))
	byStop := acquire(t, h, key("alice", "stop"), version(t, h, moorage.Lifecycle{}))
	for _, l := range []*session.Lease{byIdle, byLife, byStop} {
		l.Release()
		awaitState(t, h, l.Session.ID, moorage.Asleep)
	}
	if err := h.StopID(t.Context(), byStop.Session.ID, "stopped by an operator"); err != nil {
		t.Fatal(err)
	}
	for l, want := range map[*session.Lease]string{byIdle: "idle for 2s", byLife: "maximum lifetime", byStop: "operator"} {
		if reason := ended(t, h, l.Session.ID); !strings.Contains(reason, want) {
			t.Errorf("%s ended because %q", l.Session.CallerID, reason)
		}
	}
	if left, _ := os.ReadDir(h.SleepDir); len(left) != 0 {
		t.Errorf("snapshots are left: %v", left)
	}
}

func TestSleep_concurrentCallsShareOneWake(t *testing.T) {
	h := sleepyHouse(t, time.Hour)
	v := version(t, h, moorage.Lifecycle{})
	k := key("alice", "one")
	add(t, h, k, v)
	id := h.List()[0].ID
	sleep(t, h, id)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { add(t, h, k, v) })
	}
	all.Wait()
	if n := add(t, h, k, v); n != 52 {
		t.Errorf("memory says %d of 52 calls", n)
	}
	if got := h.List(); len(got) != 1 || got[0].ID != id || got[0].Sleeps != 1 {
		t.Errorf("sessions: %+v", got)
	}
}

func TestSleep_amidCallsLosesNone(t *testing.T) {
	h := sleepyHouse(t, time.Hour)
	v := version(t, h, moorage.Lifecycle{})
	k := key("alice", "one")
	add(t, h, k, v)
	id := h.List()[0].ID
	stop := make(chan struct{})
	var napper sync.WaitGroup
	napper.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			switch err := h.SleepID(t.Context(), id); moorage.CodeOf(err) {
			case "", moorage.Conflict, moorage.Busy:
			default:
				t.Error(err)
				return
			}
		}
	})
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for range 15 {
				add(t, h, k, v)
				<-time.After(rand.N(60 * time.Millisecond)) // traffic with gaps to fall asleep in
			}
		})
	}
	callers.Wait()
	close(stop)
	napper.Wait()
	if n := add(t, h, k, v); n != 62 {
		t.Errorf("memory says %d of 62 calls", n)
	}
	if got := h.List(); len(got) != 1 || got[0].ID != id || got[0].Sleeps == 0 {
		t.Errorf("sessions: %+v", got)
	} else {
		t.Logf("it slept %d times", got[0].Sleeps)
	}
}

func TestSleep_twentySessionsTakeNoProcess(t *testing.T) {
	h := sleepyHouse(t, time.Hour)
	v := version(t, h, moorage.Lifecycle{})
	const n = 20
	for i := range n {
		k := key("alice", strconv.Itoa(i))
		for range i + 1 {
			add(t, h, k, v)
		}
	}
	var bytes int64
	for _, s := range h.List() {
		sleep(t, h, s.ID)
	}
	for _, s := range h.List() {
		bytes += s.SleepBytes
	}
	if left := boxes(t, h); left != 0 {
		t.Errorf("%d sandboxes are up", left)
	}
	if engines, _ := filepath.Glob(filepath.Join(h.Dir, "engines", "*", "bundles", "*")); len(engines) != 0 {
		t.Errorf("bundles are left: %v", engines)
	}
	t.Logf("%d sessions take %d KiB each on disk", n, bytes/n>>10)
	for i := range n {
		if got := add(t, h, key("alice", strconv.Itoa(i)), v); got != i+2 {
			t.Errorf("session %d says %d", i, got)
		}
	}
}

func TestSleep_fullDiskLeavesTheSessionUp(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: mounts a small file system")
	}
	full := t.TempDir()
	if err := unix.Mount("tmpfs", full, "tmpfs", 0, "size=1m"); err != nil {
		t.Skip("cannot mount a small file system:", err)
	}
	defer unix.Unmount(full, unix.MNT_DETACH)
	h := newHouse(t)
	h.Configure = func(m *session.Manager) { m.SleepDir = full }
	h.Restart(t)
	v := version(t, h, moorage.Lifecycle{})
	k := key("alice", "one")
	add(t, h, k, v)
	if err := h.SleepID(t.Context(), h.List()[0].ID); moorage.CodeOf(err) != moorage.Unavailable {
		t.Errorf("sleep: %v", err)
	}
	if n := add(t, h, k, v); n != 2 {
		t.Errorf("memory says %d", n)
	}
	if left, _ := os.ReadDir(full); len(left) != 0 {
		t.Errorf("half a snapshot is left: %v", left)
	}
}

func TestPressure_longestIdleSleepsFirst(t *testing.T) {
	var short atomic.Bool
	h := newHouse(t)
	h.Configure = func(m *session.Manager) {
		m.SleepAfter = time.Hour
		m.Memory = func() (int64, int64) {
			if short.Load() {
				return 9 << 30, 100 << 30
			}
			return 11 << 30, 100 << 30
		}
	}
	h.Restart(t)
	v := version(t, h, moorage.Lifecycle{})
	first, second := acquire(t, h, key("alice", "first"), v), acquire(t, h, key("alice", "second"), v)
	first.Release()
	second.Release()
	short.Store(true)
	third := acquire(t, h, key("alice", "third"), v) // its start makes room for it
	defer third.Release()
	if state := stateOf(h, first.Session.ID); state != moorage.Asleep {
		t.Errorf("the longest idle is %s", state)
	}
	awaitState(t, h, second.Session.ID, moorage.Asleep) // by and by
	if state := stateOf(h, third.Session.ID); state != moorage.Active {
		t.Errorf("the one with a call is %s", state)
	}
}

func TestSleep_goesOnWhileThereIsNoMemoryToWake(t *testing.T) {
	var available atomic.Int64
	available.Store(1 << 40)
	h := newHouse(t)
	h.Configure = func(m *session.Manager) { m.Memory = func() (int64, int64) { return available.Load(), 1 << 40 } }
	h.Restart(t)
	v := version(t, h, moorage.Lifecycle{})
	k := key("alice", "one")
	add(t, h, k, v)
	id := h.List()[0].ID
	sleep(t, h, id)
	available.Store(1 << 20)
	if _, err := h.Acquire(t.Context(), k, v); moorage.CodeOf(err) != moorage.Quota {
		t.Errorf("without memory: %v", err)
	}
	if state := stateOf(h, id); state != moorage.Asleep {
		t.Errorf("it is %s", state)
	}
	available.Store(1 << 40)
	if n := add(t, h, k, v); n != 2 {
		t.Errorf("memory says %d", n)
	}
}

func TestAcquire_atTheLimitPutsAnIdleSessionToSleep(t *testing.T) {
	h := newHouse(t)
	h.Configure = func(m *session.Manager) { m.SleepAfter, m.Limit = time.Hour, 2 }
	h.Restart(t)
	v := version(t, h, moorage.Lifecycle{})
	for i := range 4 {
		add(t, h, key("alice", strconv.Itoa(i)), v)
	}
	for i := range 4 {
		if n := add(t, h, key("alice", strconv.Itoa(i)), v); n != 2 {
			t.Errorf("session %d says %d", i, n)
		}
		if up := boxes(t, h); up > 2 {
			t.Errorf("%d sandboxes are up", up)
		}
	}
	one, two := acquire(t, h, key("alice", "0"), v), acquire(t, h, key("alice", "1"), v)
	defer one.Release()
	defer two.Release()
	if _, err := h.Acquire(t.Context(), key("alice", "5"), v); moorage.CodeOf(err) != moorage.Quota {
		t.Errorf("with nobody who can sleep: %v", err)
	}
}

func TestStop_duringAWake(t *testing.T) {
	h := sleepyHouse(t, time.Hour)
	v := version(t, h, moorage.Lifecycle{})
	k := key("alice", "one")
	for range 5 {
		add(t, h, k, v)
		id := h.List()[0].ID
		sleep(t, h, id)
		var both sync.WaitGroup
		both.Go(func() { h.WakeID(t.Context(), id) })
		both.Go(func() { h.StopID(t.Context(), id, "stopped by an operator") })
		both.Wait()
		if reason := ended(t, h, id); !strings.Contains(reason, "operator") {
			t.Errorf("ended because %q", reason)
		}
		if n := boxes(t, h); n != 0 {
			t.Errorf("%d sandboxes are left", n)
		}
		if n := add(t, h, k, v); n != 1 {
			t.Errorf("memory says %d", n)
		}
		if err := h.Stop(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
}
