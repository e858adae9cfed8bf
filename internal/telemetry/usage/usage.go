// Package usage measures what sessions take of the machine.
//
// A session that works is looked at twice a second, and what it took then is kept, for the strip under a trace: the
// last minutes of its work in memory, and all of it in the archive, [KeepEvery] behind; a server that is killed loses
// that much. What the sessions of an endpoint take together is kept in the archive by the minute, as the metrics
//
//	moorage.sessions  how many there are, by state: live or asleep
//	moorage.cpu       processors in use
//	moorage.memory    bytes in memory; none of sessions asleep
//
// Where no session works, nothing is looked at, and a minute costs one write; where none is there, nothing.
package usage

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/lazy"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/telemetry"
)

// Every is how often working sessions are looked at.
const Every = 500 * time.Millisecond

// KeepEvery is how far the archive may be behind.
const KeepEvery = 5 * time.Second

// Bounds: sessions looked at in one round, samples kept of a session, and sessions that they are kept of.
const (
	maxLooks    = 32
	maxSamples  = 480 // four minutes of work
	maxSessions = 1000
)

// Sample is what a session took at a moment.
type Sample struct {
	Time        time.Time `json:"time"`
	CPU         float64   `json:"cpu"` // processors in use since the sample before
	MemoryBytes int64     `json:"memoryBytes"`
}

// Meter looks at sessions. Its fields are set before Run.
type Meter struct {
	Rounds   *lazy.Ticker             // of looks; whoever knows that a session came up, or ended, wakes it
	Sessions func() []moorage.Session // that are alive
	Stats    func(ctx context.Context, session string) sandbox.Stats
	Append   func(context.Context, telemetry.Batch) error
	// Used returns what was appended of a session, as archive.Archive.Used does. Nil is nothing.
	Used func(ctx context.Context, session string, since, until time.Time, limit int) ([]telemetry.Used, error)
	Log  *slog.Logger

	mu    sync.Mutex
	known map[string]*history // by session
}

// history is what is known of a session.
type history struct {
	samples []Sample
	kept    int  // how many of these are in the archive
	worked  bool // at the last look
	used    time.Duration
	memory  int64
	looked  time.Time
}

// Run measures until ctx ends.
func (m *Meter) Run(ctx context.Context) {
	var book ledger
	var kept time.Time
	m.Rounds.Run(ctx, func() time.Duration {
		now := time.Now()
		all := m.Sessions()
		m.look(ctx, all, now)
		up := slices.ContainsFunc(all, func(s moorage.Session) bool { return !s.State.Rests() })
		batch := book.close(m, all, now)
		if !up || now.Sub(kept) >= KeepEvery {
			batch.Used, kept = m.unkept(), now
		}
		m.keep(ctx, batch)
		if up {
			return Every
		}
		return book.next(m.sums(all), now)
	})
	m.keep(context.WithoutCancel(ctx), telemetry.Batch{Received: time.Now(), Used: m.unkept()})
}

func (m *Meter) keep(ctx context.Context, b telemetry.Batch) {
	if len(b.Points)+len(b.Used) == 0 {
		return
	}
	if err := m.Append(ctx, b); err != nil {
		if ctx.Err() == nil {
			m.Log.Warn("keep what sessions take", "err", err)
		}
		return // what a session took is tried again with what it takes next
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, u := range b.Used {
		if h := m.known[u.Session]; h != nil {
			h.kept = len(h.samples)
		}
	}
}

// unkept is what the archive does not have yet.
func (m *Meter) unkept() (out []telemetry.Used) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, h := range m.known {
		if fresh := h.samples[h.kept:]; len(fresh) > 0 {
			out = append(out, telemetry.Used{Session: id, First: fresh[0].Time.UnixNano(), Last: fresh[len(fresh)-1].Time.UnixNano(), Doc: pack(fresh)})
		}
	}
	return out
}

// How many stretches of KeepEvery an answer is drawn from: from a time on, and the last ones.
const (
	maxStretches  = 400
	lastStretches = 60
)

// Of lists what a session took while it worked, after since and before until, by time: the newest some thousand samples,
// fewer where since is zero. A zero until is no bound.
func (m *Meter) Of(ctx context.Context, session string, since, until time.Time) ([]Sample, error) {
	out := []Sample{}
	recent := m.recent(session)
	if m.Used != nil && (len(recent) == 0 || since.Before(recent[0].Time)) {
		limit := maxStretches
		if since.IsZero() {
			limit = lastStretches
		}
		kept, err := m.Used(ctx, session, since, until, limit)
		if err != nil {
			return nil, err
		}
		for _, u := range kept {
			for _, s := range unpack(u.Doc) {
				if len(recent) == 0 || s.Time.Before(recent[0].Time.Truncate(precision)) {
					out = append(out, s)
				}
			}
		}
	}
	return slices.DeleteFunc(append(out, recent...), func(s Sample) bool {
		return !s.Time.After(since) || !until.IsZero() && !s.Time.Before(until)
	}), nil
}

// recent is what is in memory of a session.
func (m *Meter) recent(session string) []Sample {
	m.mu.Lock()
	defer m.mu.Unlock()
	if h := m.known[session]; h != nil {
		return slices.Clone(h.samples)
	}
	return nil
}

// look takes a sample of each session that works, of those that just stopped, and of those that nothing is known of.
func (m *Meter) look(ctx context.Context, all []moorage.Session, now time.Time) {
	looks := 0
	for _, s := range all {
		h := m.history(s.ID)
		works := s.State == moorage.Active
		if looks == maxLooks || s.State == moorage.Asleep || !works && !h.worked && !h.looked.IsZero() {
			continue
		}
		looks++
		m.sample(h, m.Stats(ctx, s.ID), now, works)
	}
	m.forget(all)
}

func (m *Meter) history(id string) *history {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil {
		m.known = map[string]*history{}
	}
	h := m.known[id]
	if h == nil {
		h = &history{}
		m.known[id] = h
	}
	return h
}

// sample adds what was seen. A session that did not work before used the processor since about the last look only.
func (m *Meter) sample(h *history, stats sandbox.Stats, now time.Time, works bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	passed := Every
	if h.worked && now.After(h.looked) {
		passed = now.Sub(h.looked)
	}
	cpu := max(0, (stats.CPU-h.used).Seconds()/passed.Seconds())
	if h.looked.IsZero() && !works {
		cpu = 0
	}
	h.samples = append(h.samples, Sample{now.UTC(), cpu, stats.MemoryBytes})
	if len(h.samples) > maxSamples {
		gone := len(h.samples) - maxSamples/2
		h.samples, h.kept = append(h.samples[:0], h.samples[gone:]...), max(0, h.kept-gone)
	}
	h.worked, h.used, h.memory, h.looked = works, stats.CPU, stats.MemoryBytes, now
}

// forget drops the sessions that ended first, where there are too many.
func (m *Meter) forget(all []moorage.Session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.known) <= maxSessions+len(all) {
		return
	}
	alive := map[string]bool{}
	for _, s := range all {
		alive[s.ID] = true
	}
	for id := range m.known {
		if len(m.known) <= maxSessions/2+len(all) {
			return
		}
		if !alive[id] {
			delete(m.known, id)
		}
	}
}
