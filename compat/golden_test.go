package compat

import (
	"encoding/json"
	"slices"
	"testing"
	"time"
)

// golden returns the golden snapshot's state of the only live version.
func (a *agent) golden(t *testing.T) (state string) {
	t.Helper()
	answer, err := a.server.ask(t.Context(), "GET", "/v1/runtimes/"+a.id+"/pool")
	if err != nil {
		t.Fatal(err)
	}
	var pools struct{ Pools []struct{ Golden string } }
	if err := json.Unmarshal(answer, &pools); err != nil || len(pools.Pools) != 1 {
		t.Fatalf("the pool is %s, %v", answer, err)
	}
	return pools.Pools[0].Golden
}

func (s *server) startedBy(t *testing.T, callerID string) string {
	t.Helper()
	known, err := s.sessions(t.Context(), callerID)
	if err != nil || len(known) != 1 {
		t.Fatalf("the server lists %+v, %v", known, err)
	}
	return known[0].StartedBy
}

func TestGolden_aVersionsFirstSessionIsACloneOfItsTrial(t *testing.T) {
	s := shared(t)
	d := deployment{name: "cloned", source: "probe", entry: "main.py", env: map[string]string{"PROBE_VERSION": "one"}}
	a := s.deployed(t, d)
	kept := func() bool { return a.golden(t) == "kept" }
	eventually(t, time.Minute, "the golden snapshot is made", kept)
	session := newSession(t) + "-first"
	first := a.state(t, session)
	if by := s.startedBy(t, session); by != "restore" || first.Count != 1 || first.Version != "one" {
		t.Errorf("the first session started by %q, as %+v", by, first)
	}
	d.env = map[string]string{"PROBE_VERSION": "two"}
	if _, err := a.update(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "the update has a golden snapshot", kept)
	session = newSession(t) + "-updated"
	if second := a.state(t, session); second.Version != "two" || second.Boot == first.Boot {
		t.Errorf("after the update a session is %+v, and was %+v", second, first)
	}
	if by := s.startedBy(t, session); by != "restore" {
		t.Errorf("after the update a session started by %q", by)
	}
}

func TestGolden_aCloneReportsNothingOfItsTrial(t *testing.T) {
	s := shared(t)
	a := s.deployed(t, deployment{name: "reports", source: "probe", entry: "main.py"})
	eventually(t, time.Minute, "the golden snapshot is made", func() bool { return a.golden(t) == "kept" })
	session := newSession(t)
	if err := a.call(t.Context(), session, map[string]any{"op": "report"}, nil); err != nil {
		t.Fatal(err)
	}
	known, err := s.sessions(t.Context(), session)
	if err != nil || len(known) != 1 || known[0].StartedBy != "restore" {
		t.Fatalf("the server lists %+v, %v", known, err)
	}
	found := s.traceOf(t, known[0].ID, 10*time.Second, func(tr sessionTrace) bool { return tr.has("began in the call") })
	if found.has("began at the start") {
		t.Error("a span of the trial start is told as the session's")
	}
}

func (tr sessionTrace) has(span string) bool {
	return slices.ContainsFunc(tr.Traces, func(w wholeTrace) bool { return w.span(span).Name != "" })
}
