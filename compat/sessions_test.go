package compat

import (
	"bufio"
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
)

func TestSessions_shareNothing(t *testing.T) {
	a := shared(t).deployed(t, probe)
	one, two := newSession(t)+"-1", newSession(t)+"-2"
	first := a.state(t, one)
	write := map[string]any{"op": "write", "path": "/tmp/note", "text": "of the first session"}
	if err := a.call(t.Context(), one, write, nil); err != nil {
		t.Fatal(err)
	}
	var there state
	if err := a.call(t.Context(), two, map[string]any{"op": "read", "path": "/tmp/note"}, &there); err != nil {
		t.Fatal(err)
	}
	if there.Text != nil {
		t.Errorf("the second session reads %q", *there.Text)
	}
	if there.Boot == first.Boot {
		t.Error("both sessions are one process")
	}
	if again := a.state(t, one); again.Boot != first.Boot || again.Count != 3 {
		t.Errorf("the first session went from %+v to %+v", first, again)
	}
}

func TestSessions_concurrentFirstCallsStartOneSandbox(t *testing.T) {
	a := shared(t).deployed(t, probe)
	session := newSession(t)
	const callers = 8
	answers, errs := make([]state, callers), make([]error, callers)
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() { errs[i] = a.call(t.Context(), session, map[string]any{"op": "state"}, &answers[i]) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for _, s := range answers {
		if s.Boot != answers[0].Boot {
			t.Fatalf("two sandboxes answered: %+v", answers)
		}
	}
	if s := a.state(t, session); s.Count != callers+1 {
		t.Errorf("the agent counted %d calls, want %d", s.Count, callers+1)
	}
	known, err := a.server.sessions(t.Context(), session)
	if err != nil || len(known) != 1 {
		t.Errorf("the server lists %+v (%v)", known, err)
	}
}

func TestSessions_belongToTheirUser(t *testing.T) {
	a := shared(t).deployed(t, probe)
	session := newSession(t)
	var ann, bob, nobody state
	for _, c := range []struct {
		user string
		out  *state
	}{{"ann", &ann}, {"bob", &bob}, {"", &nobody}, {"ann", &ann}} {
		if err := a.callAs(t.Context(), session, c.user, map[string]any{"op": "state"}, c.out); err != nil {
			t.Fatal(err)
		}
	}
	if ann.Boot == bob.Boot || ann.Boot == nobody.Boot || bob.Boot == nobody.Boot {
		t.Errorf("users share a sandbox: ann %s, bob %s, no user %s", ann.Boot, bob.Boot, nobody.Boot)
	}
	if ann.Count != 2 || bob.Count != 1 || nobody.Count != 1 {
		t.Errorf("counts: ann %d, bob %d, no user %d", ann.Count, bob.Count, nobody.Count)
	}
	// Stopping without naming a user ends only the session of no user.
	if err := a.stopSession(t.Context(), session); err != nil {
		t.Fatal(err)
	}
	if err := a.callAs(t.Context(), session, "ann", map[string]any{"op": "state"}, &ann); err != nil || ann.Count != 3 {
		t.Errorf("ann's session counts %d (%v), want 3", ann.Count, err)
	}
}

func TestSessions_keepTheirVersionThroughAnUpdate(t *testing.T) {
	s := shared(t)
	d := deployment{name: "pinned", source: "probe", entry: "main.py", env: map[string]string{"PROBE_VERSION": "one"}}
	a := s.deployed(t, d)
	session := newSession(t)
	before := a.state(t, session)
	d.env = map[string]string{"PROBE_VERSION": "two"}
	version, err := a.update(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	if version != "2" {
		t.Errorf("the update made version %s", version)
	}
	if live := a.state(t, session); live.Version != "one" || live.Boot != before.Boot || live.Count != 2 {
		t.Errorf("the live session went from %+v to %+v", before, live)
	}
	if fresh := a.state(t, newSession(t)+"-new"); fresh.Version != "two" {
		t.Errorf("a new session runs version %q", fresh.Version)
	}
	if err := a.stopSession(t.Context(), session); err != nil {
		t.Fatal(err)
	}
	if back := a.state(t, session); back.Version != "two" || back.Count != 1 {
		t.Errorf("the session came back as %+v", back)
	}
}

func TestSessions_endpointsDoNotShareSessions(t *testing.T) {
	s := shared(t)
	a := s.deployed(t, probe)
	name := "blue"
	if _, err := s.control().CreateAgentRuntimeEndpoint(t.Context(), &control.CreateAgentRuntimeEndpointInput{AgentRuntimeId: &a.id, Name: &name}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.control().DeleteAgentRuntimeEndpoint(context.Background(), &control.DeleteAgentRuntimeEndpointInput{AgentRuntimeId: &a.id, EndpointName: &name})
	})
	session := newSession(t)
	main := a.state(t, session)
	var blue state
	if err := a.callAt(t.Context(), session, name, map[string]any{"op": "state"}, &blue); err != nil {
		t.Fatal(err)
	}
	if blue.Boot == main.Boot {
		t.Error("DEFAULT and blue share a sandbox")
	}
	if _, err := s.control().DeleteAgentRuntimeEndpoint(t.Context(), &control.DeleteAgentRuntimeEndpointInput{AgentRuntimeId: &a.id, EndpointName: &name}); err != nil {
		t.Fatal(err)
	}
	wantError(t, a.callAt(t.Context(), session, name, map[string]any{"op": "state"}, &blue), "ResourceNotFoundException")
	if again := a.state(t, session); again.Boot != main.Boot {
		t.Error("deleting blue ended the session of DEFAULT")
	}
}

func TestSessions_storageOutlivesTheSandboxButNotTheVersion(t *testing.T) {
	a := shared(t).deployed(t, keeper)
	session, other := newSession(t)+"-1", newSession(t)+"-2"
	read := map[string]any{"op": "read", "path": "/mnt/data/note"}
	if err := a.call(t.Context(), session, map[string]any{"op": "write", "path": "/mnt/data/note", "text": "kept"}, nil); err != nil {
		t.Fatal(err)
	}
	before := a.state(t, session)
	if err := a.stopSession(t.Context(), session); err != nil {
		t.Fatal(err)
	}
	var after state
	if err := a.call(t.Context(), session, read, &after); err != nil {
		t.Fatal(err)
	}
	if after.Boot == before.Boot || after.Text == nil || *after.Text != "kept" {
		t.Errorf("after the stop the session reads %+v", after)
	}
	if err := a.call(t.Context(), other, read, &after); err != nil {
		t.Fatal(err)
	}
	if after.Text != nil {
		t.Errorf("another session reads %q", *after.Text)
	}
	if _, err := a.update(t.Context(), keeper); err != nil {
		t.Fatal(err)
	}
	if err := a.stopSession(t.Context(), session); err != nil {
		t.Fatal(err)
	}
	if err := a.call(t.Context(), session, read, &after); err != nil {
		t.Fatal(err)
	}
	if after.Text != nil {
		t.Errorf("the next version reads %q", *after.Text)
	}
}

func TestSessions_stopCutsAStream(t *testing.T) {
	a := shared(t).deployed(t, probe)
	session := newSession(t)
	answer, err := a.open(t.Context(), session, `{"op":"hang"}`)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Close()
	wantEvent(t, bufio.NewScanner(answer), 1)
	if err := a.stopSession(t.Context(), session); err != nil {
		t.Fatal(err)
	}
	cut := make(chan struct{})
	go func() {
		defer close(cut)
		for buf := make([]byte, 4096); ; {
			if _, err := answer.Read(buf); err != nil {
				return
			}
		}
	}()
	select {
	case <-cut:
	case <-time.After(10 * time.Second):
		t.Error("the stream went on for 10 s after the session was stopped")
	}
	wantError(t, a.stopSession(t.Context(), session), "ResourceNotFoundException")
}

// Sixty seconds is the least that the API takes.
func TestSessions_idleTimeoutEndsThem(t *testing.T) {
	if os.Getenv("MOORAGE_SLOW") == "" {
		t.Skip("waits for more than a minute: set MOORAGE_SLOW=1")
	}
	s := shared(t)
	a := s.deployed(t, deployment{name: "sleepy", source: "probe", entry: "main.py", idle: 60})
	idle, working := newSession(t)+"-idle", newSession(t)+"-busy"
	a.state(t, idle)
	if err := a.call(t.Context(), working, map[string]any{"op": "busy", "busy": true}, nil); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	eventually(t, 100*time.Second, "the idle session ends", func() bool { return s.ended(t, idle) })
	if took := time.Since(began); took < 55*time.Second {
		t.Errorf("the session ended after %s, before its 60 s were over", took)
	}
	if known, _ := s.sessions(t.Context(), idle); len(known) != 1 || known[0].EndReason == "" {
		t.Errorf("the record says %+v", known)
	}
	if s.ended(t, working) {
		t.Error("a session whose agent said HealthyBusy was ended as idle")
	}
	if err := a.call(t.Context(), working, map[string]any{"op": "busy", "busy": false}, nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, 100*time.Second, "the session ends that is busy no more", func() bool { return s.ended(t, working) })
}

// ended reports whether every session of a caller's id is on record as ended.
func (s *server) ended(t *testing.T, callerID string) bool {
	known, err := s.sessions(t.Context(), callerID)
	if err != nil {
		t.Fatal(err)
	}
	return len(known) > 0 && !slices.ContainsFunc(known, func(x session) bool { return x.State != "stopped" })
}
