package session_test

import (
	"context"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/session"
	"github.com/moorage-dev/moorage/internal/session/sessiontest"
)

// TestStarts_manyAtOnceAreAllAnswered has three callers ask for so many sessions in one moment.
func TestStarts_manyAtOnceAreAllAnswered(t *testing.T) {
	n := 24
	if os.Getenv("MOORAGE_SLOW") != "" {
		n = 100
	}
	h := newHouse(t)
	v := version(t, h, moorage.Lifecycle{})
	began := time.Now()
	took := make([]time.Duration, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			l, err := h.Acquire(t.Context(), key([]string{"alice", "bob", "carol"}[i%3], strconv.Itoa(i)), v)
			if err != nil {
				t.Error(err)
				return
			}
			took[i] = time.Since(began)
			l.Release()
		})
	}
	all.Wait()
	slices.Sort(took)
	t.Logf("%d sessions in %v: p50 %v, p95 %v, %.1f a second", n, took[n-1], took[n/2], took[n*95/100], float64(n)/took[n-1].Seconds())
	if up := len(h.List()); up != n {
		t.Errorf("%d sessions are up", up)
	}
	for _, s := range h.List() {
		if len(s.Steps) != 3 || s.Steps[0].Took+s.Steps[1].Took+s.Steps[2].Took > s.StartTook {
			t.Errorf("it took %v: %v", s.StartTook, s.Steps)
		}
	}
}

func TestStarts_oneNobodyWaitsForIsDropped(t *testing.T) {
	h := newHouse(t)
	h.Configure = func(m *session.Manager) { m.Starts = 1 }
	h.Restart(t)
	slow := version(t, h, moorage.Lifecycle{}, "sleep", "60s") // and never answers
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var callers sync.WaitGroup
	defer callers.Wait()
	callers.Go(func() { h.Acquire(ctx, key("alice", "slow"), slow) })
	sessiontest.Eventually(t, "it starts", func() bool { return boxes(t, h) == 1 })
	left, leave := context.WithCancel(t.Context())
	callers.Go(func() { h.Acquire(left, key("alice", "left"), slow) })
	sessiontest.Eventually(t, "the second waits", func() bool { return len(h.List()) == 2 })
	leave()
	sessiontest.Eventually(t, "the second is gone", func() bool { return len(h.List()) == 1 })
	if s := h.List()[0]; s.CallerID != "slow" {
		t.Errorf("%s is left", s.CallerID)
	}
	if err := h.Stop(t.Context(), key("alice", "slow")); err != nil {
		t.Error(err)
	}
}
