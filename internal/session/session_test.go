package session_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/sandboxtest"
	"github.com/moorage-dev/moorage/internal/session"
	"github.com/moorage-dev/moorage/internal/session/sessiontest"
	"github.com/moorage-dev/moorage/internal/store"
)

func TestMain(m *testing.M) { sessiontest.Main(m) }

// house is a manager with real sandboxes and a real store, in a directory of its own.
type house = sessiontest.House

const runtimeID = sessiontest.RuntimeID

func newHouse(t *testing.T) *house { return sessiontest.New(t) }

// version is the test agent in a mode, with lifecycles that a test can wait for.
func version(t *testing.T, h *house, lifecycle moorage.Lifecycle, args ...string) moorage.Version {
	t.Helper()
	image := sandboxtest.BuildImage(t)
	if image.EROFS == "" {
		t.Skip("needs mkfs.erofs")
	}
	return h.Put(t, moorage.Config{Lifecycle: lifecycle}, &moorage.Program{Root: image.EROFS, Args: append([]string{"/agent"}, args...)})
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
	return do(t, l, "GET", path, nil)
}

func do(t *testing.T, l *session.Lease, method, path string, what io.Reader) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://agent"+path, what)
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
		t.Fatalf("%s %s: %d %s %v", method, path, resp.StatusCode, body, err)
	}
	return string(body)
}

func ended(t *testing.T, h *house, id string) string { return h.Ended(t, id) }

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
	if boxes, err := h.Shim.List(t.Context()); err != nil || len(boxes) != 0 {
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
	if boxes, err := h.Shim.List(t.Context()); err != nil || len(boxes) != 0 {
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
	h.Restart(t)
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
	orphan, err := h.Shim.Create(t.Context(), sandbox.Spec{ID: sandbox.NewID(), Labels: map[string]string{"session": "nobody"},
		Root: sandbox.Root{EROFS: v.Program.Root}, Process: sandbox.ProcessSpec{Args: []string{"/agent"}}, LogDir: filepath.Join(h.Dir, "logs", "orphan")})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Store.Update(t.Context(), func(tx *store.Tx) error { return tx.PutSession(lost) }); err != nil {
		t.Fatal(err)
	}
	h.Restart(t)
	if reason := ended(t, h, lost.ID); !strings.Contains(reason, "gone") {
		t.Errorf("the lost session ended because %q", reason)
	}
	boxes, err := h.Shim.List(t.Context())
	if err != nil || len(boxes) != 1 || boxes[0].Info().ID == orphan.Info().ID {
		t.Errorf("sandboxes = %v, %v; want the session's alone", fmt.Sprint(len(boxes)), err)
	}
}

// tell has the agent do something, and returns its answer.
func tell(t *testing.T, l *session.Lease, what string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://agent/invocations", strings.NewReader(what))
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
		t.Fatalf("%s: %d %s %v", what, resp.StatusCode, body, err)
	}
	return string(body)
}

func TestMaxLifetime_endsASessionThatAnswersNoPing(t *testing.T) {
	h := newHouse(t)
	l := acquire(t, h, key("alice", "one"), h.Version(t, moorage.Lifecycle{Max: 1500 * time.Millisecond}))
	defer l.Release()
	tell(t, l, "stuck")
	select { // a ping that hangs is given up after 5 s: the lifetime must not wait for that
	case <-l.Ended.Done():
	case <-time.After(4500 * time.Millisecond):
		t.Fatal("a hung ping holds up the end of the lifetime")
	}
	if cause := context.Cause(l.Ended); moorage.CodeOf(cause) != moorage.AgentFailed || !strings.Contains(cause.Error(), "maximum lifetime") {
		t.Errorf("the call in progress learns %v", cause)
	}
}

func TestPassiveLease_idlesUnlessTouched(t *testing.T) {
	h := newHouse(t)
	l := acquire(t, h, key("alice", "one"), h.Version(t, moorage.Lifecycle{Idle: 300 * time.Millisecond}))
	defer l.Release()
	l.Passive()
	touching := time.Now()
	for tick := time.NewTicker(50 * time.Millisecond); time.Since(touching) < time.Second; <-tick.C {
		l.Touch()
	}
	if l.Ended.Err() != nil {
		t.Fatalf("a socket with messages on it ended: %v", context.Cause(l.Ended))
	}
	if list := h.List(); len(list) != 1 || time.Since(list[0].LastActiveAt) > 200*time.Millisecond {
		t.Errorf("a socket's messages do not show: %+v", list)
	}
	if reason := ended(t, h, l.Session.ID); !strings.Contains(reason, "idle for 300ms") {
		t.Errorf("ended because %q", reason)
	}
}

func TestHealthyBusy_holdsTheIdleClock(t *testing.T) {
	h := newHouse(t)
	l := acquire(t, h, key("alice", "one"), h.Version(t, moorage.Lifecycle{Idle: 200 * time.Millisecond}))
	id := l.Session.ID
	tell(t, l, `ping {"status":"HealthyBusy"}`)
	l.Release()
	select {
	case <-l.Ended.Done():
		t.Fatalf("ended while it said that it was busy: %v", context.Cause(l.Ended))
	case <-time.After(time.Second):
	}
	l = acquire(t, h, key("alice", "one"), moorage.Version{})
	tell(t, l, `ping {"status":"Healthy"}`)
	l.Release()
	if l.Session.ID != id {
		t.Fatal("the busy session was replaced")
	}
	if reason := ended(t, h, id); !strings.Contains(reason, "idle") {
		t.Errorf("ended because %q", reason)
	}
}

func TestUnhealthy_idleSessionEndsWithTheReason(t *testing.T) {
	h := newHouse(t)
	l := acquire(t, h, key("alice", "one"), h.Version(t, moorage.Lifecycle{}))
	tell(t, l, "ping nonsense") // a 200 of any kind is alive
	l.Release()
	kill := acquire(t, h, key("alice", "one"), moorage.Version{})
	tell(t, kill, "shut")
	kill.Release()
	if reason := ended(t, h, l.Session.ID); !strings.Contains(reason, "unhealthy: 3 pings in a row had no answer") {
		t.Errorf("ended because %q", reason)
	}
}

func TestStop_duringStartAndThenANewSession(t *testing.T) {
	h := newHouse(t)
	h.Warm.Patience = 20 * time.Second
	k, v := key("alice", "one"), version(t, h, moorage.Lifecycle{}, "never-bind")
	first := make(chan error, 1)
	go func() {
		_, err := h.Acquire(t.Context(), k, v)
		first <- err
	}()
	sessiontest.Eventually(t, "the session starts", func() bool { return len(h.List()) == 1 })
	if err := h.Stop(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	if err := <-first; moorage.CodeOf(err) != moorage.AgentFailed || !strings.Contains(err.Error(), "stopped by its caller") {
		t.Errorf("whoever waited for the start learns %v", err)
	}
	if boxes, err := h.Shim.List(t.Context()); err != nil || len(boxes) != 0 {
		t.Errorf("sandboxes left: %v, %v", boxes, err)
	}
	acquire(t, h, k, h.Version(t, moorage.Lifecycle{})).Release()
}

func TestAcquire_duringStopGetsANewSession(t *testing.T) {
	h := newHouse(t)
	k, v := key("alice", "one"), h.Version(t, moorage.Lifecycle{})
	for range 5 {
		old := acquire(t, h, k, v)
		var stopping sync.WaitGroup
		stopping.Go(func() {
			if err := h.Stop(t.Context(), k); err != nil {
				t.Error(err)
			}
		})
		<-old.Ended.Done()
		l := acquire(t, h, k, v)
		if l.Session.ID == old.Session.ID || tell(t, l, "echo hello") != "hello" {
			t.Error("a session that was being stopped was handed out")
		}
		stopping.Wait()
		l.Release()
		old.Release()
	}
}

func TestClose_cutsStreamsAndStarts(t *testing.T) {
	h := newHouse(t)
	h.Warm.Patience = 20 * time.Second
	l := acquire(t, h, key("alice", "one"), h.Version(t, moorage.Lifecycle{}))
	starting := make(chan error, 1)
	go func() {
		_, err := h.Acquire(context.WithoutCancel(t.Context()), key("alice", "two"), version(t, h, moorage.Lifecycle{}, "never-bind"))
		starting <- err
	}()
	sessiontest.Eventually(t, "the second session starts", func() bool { return len(h.List()) == 2 })
	released := make(chan struct{})
	go func() {
		<-l.Ended.Done()
		l.Release()
		close(released)
	}()
	began := time.Now()
	h.Restart(t)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the restart took %s", took)
	}
	<-released
	if err := <-starting; moorage.CodeOf(err) != moorage.Unavailable {
		t.Errorf("whoever waited for a start learns %v", err)
	}
	if list := h.List(); len(list) != 1 || list[0].ID != l.Session.ID {
		t.Errorf("sessions = %+v, want the one that was up", list)
	}
}

func TestRecover_idleClocksGoOn(t *testing.T) {
	h := newHouse(t)
	v := h.Version(t, moorage.Lifecycle{Idle: time.Hour})
	var ids []string
	for _, who := range []string{"alice", "bob"} {
		l := acquire(t, h, key(who, "one"), v)
		ids = append(ids, l.Session.ID)
		l.Release()
	}
	h.Leave(t)
	h.Reopen(t, func(tx *store.Tx) error { // as if alice had left two hours ago
		s, err := tx.Session(ids[0])
		s.State, s.LastActiveAt = moorage.Idle, time.Now().Add(-2*time.Hour)
		return errors.Join(err, tx.PutSession(s))
	})
	if reason := ended(t, h, ids[0]); !strings.Contains(reason, "idle") {
		t.Errorf("ended because %q", reason)
	}
	if list := h.List(); len(list) != 1 || list[0].ID != ids[1] || list[0].StartedBy != "cold" {
		t.Errorf("sessions = %+v, want bob's, with how it was started", list)
	}
}

func TestRecover_saysHowASandboxEndedMeanwhile(t *testing.T) {
	h := newHouse(t)
	l := acquire(t, h, key("alice", "one"), h.Version(t, moorage.Lifecycle{}))
	box, id := l.Agent.Sandbox, l.Session.ID
	l.Release()
	h.Leave(t)
	c, err := box.Dial(t.Context(), 8080)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(c, "POST /invocations HTTP/1.1\r\nHost: agent\r\nContent-Length: 6\r\n\r\nexit 5")
	io.Copy(io.Discard, c)
	c.Close()
	h.Reopen(t, nil)
	if reason := ended(t, h, id); !strings.Contains(reason, "status 5") {
		t.Errorf("ended because %q, want the exit status", reason)
	}
}

func TestStorage_keptUntilTheVersionChanges(t *testing.T) {
	h := newHouse(t)
	k := key("alice", "one")
	v := h.Put(t, moorage.Config{Storage: "/mnt/data"}, &moorage.Program{Root: sessiontest.Image(t), Args: []string{"/agent"}})
	l := acquire(t, h, k, v)
	tell(t, l, "write /mnt/data/note 7")
	l.Release()
	if err := h.Stop(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	l = acquire(t, h, k, v)
	if got := tell(t, l, "read /mnt/data/note"); got != "7" {
		t.Errorf("the session came back to %q, want its file of 7 bytes", got)
	}
	l.Release()
	other := acquire(t, h, key("bob", "one"), v)
	if got := tell(t, other, "read /mnt/data/note"); got != "none" {
		t.Errorf("another owner's session found %q", got)
	}
	other.Release()
	if err := h.Stop(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	v.Number = 2
	l = acquire(t, h, k, v)
	defer l.Release()
	if got := tell(t, l, "read /mnt/data/note"); got != "none" {
		t.Errorf("another version found %q", got)
	}
}
