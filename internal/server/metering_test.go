package server

import (
	"testing"
	"time"
)

func TestMetered_countsNothingTwice(t *testing.T) {
	began := time.Now()
	last, total := metered{at: began}, time.Duration(0)
	for i, says := range []time.Duration{time.Second, 3 * time.Second, 0, 3 * time.Second, 4 * time.Second} { // once it cannot say
		var used, elapsed time.Duration
		elapsed, used, last = last.since(began.Add(time.Duration(i+1)*time.Minute), says)
		if total += used; elapsed != time.Minute {
			t.Errorf("reading %d is of %s", i, elapsed)
		}
	}
	if total != 4*time.Second {
		t.Errorf("%s were counted of 4 s", total)
	}
}

func TestMetered_sleepIsNoUse(t *testing.T) {
	began := time.Now()
	elapsed, _, _ := metered{at: began, asleep: true}.since(began.Add(time.Minute), 0)
	if elapsed > meterEvery {
		t.Errorf("a session that was awake for %s at most used %s", meterEvery, elapsed)
	}
}
