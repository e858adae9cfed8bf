package session_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/store"
	"github.com/moorage-dev/moorage/internal/warm"
)

// withPools gives the house pools that keep at least floor sandboxes of v ready, and returns what
// stops them.
func withPools(t *testing.T, h *house, floor int, v moorage.Version) (stop func()) {
	t.Helper()
	h.Pools = &warm.Pools{Starter: h.Warm, Room: h.Room, Log: h.Log}
	h.Pools.Serve(v.RuntimeID, warm.Settings{Floor: floor}, []moorage.Version{v})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { h.Pools.Run(ctx) })
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(stop)
	awaitReady(t, h, floor)
	return stop
}

func awaitReady(t *testing.T, h *house, n int) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; <-time.After(time.Millisecond) {
		if s := h.Pools.State(runtimeID); len(s) == 1 && s[0].Ready == n && s[0].Filling == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the pools are %+v, want %d ready", h.Pools.State(runtimeID), n)
		}
	}
}

func TestAcquire_secondSessionComesFromThePool(t *testing.T) {
	h := newHouse(t)
	v := version(t, h, moorage.Lifecycle{})
	withPools(t, h, 0, v)
	cold := acquire(t, h, key("alice", "one"), v)
	defer cold.Release()
	awaitReady(t, h, 1)
	pooled := acquire(t, h, key("alice", "two"), v)
	defer pooled.Release()
	if cold.Agent.StartedBy != "cold" || pooled.Agent.StartedBy != "pool" {
		t.Errorf("started by %q and %q", cold.Agent.StartedBy, pooled.Agent.StartedBy)
	}
	var row moorage.Session
	err := h.Store.View(t.Context(), func(tx *store.Tx) (err error) { row, err = tx.Session(pooled.Session.ID); return err })
	info := pooled.Agent.Sandbox.Info()
	if err != nil || row.SandboxID != info.ID || info.Labels["session"] != row.ID || info.Labels["pool"] != "" {
		t.Errorf("the row names sandbox %s, it is %s with labels %v, %v", row.SandboxID, info.ID, info.Labels, err)
	}
	if got := ask(t, pooled, "/ping"); !strings.Contains(got, "Healthy") {
		t.Errorf("the agent says %q", got)
	}
}

func TestAcquire_sessionsAtOnceNeverShareAReadySandbox(t *testing.T) {
	h := newHouse(t)
	v := version(t, h, moorage.Lifecycle{})
	withPools(t, h, 3, v)
	var all sync.WaitGroup
	boxes := make(chan string, 6)
	for i := range cap(boxes) {
		all.Go(func() {
			l, err := h.Acquire(t.Context(), key("alice", string(rune('a'+i))), v)
			if err != nil {
				t.Error(err)
				return
			}
			boxes <- l.Agent.Sandbox.Info().ID
			l.Release()
		})
	}
	all.Wait()
	close(boxes)
	seen := map[string]bool{}
	for id := range boxes {
		seen[id] = true
	}
	if len(seen) != 6 {
		t.Errorf("six sessions have %d sandboxes", len(seen))
	}
}

func TestAcquire_ofADeadReadySandboxStartsCold(t *testing.T) {
	h := newHouse(t)
	v := version(t, h, moorage.Lifecycle{})
	stop := withPools(t, h, 1, v)
	stop() // nobody watches it any more
	boxes, err := h.Shim.List(t.Context())
	if err != nil || len(boxes) != 1 {
		t.Fatal(boxes, err)
	}
	again := &warm.Pools{Starter: h.Warm, Room: h.Room, Log: h.Log}
	again.Serve(runtimeID, warm.Settings{Floor: 1}, []moorage.Version{v})
	h.Pools = again
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { again.Run(ctx) })
	defer running.Wait()
	defer cancel()
	awaitReady(t, h, 1)
	if err := boxes[0].Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	l := acquire(t, h, key("alice", "one"), v) // its death may be known by now, or not
	defer l.Release()
	if l.Agent.Sandbox.Info().ID == boxes[0].Info().ID {
		t.Error("a dead sandbox was handed over")
	}
}

func TestRecover_finishesAHandOverThatWasCutOff(t *testing.T) {
	h := newHouse(t)
	v := version(t, h, moorage.Lifecycle{})
	stop := withPools(t, h, 1, v)
	stop()
	boxes, err := h.Shim.List(t.Context())
	if err != nil || len(boxes) != 1 {
		t.Fatal(boxes, err)
	}
	row := moorage.Session{ID: moorage.NewSessionID(), CallerID: "one", RuntimeID: runtimeID, Endpoint: "DEFAULT", Owner: "alice",
		SandboxID: boxes[0].Info().ID, State: moorage.Starting, Version: 1, CreatedAt: time.Now()}
	if err := h.Store.Update(t.Context(), func(tx *store.Tx) error { return tx.PutSession(row) }); err != nil {
		t.Fatal(err)
	}
	h.Restart(t)
	l := acquire(t, h, key("alice", "one"), v)
	defer l.Release()
	if l.Session.ID != row.ID || !strings.Contains(ask(t, l, "/ping"), "Healthy") {
		t.Errorf("the session is %+v", l.Session)
	}
	if labels := l.Agent.Sandbox.Info().Labels; labels["session"] != row.ID || labels["pool"] != "" {
		t.Errorf("its sandbox has the labels %v", labels)
	}
}
