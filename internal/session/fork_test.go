package session_test

import (
	"context"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/quota"
	"github.com/moorage-dev/moorage/internal/session"
	"github.com/moorage-dev/moorage/internal/session/sessiontest"
	"github.com/moorage-dev/moorage/internal/store"
)

// fork makes branches of a session, named as given.
func fork(t *testing.T, h *house, id string, names ...string) []moorage.Session {
	t.Helper()
	branches, err := h.Fork(t.Context(), id, names)
	if err != nil {
		t.Fatal("fork: ", err)
	}
	return branches
}

func TestFork_branchesRememberWhatTheParentDid(t *testing.T) {
	h := sleepyHouse(t, time.Hour)
	v := version(t, h, moorage.Lifecycle{})
	parent := key("alice", "parent")
	for range 3 {
		add(t, h, parent, v)
	}
	id := h.List()[0].ID
	began := time.Now()
	branches := fork(t, h, id, "one", "two", "three")
	t.Logf("three branches in %v", time.Since(began))
	for i, b := range branches {
		name := []string{"one", "two", "three"}[i]
		if b.CallerID != name || b.Owner != "alice" || b.ParentID != id || b.ForkedAt.Before(began) || b.StartedBy != "fork" || len(b.Steps) != 4 || b.Shares == "" {
			t.Errorf("branch %+v", b)
		}
		for range i + 1 {
			add(t, h, key("alice", name), v)
		}
	}
	for i, name := range []string{"parent", "one", "two", "three"} {
		if n := add(t, h, key("alice", name), v); n != 4+i {
			t.Errorf("%s says %d", name, n)
		}
	}
	if l := acquire(t, h, key("bob", "one"), v); ask(t, l, "/add") != "1" {
		t.Error("another owner's session of that name is the branch")
	} else {
		l.Release()
	}
	h.Restart(t)
	for i, name := range []string{"parent", "one", "two", "three"} {
		if n := add(t, h, key("alice", name), v); n != 5+i {
			t.Errorf("after the restart %s says %d", name, n)
		}
	}
	for _, s := range h.List() {
		if s.Owner == "alice" && s.CallerID != "parent" && (s.ParentID != id || s.ForkedAt.IsZero() || s.Shares == "") {
			t.Errorf("after the restart: %+v", s)
		}
	}
}

func TestFork_ofASleepingSessionLeavesItAsleep(t *testing.T) {
	h := sleepyHouse(t, time.Hour)
	v := version(t, h, moorage.Lifecycle{})
	add(t, h, key("alice", "parent"), v)
	id := h.List()[0].ID
	sleep(t, h, id)
	fork(t, h, id, "one")
	if state := stateOf(h, id); state != moorage.Asleep {
		t.Errorf("the parent is %s", state)
	}
	grandchild := fork(t, h, h.List()[0].ID, "two")
	if len(grandchild) != 1 {
		t.Fatal(grandchild)
	}
	for _, name := range []string{"parent", "one", "two"} {
		if n := add(t, h, key("alice", name), v); n != 2 {
			t.Errorf("%s says %d", name, n)
		}
	}
}

func TestFork_waitsForTheCallThatIsOpen(t *testing.T) {
	h := sleepyHouse(t, time.Hour)
	v := version(t, h, moorage.Lifecycle{})
	l := acquire(t, h, key("alice", "parent"), v)
	made := make(chan error, 1)
	go func() {
		_, err := h.Fork(t.Context(), l.Session.ID, []string{"one"})
		made <- err
	}()
	ask(t, l, "/add")
	select {
	case err := <-made:
		t.Errorf("forked amid a call: %v", err)
	default:
	}
	l.Release()
	if err := <-made; err != nil {
		t.Error(err)
	}
	if n := add(t, h, key("alice", "one"), v); n != 2 {
		t.Errorf("the branch says %d", n)
	}
}

func TestFork_refusesASessionThatStaysInUse(t *testing.T) {
	h := sleepyHouse(t, time.Hour)
	v := version(t, h, moorage.Lifecycle{})
	l := acquire(t, h, key("alice", "parent"), v)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := h.Fork(ctx, l.Session.ID, []string{"one"}); moorage.CodeOf(err) != moorage.Conflict || !strings.Contains(err.Error(), "call") {
		t.Errorf("fork: %v", err)
	}
	l.Release()
	if n := add(t, h, key("alice", "parent"), v); n != 1 {
		t.Errorf("the parent says %d", n)
	}
	if live := h.List(); len(live) != 1 || live[0].Sleeps != 0 {
		t.Errorf("the order was carried out afterwards: %+v", live)
	}
}

func TestFork_refusals(t *testing.T) {
	h := boundedHouse(t, quota.Quotas{RuntimeSessions: 3})
	v := version(t, h, moorage.Lifecycle{})
	parent, other := acquire(t, h, key("alice", "parent"), v), acquire(t, h, key("alice", "other"), v)
	parent.Release()
	defer other.Release()
	id := parent.Session.ID
	for name, c := range map[string]struct {
		id    string
		names []string
		want  moorage.Code
	}{
		"unknown":       {"none", []string{"one"}, moorage.NotFound},
		"no branch":     {id, nil, moorage.Invalid},
		"name is taken": {id, []string{"one", "other"}, moorage.Conflict},
		"named twice":   {id, []string{"one", "one"}, moorage.Conflict},
		"too many":      {id, []string{"one", "two", "three"}, moorage.Quota},
	} {
		if _, err := h.Fork(t.Context(), c.id, c.names); moorage.CodeOf(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	if n := add(t, h, key("alice", "parent"), v); n != 1 {
		t.Errorf("the parent says %d", n)
	}
	if live := len(h.List()); live != 2 {
		t.Errorf("%d sessions live", live)
	}
}

func TestFork_ofADamagedSnapshotMakesNoBranch(t *testing.T) {
	h := sleepyHouse(t, time.Hour)
	v := version(t, h, moorage.Lifecycle{})
	add(t, h, key("alice", "parent"), v)
	id := h.List()[0].ID
	sleep(t, h, id)
	if err := os.Truncate(h.SleepDir+"/"+id+"/image", 10000); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Fork(t.Context(), id, []string{"one", "two"}); moorage.CodeOf(err) != moorage.Conflict {
		t.Errorf("fork: %v", err)
	}
	if n, live := boxes(t, h), len(h.List()); n != 0 || live != 1 {
		t.Errorf("%d sandboxes and %d sessions are left", n, live)
	}
}

// A server that is killed before a branch is on record leaves nothing of it, and its parent asleep.
func TestFork_crashLeavesNoHalfMadeBranch(t *testing.T) {
	h := sleepyHouse(t, time.Hour)
	v := version(t, h, moorage.Lifecycle{})
	add(t, h, key("alice", "parent"), v)
	id := h.List()[0].ID
	sleep(t, h, id)
	branch := fork(t, h, id, "one")[0]
	h.Leave(t)
	h.Reopen(t, func(tx *store.Tx) error { // as it was before the branch was put on record
		branch.EndedAt = time.Now()
		if err := tx.PutSession(branch); err != nil {
			return err
		}
		_, err := tx.ForgetSessions(time.Now())
		return err
	})
	if n, live := boxes(t, h), h.List(); n != 0 || len(live) != 1 || live[0].State != moorage.Asleep {
		t.Errorf("%d sandboxes are left, and %+v", n, live)
	}
	if n := add(t, h, key("alice", "parent"), v); n != 2 {
		t.Errorf("the parent says %d", n)
	}
}

func TestFork_copiesSessionStorage(t *testing.T) {
	h := sessiontest.New(t)
	v := h.Put(t, moorage.Config{Storage: "/mnt/data"}, &moorage.Program{Root: sessiontest.Image(t), Args: []string{"/agent"}})
	say := func(name, what string) string {
		l := acquire(t, h, key("alice", name), v)
		defer l.Release()
		return post(t, l, what)
	}
	say("parent", "write /mnt/data/notes 5")
	id := h.List()[0].ID
	fork(t, h, id, "one", "two")
	say("one", "write /mnt/data/notes 7")
	for name, want := range map[string]string{"parent": "5", "one": "7", "two": "5"} {
		if got := say(name, "read /mnt/data/notes"); got != want {
			t.Errorf("%s reads %s bytes, want %s", name, got, want)
		}
	}
	say("two", "write /mnt/data/notes 9")
	if got := say("parent", "read /mnt/data/notes"); got != "5" {
		t.Errorf("the parent reads %s bytes", got)
	}
}

// Forks, calls, naps and wakes of one session at once lose nothing.
func TestFork_amidCallsLosesNone(t *testing.T) {
	h := drowsyHouse(t, 50*time.Millisecond, time.Hour)
	v := version(t, h, moorage.Lifecycle{})
	k := key("alice", "parent")
	add(t, h, k, v)
	id := h.List()[0].ID
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			for range 10 {
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
		for i := range 3 {
			name := strconv.Itoa(i)
			if _, err := h.Fork(t.Context(), id, []string{name}); err != nil {
				t.Error(err)
			}
			if n := add(t, h, key("alice", name), v); n < 2 || n > 32 {
				t.Errorf("branch %d says %d", i, n)
			}
		}
	})
	all.Wait()
	if n := add(t, h, k, v); n != 32 {
		t.Errorf("memory says %d", n)
	}
}

// post has the agent of sessiontest do something.
func post(t *testing.T, l *session.Lease, what string) string {
	t.Helper()
	return do(t, l, "POST", "/invocations", strings.NewReader(what))
}
