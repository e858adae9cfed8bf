package printed_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moorage-dev/moorage/internal/lazy"
	"github.com/moorage-dev/moorage/internal/sandbox/journal"
	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
	"github.com/moorage-dev/moorage/internal/telemetry/printed"
)

// press is a sandbox's journal that is followed into an archive.
type press struct {
	dir, logs string
	source    telemetry.Source
}

func newPress(t *testing.T) *press {
	t.Helper()
	return &press{t.TempDir(), t.TempDir(), telemetry.Source{Runtime: "news-0123456789", Session: "s1", Sandbox: "box"}}
}

// follow reads the journal while what runs, and then whatever is left, as a server does between its
// start and its end.
func (p *press) follow(t *testing.T, what func(*archive.Archive)) {
	t.Helper()
	a, err := archive.Open(t.Context(), archive.Options{Dir: p.dir})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	f := &printed.Follower{
		Archive: a, Dir: p.logs, Rounds: lazy.NewTicker(printed.Every), Sandboxes: func() ([]telemetry.Source, bool) { return []telemetry.Source{p.source}, false },
		Ended: func(context.Context) ([]telemetry.Source, error) { return nil, nil }, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); f.Run(ctx) }()
	what(a)
	stop()
	<-ended
}

func (p *press) print(t *testing.T, lines ...string) {
	t.Helper()
	w, err := journal.Open(filepath.Join(p.logs, p.source.Sandbox), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Copy(journal.Stdout, strings.NewReader(strings.Join(lines, "\n")+"\n")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// messages waits until so many lines are kept, and returns what they say.
func messages(t *testing.T, a *archive.Archive, n int) (out []string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		kept, err := a.Session(t.Context(), "s1")
		if err != nil {
			t.Fatal(err)
		}
		if len(kept.Logs) >= n {
			for _, l := range kept.Logs {
				out = append(out, l.Message)
			}
			return out
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d lines are kept, not %d", len(kept.Logs), n)
		}
		runtime.Gosched()
	}
}

func TestFollower_keepsEveryLineOnceAcrossRestarts(t *testing.T) {
	p := newPress(t)
	p.print(t, "before the server started")
	p.follow(t, func(a *archive.Archive) {
		messages(t, a, 1)
		p.print(t, "while it ran")
		messages(t, a, 2)
	})
	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprint("line ", i))
	}
	p.print(t, many...)
	p.follow(t, func(a *archive.Archive) {
		got := messages(t, a, 1002)
		if want := append([]string{"before the server started", "while it ran"}, many...); !slices.Equal(got, want) {
			t.Errorf("kept %d lines, want %d", len(got), len(want))
		}
	})
}

func TestFollower_linesSayWhereTheyBelong(t *testing.T) {
	p := newPress(t)
	const trace = "69203c2a5f6b8f1d2c3e4a5b6c7d8e9f"
	p.print(t, `{"level":"info","message":"found it","requestId":"r-1","traceId":"`+trace+`","spanId":"00f067aa0ba902b7"}`, "{not json", "plain")
	p.follow(t, func(a *archive.Archive) {
		messages(t, a, 2) // those without a trace
		id, _ := telemetry.ParseTraceID(trace)
		found, err := a.Logs(t.Context(), archive.LogQuery{Trace: id})
		if err != nil || len(found) != 1 {
			t.Fatalf("%+v, %v", found, err)
		}
		if l := found[0]; l.Severity != "INFO" || l.RequestID != "r-1" || l.SpanID != "00f067aa0ba902b7" || l.Stream != "stdout" || l.SessionID != "s1" {
			t.Errorf("the line is %+v", l)
		}
	})
}
