package warm

import (
	"math"
	"time"
)

const (
	demandWindow = 30 * time.Second // over which starts are averaged, the latest counting most
	demandQuiet  = 10 * time.Minute // without a start, after which only the floor is kept
	refillWeight = 0.3              // of the newest refill in the average
)

// demand foresees how many sandboxes of a version are asked for while one is got ready:
//
//	starts per second, exponentially decayed × seconds until a taken sandbox is replaced, rounded up
//
// So a version that was called within demandQuiet has at least one ready, and where refills queue
// behind each other, more.
type demand struct {
	rate    float64     // starts per second, at the time of the last
	last    time.Time   // zero before the first
	refill  float64     // seconds, averaged
	missing []time.Time // when the sandboxes were asked for that nothing replaces yet, oldest first
}

// asked notes a session start; missing says that a sandbox of the pool has to be replaced.
func (d *demand) asked(now time.Time) {
	d.rate, d.last = d.rateAt(now)+1/demandWindow.Seconds(), now
	if len(d.missing) < maxCeiling {
		d.missing = append(d.missing, now)
	}
}

func (d *demand) rateAt(now time.Time) float64 {
	return d.rate * math.Exp(-now.Sub(d.last).Seconds()/demandWindow.Seconds())
}

// refilled notes that a sandbox became ready which took so long to start.
func (d *demand) refilled(now time.Time, took time.Duration) {
	if len(d.missing) > 0 {
		took = max(took, now.Sub(d.missing[0]))
		d.missing = d.missing[1:]
	}
	if d.refill == 0 {
		d.refill = took.Seconds()
	}
	d.refill += refillWeight * (took.Seconds() - d.refill)
}

// quiet reports whether nobody asked for one lately.
func (d *demand) quiet(now time.Time) bool { return d.last.IsZero() || now.Sub(d.last) >= demandQuiet }

// want is how many sandboxes shall be ready.
func (d *demand) want(now time.Time, floor, ceiling int) int {
	want := floor
	if !d.quiet(now) {
		want = max(want, 1, int(math.Ceil(min(d.rateAt(now)*d.refill, maxCeiling))))
	}
	return min(want, ceiling)
}
