package sandboxtest

import (
	"io"
	"maps"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/journal"
)

func (s suite) relabel(t *testing.T) {
	spec := s.spec(t)
	spec.Labels = map[string]string{"pool": "one"}
	box := s.start(t, spec)
	want := map[string]string{"session": "two", "runtime": "three"}
	if err := box.Relabel(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	list, err := s.driver.List(t.Context())
	if err != nil || len(list) != 1 || !maps.Equal(list[0].Info().Labels, want) || !maps.Equal(box.Info().Labels, want) {
		t.Errorf("the labels are %v, listed as %v, %v", box.Info().Labels, list, err)
	}
}

// paused starts an agent, and pauses it once prepare was done with it.
func (s suite) paused(t *testing.T, prepare func(agent)) (sandbox.Sandbox, agent) {
	t.Helper()
	box := s.start(t, s.spec(t))
	a := awaitAgent(t, box)
	prepare(a)
	for range 2 {
		if err := box.Pause(t.Context()); err != nil {
			t.Fatal("pause:", detail(err))
		}
	}
	return box, a
}

func resume(t *testing.T, box sandbox.Sandbox) {
	t.Helper()
	for range 2 {
		if err := box.Resume(t.Context()); err != nil {
			t.Fatal("resume:", detail(err))
		}
	}
}

func cpuOf(t *testing.T, box sandbox.Sandbox) time.Duration {
	t.Helper()
	stats, err := box.Stats(t.Context())
	if err != nil {
		t.Fatal("stats:", err)
	}
	return stats.CPU
}

func (a agent) turns(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(a.must(t, "/spun"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (s suite) pause(t *testing.T) {
	var before int
	box, a := s.paused(t, func(a agent) {
		a.must(t, "/spin")
		eventually(t, "the agent is busy", func() bool { before = a.turns(t); return before > 1000 })
	})
	a.http.CloseIdleConnections()
	used := cpuOf(t, box)
	const window = 300 * time.Millisecond
	<-time.After(window) // the time in which nothing is to happen
	if more := cpuOf(t, box) - used; more > window/20 {
		t.Errorf("a paused sandbox used %v of a processor in %v", more, window)
	}
	resume(t, box)
	began := time.Now()
	if after := a.turns(t); after < before {
		t.Errorf("the agent had counted to %d and is at %d", before, after)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the first answer after the pause took %v", took)
	}
	still := a.turns(t)
	eventually(t, "the agent counts on", func() bool { return a.turns(t) > still })
}

func (s suite) pausedRefuses(t *testing.T) {
	box, _ := s.paused(t, func(agent) {})
	_, err := box.Dial(t.Context(), 8080)
	wantCode(t, err, moorage.Conflict)
	_, err = box.Exec(t.Context(), sandbox.Command{Args: []string{s.fixture.Agent, "cat"}})
	wantCode(t, err, moorage.Conflict)
	resume(t, box)
	awaitAgent(t, box)
}

func (s suite) pauseHoldsConnections(t *testing.T) {
	box, a := s.paused(t, func(a agent) { a.must(t, "/ping") })
	answered := make(chan error, 1)
	go func() {
		r, err := a.http.Get("http://agent/ping") // on the connection of the ping before
		if err == nil {
			_, err = io.Copy(io.Discard, r.Body)
			r.Body.Close()
		}
		answered <- err
	}()
	select {
	case err := <-answered:
		t.Errorf("a paused agent answered, %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	resume(t, box)
	select {
	case err := <-answered:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("the request that came during the pause was never answered")
	}
}

func (s suite) stopPaused(t *testing.T) {
	box, _ := s.paused(t, func(agent) {})
	if err := box.Stop(t.Context(), patience); err != nil {
		t.Fatal(err)
	}
	if exit := wait(t, box); !exit.Stopped || exit.Signal != "" {
		t.Errorf("exit %+v; want an agent that had its grace", exit)
	}
	if got := lastLine(t, box, journal.Stdout); got != "goodbye" {
		t.Errorf("last line %q", got)
	}
	if err := box.Pause(t.Context()); err == nil {
		t.Error("a stopped sandbox was paused")
	}
	killed, _ := s.paused(t, func(agent) {})
	if err := killed.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if exit := wait(t, killed); !exit.Stopped {
		t.Errorf("exit %+v", exit)
	}
}

func (s suite) pauseRaces(t *testing.T) {
	box := s.start(t, s.spec(t))
	a := awaitAgent(t, box)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 10 {
				change := box.Pause
				if i%2 == 0 {
					change = box.Resume
				}
				if err := change(t.Context()); err != nil {
					t.Error(detail(err))
				}
			}
		})
	}
	all.Wait()
	resume(t, box)
	if _, err := a.get("/ping"); err != nil {
		t.Error("the agent:", err)
	}
}
