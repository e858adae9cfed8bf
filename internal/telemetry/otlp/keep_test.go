package otlp_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
)

// What is too much, or too old, goes by whole partitions, the oldest first; what is newest stays.
func TestArchive_forgetsTheOldest(t *testing.T) {
	for name, o := range map[string]archive.Options{
		"too much": {Partition: 1, Limit: 400 << 10},
		"too old":  {Span: time.Hour, Keep: 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Now()
			o.Dir = t.TempDir()
			o.Now = func() time.Time { now = now.Add(time.Hour); return now }
			s := openStation(t, o)
			for n := range uint64(20) {
				spans := newSheet()
				spans.add(n+1, 1, 0, "x", 0, 1, map[string]any{"session.id": "one"})
				s.send(t, spans.Traces)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			files, err := filepath.Glob(filepath.Join(o.Dir, "*.db"))
			if err != nil || len(files) < 2 || len(files) > 12 {
				t.Errorf("%d partitions are left, %v", len(files), err)
			}
			s = openStation(t, archive.Options{Dir: o.Dir})
			if len(s.trace(t, 20).Spans) != 1 {
				t.Error("the newest trace is gone")
			}
			if _, err := s.Trace(t.Context(), telemetry.TraceID(traceID(1))); moorage.CodeOf(err) != moorage.NotFound {
				t.Errorf("the oldest trace: %v", err)
			}
			said := ""
			for record, err := range s.Records(t.Context(), archive.RecordQuery{From: func(from telemetry.Source) bool { return from.Group == archive.EventGroup }}) {
				if err != nil {
					t.Fatal(err)
				}
				said = record.Log.Body().AsString()
			}
			if !strings.Contains(said, "is removed") {
				t.Errorf("the last event is %q", said)
			}
			if list := s.traces(t, archive.Query{}); len(list) == 0 || len(list) == 20 {
				t.Errorf("%d traces are listed", len(list))
			}
		})
	}
}

func TestTail_showsWhatIsOnDisk(t *testing.T) {
	s := newStation(t)
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	items := make(chan telemetry.TailItem)
	begun := make(chan struct{})
	go func() {
		defer close(items)
		close(begun)
		s.Tail(ctx, archive.TailQuery{Session: "mine"}, func(item telemetry.TailItem) bool {
			if _, err := s.Trace(ctx, telemetry.TraceID(traceID(2))); err != nil {
				t.Errorf("what is shown cannot be read: %v", err)
			}
			items <- item
			return false
		})
	}()
	<-begun
	for {
		spans := newSheet()
		spans.add(1, 1, 0, "x", 0, 1, map[string]any{"session.id": "another's"})
		spans.add(2, uint64(time.Now().UnixNano()), 0, "x", 0, 1, map[string]any{"session.id": "mine"})
		s.send(t, spans.Traces)
		select {
		case item := <-items:
			if item.Type != "trace" || item.SessionID != "mine" || !strings.HasSuffix(item.TraceID, "2") || !item.Ended {
				t.Errorf("the tail showed %+v", item)
			}
			return
		default: // it had not begun yet
		}
		if ctx.Err() != nil {
			t.Fatal("the tail showed nothing")
		}
	}
}

// Pages follow each other without a gap or a repetition, across partitions.
func TestTraces_pages(t *testing.T) {
	s := openStation(t, archive.Options{Dir: t.TempDir(), Partition: 1})
	for n := range uint64(25) {
		spans := newSheet()
		spans.add(n+1, 1, 0, "x", int(n), int(n)+1, map[string]any{"session.id": "one"})
		s.send(t, spans.Traces)
	}
	seen, after := map[string]bool{}, ""
	for pages := 0; ; pages++ {
		page, next, err := s.Traces(t.Context(), archive.Query{Limit: 10, After: after})
		if err != nil {
			t.Fatal(err)
		}
		for _, each := range page {
			if seen[each.TraceID] {
				t.Errorf("%s is on two pages", each.TraceID)
			}
			seen[each.TraceID] = true
		}
		if after = next; after == "" || pages > 5 {
			break
		}
	}
	if len(seen) != 25 {
		t.Errorf("%d traces on all pages", len(seen))
	}
}

// A runtime whose telemetry is to be kept for less goes sooner, with the files that hold nothing else; one that is to
// be kept for longer stays.
func TestArchive_keepsEachRuntimeForItsTime(t *testing.T) {
	now := time.Now()
	o := archive.Options{Dir: t.TempDir(), Span: time.Hour, Keep: 6 * time.Hour, Now: func() time.Time { return now }}
	o.Retention = func() func(telemetry.Source) time.Duration {
		return func(s telemetry.Source) time.Duration {
			return map[string]time.Duration{"short": time.Hour, "long": 100 * time.Hour}[s.Runtime]
		}
	}
	for n, runtime := range []string{"short", "plain", "long", "short", "plain", "plain", "plain", "plain", "plain", "plain", "plain", "plain"} {
		s := openStation(t, o)
		s.from = &telemetry.Source{Runtime: runtime, Endpoint: "DEFAULT", Session: runtime}
		spans := newSheet()
		spans.add(uint64(n+1), 1, 0, "x", 0, 1, nil)
		s.send(t, spans.Traces)
		if err := s.Close(); err != nil { // what the writer does then, it does at this hour
			t.Fatal(err)
		}
		now = now.Add(time.Hour)
	}
	s := openStation(t, archive.Options{Dir: o.Dir})
	for n, want := range map[uint64]bool{1: false, 2: false, 3: true, 4: false, 8: true, 12: true} {
		if _, err := s.Trace(t.Context(), telemetry.TraceID(traceID(n))); (err == nil) != want {
			t.Errorf("trace %d: %v, want it kept: %v", n, err, want)
		}
	}
}
