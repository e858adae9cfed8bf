package session_test

import (
	"sync"
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/session"
	"github.com/moorage-dev/moorage/internal/session/sessiontest"
)

// drowsyHouse is a house whose sessions are paused, and fall asleep, after so long.
func drowsyHouse(t *testing.T, pause, sleep time.Duration) *house {
	t.Helper()
	h := newHouse(t)
	h.Configure = func(m *session.Manager) {
		m.PauseAfter, m.SleepAfter, m.PingEvery = pause, sleep, 50*time.Millisecond
		m.Memory = func() (int64, int64) { return 1 << 40, 1 << 40 }
	}
	h.Restart(t)
	return h
}

func TestPause_idleSessionsStandStillUntilTheNextCall(t *testing.T) {
	h := drowsyHouse(t, 200*time.Millisecond, time.Hour)
	v := version(t, h, moorage.Lifecycle{})
	k := key("alice", "one")
	add(t, h, k, v)
	id := h.List()[0].ID
	for n := 2; n < 5; n++ {
		awaitState(t, h, id, moorage.Paused)
		if boxes(t, h) != 1 || h.Stats(t.Context(), id).MemoryBytes == 0 {
			t.Error("a paused session has no memory")
		}
		began := time.Now()
		if got := add(t, h, k, v); got != n {
			t.Errorf("memory says %d, want %d", got, n)
		}
		t.Logf("call %d answered in %v", n, time.Since(began))
	}
	if s := h.List()[0]; s.ID != id || s.Sleeps != 0 {
		t.Errorf("it is %+v", s)
	}
}

func TestPause_notWhileSomethingGoesOn(t *testing.T) {
	h := drowsyHouse(t, 200*time.Millisecond, time.Hour)
	v := version(t, h, moorage.Lifecycle{})
	open, spinning := acquire(t, h, key("alice", "open"), v), acquire(t, h, key("alice", "spinning"), v)
	defer open.Release()
	ask(t, spinning, "/spin")
	spinning.Release()
	witness := acquire(t, h, key("alice", "witness"), v)
	witness.Release()
	awaitState(t, h, witness.Session.ID, moorage.Paused)
	for _, l := range []*session.Lease{open, spinning} {
		if state := stateOf(h, l.Session.ID); state == moorage.Paused {
			t.Errorf("%s is paused", l.Session.CallerID)
		}
	}
}

func TestPause_thenSleep(t *testing.T) {
	h := drowsyHouse(t, 100*time.Millisecond, 2*time.Second)
	v := version(t, h, moorage.Lifecycle{})
	k := key("alice", "one")
	add(t, h, k, v)
	id := h.List()[0].ID
	awaitState(t, h, id, moorage.Paused)
	awaitState(t, h, id, moorage.Asleep)
	if n := add(t, h, k, v); n != 2 {
		t.Errorf("memory says %d", n)
	}
	awaitState(t, h, id, moorage.Paused)
	sleep(t, h, id)
	awaitState(t, h, id, moorage.Asleep)
	if n := add(t, h, k, v); n != 3 {
		t.Errorf("memory says %d", n)
	}
}

func TestPause_survivesARestartOfTheServer(t *testing.T) {
	h := drowsyHouse(t, 150*time.Millisecond, time.Hour)
	v := version(t, h, moorage.Lifecycle{})
	k := key("alice", "one")
	add(t, h, k, v)
	id := h.List()[0].ID
	awaitState(t, h, id, moorage.Paused)
	h.Restart(t)
	if n := add(t, h, k, v); n != 2 {
		t.Errorf("memory says %d", n)
	}
	awaitState(t, h, id, moorage.Paused)
	if err := h.Stop(t.Context(), k); err != nil {
		t.Error(err)
	}
	if n := boxes(t, h); n != 0 {
		t.Errorf("%d sandboxes are left", n)
	}
}

func TestPause_clocksGoOn(t *testing.T) {
	h := drowsyHouse(t, 100*time.Millisecond, time.Hour)
	var ids []string
	for name, l := range map[string]moorage.Lifecycle{"idle": {Idle: 4 * time.Second}, "lifetime": {Max: 4 * time.Second}} {
		lease := acquire(t, h, key("alice", name), version(t, h, l))
		lease.Release()
		ids = append(ids, lease.Session.ID)
	}
	for _, id := range ids {
		awaitState(t, h, id, moorage.Paused)
	}
	for _, id := range ids {
		t.Log("it ended because it", ended(t, h, id))
	}
}

// Calls, naps and pauses of one session in any order lose nothing.
func TestPause_duringCallsLosesNone(t *testing.T) {
	h := drowsyHouse(t, time.Millisecond, 20*time.Millisecond)
	v := version(t, h, moorage.Lifecycle{})
	k := key("alice", "one")
	add(t, h, k, v)
	id := h.List()[0].ID
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 25 {
				l, err := h.Acquire(t.Context(), k, v)
				if err != nil {
					t.Error(err)
					return
				}
				ask(t, l, "/add")
				l.Release()
			}
		})
	}
	all.Go(func() {
		for range 10 {
			h.SleepID(t.Context(), id) // or a Conflict
			h.WakeID(t.Context(), id)
		}
	})
	all.Wait()
	if n := add(t, h, k, v); n != 102 || h.List()[0].ID != id {
		t.Errorf("memory says %d", n)
	}
}

func TestLongSleep_outlastsTheClocks(t *testing.T) {
	h := newHouse(t)
	var long time.Duration
	h.Configure = func(m *session.Manager) { m.LongSleep = func(string) time.Duration { return long } }
	long = time.Hour
	h.Restart(t)
	v := version(t, h, moorage.Lifecycle{Idle: time.Second, Max: 2 * time.Second})
	k := key("alice", "one")
	add(t, h, k, v)
	id := h.List()[0].ID
	sleep(t, h, id)
	past := time.Now().Add(2500 * time.Millisecond)
	sessiontest.Eventually(t, "both clocks ran out", func() bool { return time.Now().After(past) })
	h.Restart(t)
	if state := stateOf(h, id); state != moorage.Asleep {
		t.Fatalf("it is %q", state)
	}
	if n := add(t, h, k, v); n != 2 {
		t.Errorf("memory says %d", n)
	}
	if reason := ended(t, h, id); reason != "idle for 1s" && reason != "reached its maximum lifetime of 2s" {
		t.Errorf("awake, it ended because it %s", reason)
	}
	h.Leave(t)
	long = 500 * time.Millisecond
	h.Reopen(t, nil)
	add(t, h, k, v)
	id = h.List()[0].ID
	sleep(t, h, id)
	if reason := ended(t, h, id); reason != "slept for 500ms" {
		t.Errorf("asleep, it ended because it %s", reason)
	}
}
