package compat

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestSoak calls many sessions while the server is killed again and again. What a caller was told
// must hold: a session's counter never goes back, and never runs ahead of the calls that were made.
// With -soak it makes 1,000 calls over 50 sessions with five kills; without, a tenth of that.
func TestSoak(t *testing.T) {
	calls, sessions, kills := 100, 5, 2
	if *soak {
		calls, sessions, kills = 1000, 50, 5
	}
	s := own(t)
	a := s.deployed(t, probe)
	const workers = 5
	run := &soakRun{agent: a, perKill: int64(calls / (kills + 1))}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	var all sync.WaitGroup
	errs := make(chan error, workers)
	for w := range workers {
		all.Go(func() { errs <- run.work(ctx, w, sessions/workers, calls/workers) })
	}
	finished := make(chan struct{})
	go func() { all.Wait(); close(finished) }()
	for n := range kills {
		if !run.await(ctx, run.perKill*int64(n+1), finished) {
			break
		}
		s.kill()
		if err := s.start(); err != nil {
			cancel()
			<-finished
			t.Fatal(err)
		}
	}
	<-finished
	for range workers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d calls acknowledged, %d broken off by %d kills", run.acknowledged.Load(), run.broken.Load(), kills)
}

type soakRun struct {
	agent        *agent
	perKill      int64
	acknowledged atomic.Int64
	broken       atomic.Int64
}

// await returns true once that many calls were acknowledged, false when all work is done before.
func (r *soakRun) await(ctx context.Context, calls int64, finished <-chan struct{}) bool {
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for r.acknowledged.Load() < calls {
		select {
		case <-poll.C:
		case <-finished:
			return false
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// counter is what one session's caller knows.
type counter struct {
	session string
	boot    string
	last    int // as acknowledged
	pending int // calls since, whose answers never came
}

// work calls its own sessions, in random order, until each answer has come.
func (r *soakRun) work(ctx context.Context, worker, sessions, calls int) error {
	mine := make([]counter, max(1, sessions))
	for i := range mine {
		mine[i].session = fmt.Sprintf("soak-%d-%d-%s", worker, i, strings.Repeat("0", 33))
	}
	for range calls {
		if err := r.callUntilAnswered(ctx, &mine[rand.IntN(len(mine))]); err != nil {
			return err
		}
	}
	return nil
}

func (r *soakRun) callUntilAnswered(ctx context.Context, c *counter) error {
	retry := time.NewTicker(50 * time.Millisecond)
	defer retry.Stop()
	for {
		var got state
		err := r.agent.call(ctx, c.session, map[string]any{"op": "state"}, &got)
		c.pending++
		if err == nil {
			r.acknowledged.Add(1)
			return c.acknowledge(got)
		}
		if !connectionBroke(err) {
			return fmt.Errorf("session %s after %d answers: %w", c.session, c.last, err)
		}
		r.broken.Add(1)
		select {
		case <-retry.C:
		case <-ctx.Done():
			return fmt.Errorf("session %s: %w", c.session, ctx.Err())
		}
	}
}

// acknowledge holds an answer against what was known.
func (c *counter) acknowledge(got state) error {
	if c.boot != "" && got.Boot != c.boot {
		return fmt.Errorf("session %s lost its memory after %d acknowledged calls: its sandbox was %s and is %s", c.session, c.last, c.boot, got.Boot)
	}
	if got.Count <= c.last || got.Count > c.last+c.pending {
		return fmt.Errorf("session %s counts %d after %d acknowledged calls and %d more", c.session, got.Count, c.last, c.pending)
	}
	c.boot, c.last, c.pending = got.Boot, got.Count, 0
	return nil
}

// connectionBroke reports whether a call met a server that was just killed, and nothing else.
func connectionBroke(err error) bool {
	for _, sign := range []string{"connection refused", "connection reset", "EOF", "broken pipe", "use of closed network connection"} {
		if strings.Contains(err.Error(), sign) {
			return true
		}
	}
	return false
}
