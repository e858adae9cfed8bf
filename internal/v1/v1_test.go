package v1_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/control"
	"github.com/moorage-dev/moorage/internal/model/budget"
	"github.com/moorage-dev/moorage/internal/session"
	"github.com/moorage-dev/moorage/internal/session/sessiontest"
	"github.com/moorage-dev/moorage/internal/v1"
)

func TestMain(m *testing.M) { sessiontest.Main(m) }

// api is the extension API in front of real sessions.
type api struct {
	*httptest.Server
	house   *sessiontest.House
	version moorage.Version
}

func newAPI(t *testing.T) *api {
	t.Helper()
	h := sessiontest.New(t)
	v := h.Version(t, moorage.Lifecycle{})
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	c := &control.Service{Store: h.Store, Warm: h.Warm, Sessions: h.Manager, Region: "us-east-1", Account: "123456789012", Log: log}
	if err := c.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	handler := &v1.Handler{
		Info: v1.Info{Account: "123456789012", Region: "us-east-1"}, Store: h.Store, Sessions: h.Manager, Control: c, Driver: h.Shim,
		LogDir: h.Warm.LogDir, Log: log, Error: wire.WriteError, Budgets: budget.New(),
	}
	srv := httptest.NewServer(handler.Routes())
	t.Cleanup(srv.Close)
	return &api{srv, h, v}
}

// say opens a session or joins it, has its agent do something, and returns the session.
func (a *api) say(t *testing.T, owner, caller, what string) moorage.Session {
	t.Helper()
	l, err := a.house.Acquire(t.Context(), session.Key{RuntimeID: sessiontest.RuntimeID, Endpoint: "DEFAULT", Owner: owner, CallerID: caller}, a.version)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://agent/invocations", strings.NewReader(what))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := l.Agent.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	return errFree(t, l.Session, resp.Body.Close())
}

func errFree[T any](t *testing.T, v T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// ask makes a request, decodes the answer into out, if given, and returns the status.
func (a *api) ask(t *testing.T, method, path string, out any) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, a.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if out != nil {
		if err := json.Unmarshal(body, out); err != nil {
			t.Fatalf("%s %s: %s: %v", method, path, body, err)
		}
	}
	return resp.StatusCode
}

func TestSessions_listShowAndStop(t *testing.T) {
	a := newAPI(t)
	first := a.say(t, "alice", "one", "echo")
	a.say(t, "bob", "one", "echo")
	var list struct{ Sessions []v1.Session }
	if status := a.ask(t, "GET", "/v1/sessions?runtime="+sessiontest.RuntimeID, &list); status != 200 || len(list.Sessions) != 2 {
		t.Fatalf("%d, %+v", status, list)
	}
	for _, s := range list.Sessions {
		if s.MemoryBytes <= 0 || s.StartedBy != "cold" || s.StartMs <= 0 || !strings.HasSuffix(s.RuntimeARN, "runtime/"+sessiontest.RuntimeID) {
			t.Errorf("session = %+v", s)
		}
	}
	if status := a.ask(t, "GET", "/v1/sessions/one", nil); status != http.StatusConflict {
		t.Errorf("a caller's id that two have: %d", status)
	}
	if status := a.ask(t, "POST", "/v1/sessions/"+first.ID+"/stop", nil); status != 200 {
		t.Errorf("stop: %d", status)
	}
	if status := a.ask(t, "POST", "/v1/sessions/"+first.ID+"/stop", nil); status != 404 {
		t.Errorf("stop again: %d", status)
	}
	var shown v1.Session
	if status := a.ask(t, "GET", "/v1/sessions/"+first.ID, &shown); status != 200 || shown.EndReason != "stopped by an operator" || shown.EndedAt == nil {
		t.Errorf("the ended session: %d, %+v", status, shown)
	}
	if a.ask(t, "GET", "/v1/sessions", &list); len(list.Sessions) != 1 {
		t.Errorf("live sessions: %+v", list)
	}
	if a.ask(t, "GET", "/v1/sessions?all=true", &list); len(list.Sessions) != 2 {
		t.Errorf("all sessions: %+v", list)
	}
	for _, path := range []string{"/v1/sessions/none", "/v1/sessions/none/logs", "/v1/runtimes/none/logs", "/v1/nothing"} {
		if status := a.ask(t, "GET", path, nil); status != 404 {
			t.Errorf("GET %s: %d", path, status)
		}
	}
}

// follow reads log lines as they come; next waits for the next one.
func (a *api) follow(t *testing.T, path string) (next func() v1.LogLine) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "GET", a.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		resp.Body.Close()
	})
	lines := bufio.NewScanner(resp.Body)
	return func() (l v1.LogLine) {
		t.Helper()
		if !lines.Scan() {
			t.Fatal("the log ended:", lines.Err())
		}
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		return l
	}
}

func TestLogs_followSessionsThatBeginAndEnd(t *testing.T) {
	a := newAPI(t)
	first := a.say(t, "alice", "one", "print before")
	sessiontest.Eventually(t, "the lines are written", func() bool { return len(a.logs(t, "/v1/sessions/"+first.ID+"/logs")) == 2 })
	next := a.follow(t, "/v1/runtimes/"+sessiontest.RuntimeID+"/logs?follow=true&tail=1")
	if l := next(); !strings.HasSuffix(l.Message, "before") || l.Session != first.ID || l.Version != "1" {
		t.Errorf("the tail is %+v", l)
	}
	var want []string
	for i := range 3 { // sessions too short to be seen alive
		who := fmt.Sprint("short", i)
		s := a.say(t, "alice", who, "print "+who)
		if err := a.house.StopID(t.Context(), s.ID, "test"); err != nil {
			t.Fatal(err)
		}
		want = append(want, who, "err "+who)
	}
	a.say(t, "alice", "one", "print after")
	want = append(want, "after", "err after")
	var got []string
	for range want {
		got = append(got, next().Message)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("followed %q, want %q", got, want)
	}
}

// logs reads log lines that are there.
func (a *api) logs(t *testing.T, path string) (lines []v1.LogLine) {
	t.Helper()
	resp, err := http.Get(a.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for d := json.NewDecoder(resp.Body); ; {
		var l v1.LogLine
		if err := d.Decode(&l); err == io.EOF {
			return lines
		} else if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, l)
	}
}

func TestLogs_tail(t *testing.T) {
	a := newAPI(t)
	s := a.say(t, "alice", "one", "print 1")
	a.say(t, "alice", "one", "print 2")
	path := "/v1/sessions/" + s.ID + "/logs"
	sessiontest.Eventually(t, "the lines are written", func() bool { return len(a.logs(t, path)) == 4 })
	for tail, want := range map[string]int{"0": 0, "3": 3, "100000": 4} {
		if got := len(a.logs(t, path+"?tail="+tail)); got != want {
			t.Errorf("tail %s: %d lines, want %d", tail, got, want)
		}
	}
	for _, tail := range []string{"-1", "x", "100001"} {
		if status := a.ask(t, "GET", path+"?tail="+tail, nil); status != 400 {
			t.Errorf("tail %s: %d", tail, status)
		}
	}
}
