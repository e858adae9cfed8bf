package usage

import (
	"maps"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/telemetry"
)

// Names of the metrics.
const (
	SessionsMetric = "moorage.sessions"
	CPUMetric      = "moorage.cpu"
	MemoryMetric   = "moorage.memory"
)

// How often the sums are kept: where something changed, and where nothing did.
const (
	often  = 10 * time.Second
	seldom = time.Minute
)

// place is an endpoint of a runtime.
type place struct{ runtime, endpoint string }

// sums are what the sessions of a place take together.
type sums struct {
	live, asleep, memory int64
	used                 time.Duration
}

// ledger knows what was kept last.
type ledger struct {
	at   time.Time
	last map[place]sums
}

// close returns what is to be kept now; nothing while it is too early.
func (l *ledger) close(m *Meter, all []moorage.Session, now time.Time) (out telemetry.Batch) {
	passed := now.Sub(l.at)
	if passed < often {
		return out
	}
	current := m.sums(all)
	if passed < seldom && maps.Equal(current, l.last) {
		return out
	}
	for at := range l.last {
		if _, there := current[at]; !there {
			out.Points = append(out.Points, at.points(sums{}, 0, now)...) // its last session ended
		}
	}
	for at, s := range current {
		cores := 0.0
		if before := l.last[at]; s.used > before.used && passed <= 2*seldom {
			cores = (s.used - before.used).Seconds() / passed.Seconds()
		}
		out.Points = append(out.Points, at.points(s, cores, now)...)
	}
	l.at, l.last = now, current
	out.Received = now
	return out
}

// next is how long until there is something to keep, if no session does anything; 0 when there is nothing.
func (l *ledger) next(current map[place]sums, now time.Time) time.Duration {
	switch {
	case !maps.Equal(current, l.last):
		return l.at.Add(often).Sub(now)
	case len(current) > 0:
		return l.at.Add(seldom).Sub(now)
	}
	return 0
}

func (m *Meter) sums(all []moorage.Session) map[place]sums {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[place]sums{}
	for _, s := range all {
		at := place{s.RuntimeID, s.Endpoint}
		sum := out[at]
		if s.State == moorage.Asleep {
			sum.asleep++
		} else {
			sum.live++
			if h := m.known[s.ID]; h != nil {
				sum.memory += h.memory
			}
		}
		if h := m.known[s.ID]; h != nil {
			sum.used += h.used
		}
		out[at] = sum
	}
	return out
}

func (p place) points(s sums, cores float64, now time.Time) []telemetry.Point {
	point := func(name, unit, labels string, value float64) telemetry.Point {
		return telemetry.Point{
			Series: telemetry.Series{Runtime: p.runtime, Endpoint: p.endpoint, Name: name, Unit: unit, Labels: labels},
			Time:   now.UnixNano(), Value: value, Count: 1, Min: value, Max: value, Parts: []telemetry.Observed{{Value: value, Count: 1}},
		}
	}
	return []telemetry.Point{
		point(SessionsMetric, "{session}", `{"state":"live"}`, float64(s.live)),
		point(SessionsMetric, "{session}", `{"state":"asleep"}`, float64(s.asleep)),
		point(CPUMetric, "{cpu}", "", cores),
		point(MemoryMetric, "By", "", float64(s.memory)),
	}
}
