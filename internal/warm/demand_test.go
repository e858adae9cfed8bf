package warm

import (
	"testing"
	"time"
)

func TestDemand_want(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		starts int           // all within
		within time.Duration // before
		idle   time.Duration
		refill time.Duration
		floor  int
		want   int
	}{
		"never called":                  {0, 0, 0, 0, 0, 0},
		"never called, with a floor":    {0, 0, 0, 0, 3, 3},
		"called once":                   {1, 0, 0, 500 * time.Millisecond, 0, 1},
		"called once, long ago":         {1, 0, 9 * time.Minute, 500 * time.Millisecond, 0, 1},
		"not called for ten minutes":    {50, time.Minute, 10 * time.Minute, time.Second, 0, 0},
		"quiet, back to the floor":      {50, time.Minute, 10 * time.Minute, time.Second, 2, 2},
		"two a second, refilled in one": {240, 2 * time.Minute, 0, time.Second, 0, 2},
		"six a second, never above":     {720, 2 * time.Minute, 0, 3 * time.Second, 0, 8},
		"a floor above the ceiling":     {0, 0, 0, 0, 20, 8},
	} {
		t.Run(name, func(t *testing.T) {
			var d demand
			now := start
			for range c.starts {
				now = now.Add(c.within / time.Duration(c.starts))
				d.asked(now)
			}
			d.missing = nil
			d.refilled(now, c.refill)
			if got := d.want(now.Add(c.idle), c.floor, 8); got != c.want {
				t.Errorf("want %d, got %d (rate %.2f/s)", c.want, got, d.rateAt(now))
			}
		})
	}
}

func TestDemand_refillsThatQueueCountTheirWait(t *testing.T) {
	var d demand
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	d.asked(now)
	d.asked(now)
	d.refilled(now.Add(time.Second), time.Second)
	d.refilled(now.Add(2*time.Second), time.Second)
	if d.refill < 1.2 || d.refill > 1.4 {
		t.Errorf("refill %.2f s, want the average of 1 and 2, weighed", d.refill)
	}
}
