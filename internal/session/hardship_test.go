package session_test

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox/shim"
	"github.com/moorage-dev/moorage/internal/session/sessiontest"
	"github.com/moorage-dev/moorage/internal/store"
)

func TestHardship_theShimEndsWhileASessionSleeps(t *testing.T) {
	h := sleepyHouse(t, time.Hour)
	v := version(t, h, moorage.Lifecycle{})
	asleep, awake := key("alice", "asleep"), key("alice", "awake")
	add(t, h, asleep, v)
	id := h.List()[0].ID
	sleep(t, h, id)
	l := acquire(t, h, awake, v)
	l.Release()
	if err := shim.Shutdown(t.Context(), h.Dir); err != nil {
		t.Fatal(err)
	}
	ended(t, h, l.Session.ID)
	if n := add(t, h, asleep, v); n != 2 {
		t.Errorf("what slept says %d", n)
	}
	if n := add(t, h, awake, v); n != 1 {
		t.Errorf("what was awake says %d", n)
	}
}

func TestHardship_aPausedSandboxDies(t *testing.T) {
	h := drowsyHouse(t, 100*time.Millisecond, time.Hour)
	v := version(t, h, moorage.Lifecycle{})
	k := key("alice", "one")
	add(t, h, k, v)
	id := h.List()[0].ID
	awaitState(t, h, id, moorage.Paused)
	list, err := h.Shim.List(t.Context())
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	if err := list[0].Stop(t.Context(), 0); err != nil { // behind the manager's back
		t.Fatal(err)
	}
	t.Log("it ended because it", ended(t, h, id))
	if n := add(t, h, k, v); n != 1 {
		t.Errorf("memory says %d", n)
	}
}

func TestHardship_aThousandCallsToOneSleepingSession(t *testing.T) {
	h := sleepyHouse(t, time.Hour)
	v := version(t, h, moorage.Lifecycle{})
	k := key("alice", "one")
	add(t, h, k, v)
	id := h.List()[0].ID
	sleep(t, h, id)
	var answered atomic.Int64
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() {
			l, err := h.Acquire(t.Context(), k, v)
			if err != nil {
				t.Error(err)
				return
			}
			defer l.Release()
			r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://agent/add", nil)
			resp, err := l.Agent.RoundTrip(r)
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Close()
			answered.Add(1)
		})
	}
	all.Wait()
	if n := add(t, h, k, v); n != 1002 || answered.Load() != 1000 {
		t.Errorf("memory says %d, %d were answered", n, answered.Load())
	}
	if got := h.List(); len(got) != 1 || got[0].ID != id || got[0].Sleeps != 1 {
		t.Errorf("sessions: %+v", got)
	}
}

// The machine's clock was a day ahead while the rows were written, and was set right since.
func TestHardship_theClockWasSetBack(t *testing.T) {
	h := sleepyHouse(t, time.Hour)
	v := version(t, h, moorage.Lifecycle{Idle: time.Minute})
	asleep, awake := key("alice", "asleep"), key("alice", "awake")
	add(t, h, asleep, v)
	sleep(t, h, h.List()[0].ID)
	add(t, h, awake, v)
	shift(t, h, 24*time.Hour)
	for _, s := range h.List() {
		if s.LastActiveAt.Before(time.Now().Add(time.Hour)) {
			t.Fatalf("its row is not ahead: %+v", s)
		}
	}
	for _, k := range []string{"asleep", "awake"} {
		if n := add(t, h, key("alice", k), v); n != 2 {
			t.Errorf("%s says %d", k, n)
		}
	}
	for _, s := range h.List() {
		if s.Slept < 0 || s.LastActiveAt.After(time.Now()) {
			t.Errorf("%+v", s)
		}
	}
}

// The machine was off for a day, or its clock was a day behind.
func TestHardship_theClockWasSetAhead(t *testing.T) {
	h := sleepyHouse(t, time.Hour)
	v := version(t, h, moorage.Lifecycle{Idle: time.Minute})
	var ids []string
	for _, name := range []string{"asleep", "awake"} {
		l := acquire(t, h, key("alice", name), v)
		l.Release()
		ids = append(ids, l.Session.ID)
	}
	sleep(t, h, ids[0])
	shift(t, h, -24*time.Hour)
	for _, id := range ids {
		if reason := ended(t, h, id); reason != "idle for 1m0s" {
			t.Errorf("it ended because it %s", reason)
		}
	}
	sessiontest.Eventually(t, "no sandbox is left", func() bool { return boxes(t, h) == 0 })
}

// shift restarts the server on rows whose times are so far off.
func shift(t *testing.T, h *house, by time.Duration) {
	t.Helper()
	h.Leave(t)
	h.Reopen(t, func(tx *store.Tx) error {
		rows, err := tx.LiveSessions()
		for _, row := range rows {
			row.LastActiveAt = row.LastActiveAt.Add(by)
			if !row.SleptFrom.IsZero() {
				row.SleptFrom = row.SleptFrom.Add(by)
			}
			if err := tx.PutSession(row); err != nil {
				return err
			}
		}
		return err
	})
}
