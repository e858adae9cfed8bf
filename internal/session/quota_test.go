package session_test

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/quota"
	"github.com/moorage-dev/moorage/internal/session"
)

// boundedHouse is a house with quotas whose sessions sleep only when they have to.
func boundedHouse(t *testing.T, q quota.Quotas) *house {
	t.Helper()
	h := newHouse(t)
	h.Configure = func(m *session.Manager) { m.Quotas, m.SleepAfter = q, time.Hour }
	h.Restart(t)
	return h
}

func TestQuotas_aCallersSessionsMakeRoomForItsOwn(t *testing.T) {
	h := boundedHouse(t, quota.Quotas{CallerSessions: 2})
	v := version(t, h, moorage.Lifecycle{})
	bobs := acquire(t, h, key("bob", "idle for longest"), v)
	bobs.Release()
	first, second := acquire(t, h, key("alice", "1"), v), acquire(t, h, key("alice for ann", "2"), v)
	first.Release()
	third := acquire(t, h, key("alice for ben", "3"), v)
	if state := stateOf(h, first.Session.ID); state != moorage.Asleep {
		t.Errorf("alice's idle session is %s", state)
	}
	if state := stateOf(h, bobs.Session.ID); state != moorage.Idle {
		t.Errorf("bob's is %s", state)
	}
	if _, err := h.Acquire(t.Context(), key("alice", "4"), v); moorage.CodeOf(err) != moorage.Quota {
		t.Errorf("with both in use: %v", err)
	}
	bobs = acquire(t, h, key("bob", "another"), v)
	for _, l := range []*session.Lease{second, third, bobs} {
		l.Release()
	}
}

func TestQuotas_aRuntimesSessions(t *testing.T) {
	h := boundedHouse(t, quota.Quotas{RuntimeSessions: 1})
	v := version(t, h, moorage.Lifecycle{})
	l := acquire(t, h, key("alice", "1"), v)
	if _, err := h.Acquire(t.Context(), key("bob", "2"), v); moorage.CodeOf(err) != moorage.Quota {
		t.Errorf("a second one: %v", err)
	}
	l.Release()
	add(t, h, key("bob", "2"), v)
}

func TestQuotas_newSessionsInASecond(t *testing.T) {
	h := boundedHouse(t, quota.Quotas{CallerStarts: quota.Rate{PerSecond: 0.001, Burst: 2}})
	v := version(t, h, moorage.Lifecycle{})
	for i := range 2 {
		add(t, h, key("alice", strconv.Itoa(i)), v)
	}
	if _, err := h.Acquire(t.Context(), key("alice", "2"), v); moorage.CodeOf(err) != moorage.Throttled {
		t.Errorf("a third: %v", err)
	}
	for i := range 2 {
		if n := add(t, h, key("alice", strconv.Itoa(i)), v); n != 2 { // it is there already
			t.Errorf("session %d says %d", i, n)
		}
	}
	add(t, h, key("bob", "1"), v)
}

func TestPressure_poolsGoBeforeSessionsSleep(t *testing.T) {
	var short atomic.Bool
	h := newHouse(t)
	h.Configure = func(m *session.Manager) {
		m.SleepAfter = time.Hour
		m.Memory = func() (int64, int64) {
			// Not the pools are asked, which hold their lock while they ask this; and it is asked after the test, too.
			if list, _ := h.Shim.List(context.Background()); short.Load() && len(list) > 1 {
				return 9 << 30, 100 << 30
			}
			return 11 << 30, 100 << 30
		}
	}
	h.Restart(t)
	v := version(t, h, moorage.Lifecycle{})
	one := acquire(t, h, key("alice", "1"), v)
	one.Release()
	withPools(t, h, 2, v)
	short.Store(true) // until the pool is gone
	awaitReady(t, h, 0)
	if state := stateOf(h, one.Session.ID); state != moorage.Idle {
		t.Errorf("the session is %s", state)
	}
}

func TestPressure_refusesOnlyWhenNothingCanSleep(t *testing.T) {
	var taken atomic.Int64 // bytes
	h := newHouse(t)
	h.Configure = func(m *session.Manager) {
		m.SleepAfter = time.Hour
		m.Memory = func() (int64, int64) { // sessions that are up take 1 GiB each of 3, of which a start needs some
			return 3<<30 - taken.Load() - int64(boxes(t, h))<<30, 3 << 30
		}
	}
	h.Restart(t)
	v := version(t, h, moorage.Lifecycle{})
	idle, used := acquire(t, h, key("alice", "idle"), v), acquire(t, h, key("alice", "used"), v)
	defer used.Release()
	idle.Release()
	taken.Store(1 << 30)
	third := acquire(t, h, key("alice", "third"), v)
	defer third.Release()
	if state := stateOf(h, idle.Session.ID); state != moorage.Asleep {
		t.Errorf("the idle one is %s", state)
	}
	if _, err := h.Acquire(t.Context(), key("alice", "fourth"), v); moorage.CodeOf(err) != moorage.Quota {
		t.Errorf("a fourth: %v", err)
	}
	if _, err := h.Acquire(t.Context(), key("alice", "idle"), v); moorage.CodeOf(err) != moorage.Quota {
		t.Errorf("wake: %v", err)
	}
	taken.Store(0)
	if n := add(t, h, key("alice", "idle"), v); n != 1 {
		t.Errorf("memory says %d", n)
	}
}
