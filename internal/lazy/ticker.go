// Package lazy has what comes round rest while there is nothing to do: a server that nobody calls uses no processor.
//
// Every wake of a process costs ten switches or so between its threads, whatever little is done then, and the
// machine cannot sleep deeply meanwhile. So a loop with work only now and then has a [Ticker] instead of a
// time.Ticker, and whoever makes work for it wakes that.
package lazy

import (
	"context"
	"sync/atomic"
	"time"
)

// Ticker has rounds while there is something to do. It may be used concurrently, but has one Run.
type Ticker struct {
	every time.Duration
	timer *time.Timer
	next  atomic.Int32 // resting, woken or hurried
}

// What is to come beside what the last round said.
const (
	resting = iota
	woken   // a round comes within every
	hurried // a round comes now
)

// NewTicker makes a ticker whose rounds are so far apart while it is woken in between.
func NewTicker(every time.Duration) *Ticker {
	t := &Ticker{every: every, timer: time.NewTimer(every)}
	t.timer.Stop()
	return t
}

// Wake sees to it that a round comes: after the time that rounds are apart, or earlier. More calls until then cost a load each.
func (t *Ticker) Wake() {
	if t.next.Load() == resting && t.next.CompareAndSwap(resting, woken) {
		t.timer.Reset(t.every)
	}
}

// Hurry sees to it that a round comes at once, or as soon as the one that goes on has ended.
func (t *Ticker) Hurry() {
	t.next.Store(hurried)
	t.timer.Reset(0)
}

// Run has a round, and more, until ctx ends. A round says when the next one is due if nobody wakes the ticker before
// that; with 0 there is none until somebody does. What a round did not see yet has woken the ticker for the next.
func (t *Ticker) Run(ctx context.Context, round func() (next time.Duration)) {
	t.Wake()
	defer t.timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.timer.C:
		}
		t.next.Store(resting) // first: what comes from here on wakes it again
		if next := round(); next > 0 {
			t.timer.Reset(next)
			switch t.next.Load() { // somebody set it meanwhile, to an earlier time
			case woken:
				t.timer.Reset(min(next, t.every))
			case hurried:
				t.timer.Reset(0)
			}
		}
	}
}
