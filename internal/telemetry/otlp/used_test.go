package otlp_test

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
)

// What sessions took is found again by its time, in whichever partition it is; one that was begun before there was room
// for it has none, and has room from when it is written again.
func TestUsed(t *testing.T) {
	now := time.Now()
	o := archive.Options{Dir: t.TempDir(), Span: time.Hour, Now: func() time.Time { return now }}
	s := openStation(t, o)
	add := func(at time.Time, doc string) {
		t.Helper()
		u := telemetry.Used{Session: "one", First: at.UnixNano(), Last: at.Add(5 * time.Second).UnixNano(), Doc: []byte(doc)}
		if err := s.Append(t.Context(), telemetry.Batch{Received: at, Used: []telemetry.Used{u, {Session: "other", First: u.First, Last: u.Last, Doc: []byte("x")}}}); err != nil {
			t.Fatal(err)
		}
	}
	began := now
	add(now, "a")
	add(now.Add(5*time.Second), "b")
	now = now.Add(2 * time.Hour)
	add(now, "c") // the partition is full after it
	add(now.Add(time.Minute), "d")
	want := func(text string, since, until time.Time, limit int) {
		t.Helper()
		found, err := s.Used(t.Context(), "one", since, until, limit)
		said := ""
		for _, u := range found {
			said += string(u.Doc)
		}
		if err != nil || said != text {
			t.Errorf("since %s until %s: %q (%v), want %q", since, until, said, err, text)
		}
	}
	want("abcd", time.Time{}, time.Time{}, 100)
	want("cd", time.Time{}, time.Time{}, 2)
	want("bc", began.Add(7*time.Second), now.Add(time.Second), 100)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(o.Dir, "*.db"))
	if err != nil || len(files) < 2 {
		t.Fatalf("%d partitions, %v", len(files), err)
	}
	for _, file := range files {
		db, err := sql.Open("sqlite", file)
		if err == nil {
			_, err = db.Exec("DROP TABLE used")
			db.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s = openStation(t, o)
	want("", time.Time{}, time.Time{}, 100)
	add(now.Add(2*time.Minute), "e")
	want("e", time.Time{}, time.Time{}, 100)
}
