package otlp_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
)

// manyTraces are more spans than one pack has room for: of each of 60 traces a root, and a model call in another sheet.
func manyTraces() (roots, within *sheet) {
	roots, within = newSheet(), newSheet()
	for n := range uint64(60) {
		session := map[string]any{"session.id": fmt.Sprint("session-", n%7), "text": strings.Repeat(fmt.Sprintf("the words of trace %d. ", n), 400)}
		roots.add(n+1, 1, 0, "root", 0, 10, session)
		within.add(n+1, 2, 1, "chat nova", 1, 2, map[string]any{"session.id": session["session.id"], "gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 7, "text": session["text"]})
	}
	return roots, within
}

// Traces that came together are told apart again, whatever came before and between; and what is sent again counts once, in
// whichever partition it is.
func TestPacks_tracesThatCameTogether(t *testing.T) {
	o := archive.Options{Dir: t.TempDir(), Partition: 100 << 10}
	s := openStation(t, o)
	roots, within := manyTraces()
	s.send(t, roots.Traces)
	check := func(when string) {
		t.Helper()
		list := s.traces(t, archive.Query{Limit: 1000})
		if len(list) != 60 {
			t.Fatalf("%s, %d traces are listed", when, len(list))
		}
		for _, each := range list {
			if each.Spans != 2 || each.Input != 7 || each.ModelCalls != 1 {
				t.Fatalf("%s, a trace is listed as %+v", when, each)
			}
		}
		for n := range uint64(60) {
			whole := s.trace(t, n+1)
			if words := fmt.Sprintf("the words of trace %d. ", n); len(whole.Spans) != 2 || !strings.HasPrefix(whole.Spans[0].Attributes["text"].(string), words) ||
				!strings.HasPrefix(whole.Spans[1].Attributes["text"].(string), words) {
				t.Fatalf("%s, trace %d is %+v", when, n, whole.Spans)
			}
		}
		sessions, _, err := s.Sessions(t.Context(), archive.Query{})
		if err != nil || len(sessions) != 7 {
			t.Fatalf("%s, there are %d sessions, %v", when, len(sessions), err)
		}
	}
	s.send(t, within.Traces)
	check("at first")
	if files, _ := filepath.Glob(filepath.Join(o.Dir, "*.db")); len(files) < 2 {
		t.Fatalf("there is %d partition", len(files))
	}
	for _, when := range []string{"sent again", "sent again to another server"} {
		roots, within = manyTraces()
		s.send(t, within.Traces)
		s.send(t, roots.Traces)
		check(when)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = openStation(t, o)
		check("opened once more")
	}
}

// Sessions are written behind their traces: a server that was killed in between has the next find them.
func TestSessions_areFoundAfterAKill(t *testing.T) {
	o := archive.Options{Dir: t.TempDir()}
	s := openStation(t, o)
	roots, _ := manyTraces()
	s.send(t, roots.Traces)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(o.Dir, "*.db"))
	db, err := sql.Open("sqlite", files[0])
	if err == nil { // as the kill would leave it
		_, err = db.Exec("DELETE FROM sessions WHERE session <> 'session-3'; DELETE FROM filters")
	}
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	s = openStation(t, o)
	sessions, _, err := s.Sessions(t.Context(), archive.Query{})
	if err != nil || len(sessions) != 7 || sessions[0].Traces < 8 {
		t.Errorf("the sessions are %+v, %v", sessions, err)
	}
	s.send(t, roots.Traces)
	if list := s.traces(t, archive.Query{Limit: 1000}); len(list) != 60 || list[0].Spans != 1 {
		t.Errorf("%d traces are listed, the first %+v", len(list), list[0])
	}
}

// Whoever has the id of a span alone finds its trace, also where other spans only name it.
func TestTraces_ofASpan(t *testing.T) {
	s := openStation(t, archive.Options{Dir: t.TempDir(), Partition: 100 << 10})
	spans := newSheet()
	for n := range uint64(60) {
		spans.add(n+1, 100+n, 0, "root", 0, 10, map[string]any{"text": strings.Repeat(fmt.Sprintf("the words of trace %d. ", n), 400)})
		spans.add(n+1, 1000+n, 100+n, "within", 1, 2, nil)
	}
	s.send(t, spans.Traces)
	for _, n := range []uint64{0, 31, 59} {
		for _, id := range []uint64{100 + n, 1000 + n} {
			list := s.traces(t, archive.Query{Span: telemetry.SpanID(spanID(id))})
			if want := telemetry.TraceID(traceID(n + 1)).String(); len(list) != 1 || list[0].TraceID != want {
				t.Errorf("span %d: %+v, want the trace %s", id, list, want)
			}
		}
	}
	if list := s.traces(t, archive.Query{Span: telemetry.SpanID(spanID(7))}); len(list) != 0 {
		t.Errorf("a span that is nowhere: %+v", list)
	}
}
