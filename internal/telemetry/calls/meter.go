package calls

import (
	"sync"
	"time"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

// meter adds up what is counted until it is written.
type meter struct {
	mu     sync.Mutex
	points map[telemetry.Series]*telemetry.Point
}

// maxSeries bounds how many series wait; callers have no say in their names.
const maxSeries = 10_000

// Count adds to a series of an endpoint: sessions that start, sockets and their bytes. It is written with
// the spans.
func (r *Recorder) Count(from telemetry.Source, name, unit string, value float64) {
	if r == nil {
		return
	}
	r.Observe(telemetry.Series{Runtime: from.Runtime, Endpoint: from.Endpoint, Name: name, Unit: unit}, value)
}

// Observe adds to any series. It is written with the spans.
func (r *Recorder) Observe(series telemetry.Series, value float64) {
	defer r.rounds.Wake()
	r.meter.mu.Lock()
	defer r.meter.mu.Unlock()
	p := r.meter.points[series]
	if p == nil {
		if len(r.meter.points) >= maxSeries {
			return
		}
		if r.meter.points == nil {
			r.meter.points = map[telemetry.Series]*telemetry.Point{}
		}
		p = &telemetry.Point{Series: series, Min: value, Max: value}
		r.meter.points[series] = p
	}
	p.Time = time.Now().UnixNano()
	p.Value += value
	p.Count++
	p.Min, p.Max = min(p.Min, value), max(p.Max, value)
}

// Count adds to a series of the endpoint that is called.
func (s *Span) Count(name, unit string, value float64) {
	if s != nil {
		s.recorder.Count(s.call.Source, name, unit, value)
	}
}

// take returns what was counted, and begins anew.
func (m *meter) take() (out []telemetry.Point) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.points {
		out = append(out, *p)
	}
	clear(m.points)
	return out
}
