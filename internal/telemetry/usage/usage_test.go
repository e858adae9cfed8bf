package usage

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/lazy"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/telemetry"
)

// machine is one session, and what the meter kept of it.
type machine struct {
	mu     sync.Mutex
	state  moorage.SessionState
	cpu    time.Duration
	looks  int
	rounds int
	points []telemetry.Point
	used   []telemetry.Used
	meter  *Meter
}

func start(t *testing.T, state moorage.SessionState) *machine {
	m := &machine{state: state}
	m.meter = &Meter{
		Rounds: lazy.NewTicker(Every),
		Sessions: func() []moorage.Session {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.rounds++
			if m.state == moorage.Stopped {
				return nil
			}
			return []moorage.Session{{ID: "s1", RuntimeID: "r", Endpoint: "DEFAULT", State: m.state}}
		},
		Stats: func(context.Context, string) sandbox.Stats {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.looks++
			return sandbox.Stats{CPU: m.cpu, MemoryBytes: 1 << 20}
		},
		Append: func(_ context.Context, b telemetry.Batch) error {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.points, m.used = append(m.points, b.Points...), append(m.used, b.Used...)
			return nil
		},
		Used: func(_ context.Context, session string, _, _ time.Time, _ int) (out []telemetry.Used, err error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			for _, u := range m.used {
				if u.Session == session {
					out = append(out, u)
				}
			}
			return out, nil
		},
		Log: slog.New(slog.DiscardHandler),
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); m.meter.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return m
}

func (m *machine) set(state moorage.SessionState, cpu time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state.Rests() {
		m.meter.Rounds.Wake()
	}
	m.state, m.cpu = state, m.cpu+cpu
}

func (m *machine) of(t *testing.T, session string, since, until time.Time) []Sample {
	t.Helper()
	samples, err := m.meter.Of(t.Context(), session, since, until)
	if err != nil {
		t.Fatal(err)
	}
	return samples
}

// last is the newest value of a metric.
func (m *machine) last(name, labels string) (value float64, found bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.points {
		if p.Series.Name == name && p.Series.Labels == labels {
			value, found = p.Value, true
		}
	}
	return value, found
}

func TestMeter_aSessionThatWorksIsSampled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := start(t, moorage.Active)
		began := time.Now()
		for range 4 {
			time.Sleep(Every)
			synctest.Wait()
			m.set(moorage.Active, Every/4)
		}
		m.set(moorage.Paused, 0)
		time.Sleep(time.Second)
		synctest.Wait()
		samples := m.of(t, "s1", began, time.Time{})
		if len(samples) != 5 || samples[2].CPU != 0.25 || samples[2].MemoryBytes != 1<<20 {
			t.Errorf("samples %+v, want four while it worked and one after, of a quarter of a processor", samples)
		}
		if later := m.of(t, "s1", samples[3].Time, time.Time{}); len(later) != 1 {
			t.Errorf("since the fourth: %+v", later)
		}
		if first := m.of(t, "s1", began, samples[1].Time); len(first) != 1 {
			t.Errorf("until the second: %+v", first)
		}
		if none := m.of(t, "nobody", began, time.Time{}); len(none) != 0 {
			t.Errorf("of nobody: %+v", none)
		}
	})
}

func TestMeter_samplesOutliveTheMeter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := start(t, moorage.Active)
		began := time.Now()
		for range 600 { // more than memory has room for
			time.Sleep(Every)
			m.set(moorage.Active, Every/4)
		}
		synctest.Wait()
		all := m.of(t, "s1", began, time.Time{})
		if len(all) != 600 {
			t.Fatalf("%d samples of 600", len(all))
		}
		killed := &machine{meter: &Meter{Used: m.meter.Used}} // by now it has nothing but the archive
		left := killed.of(t, "s1", began, time.Time{})
		if lost := len(all) - len(left); lost < 0 || lost > int(KeepEvery/Every) {
			t.Fatalf("%d samples are kept of %d", len(left), len(all))
		}
		for i, s := range left {
			if want := all[i]; !s.Time.Equal(want.Time.Truncate(precision)) || s.CPU != want.CPU || s.MemoryBytes != want.MemoryBytes {
				t.Fatalf("sample %d is %+v, was %+v", i, s, want)
			}
		}
		m.set(moorage.Paused, 0)
		time.Sleep(time.Second)
		synctest.Wait()
		if left := killed.of(t, "s1", began, time.Time{}); len(left) != 601 {
			t.Errorf("%d samples are kept once it rests, want all 601", len(left))
		}
	})
}

func TestMeter_nobodyLooksAtSessionsThatRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := start(t, moorage.Paused)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if m.looks != 1 || len(m.points) > 4*6 {
			t.Errorf("a session that rests was looked at %d times, and %d points were kept in five minutes", m.looks, len(m.points))
		}
		if m.rounds > 7 {
			t.Errorf("%d rounds in five minutes in which nothing worked, want one a minute", m.rounds)
		}
		m.set(moorage.Active, 0)
		time.Sleep(time.Second)
		synctest.Wait()
		if m.looks < 2 {
			t.Error("a session that came up again was not looked at within a second")
		}
	})
}

func TestMeter_restsOnceTheLastSessionEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := start(t, moorage.Active)
		time.Sleep(often + Every)
		m.set(moorage.Stopped, 0)
		time.Sleep(often + Every)
		synctest.Wait()
		if live, kept := m.last(SessionsMetric, `{"state":"live"}`); live != 0 || !kept {
			t.Errorf("%v sessions are live", live)
		}
		rounds := m.rounds
		time.Sleep(time.Hour)
		synctest.Wait()
		if m.rounds != rounds {
			t.Errorf("%d rounds in an hour in which nothing was there", m.rounds-rounds)
		}
	})
}

func TestMeter_sumsFollowTheSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := start(t, moorage.Active)
		time.Sleep(often + Every)
		synctest.Wait()
		m.set(moorage.Active, often/2)
		time.Sleep(often + Every)
		synctest.Wait()
		if live, _ := m.last(SessionsMetric, `{"state":"live"}`); live != 1 {
			t.Errorf("%v sessions are live", live)
		}
		if cores, _ := m.last(CPUMetric, ""); cores < 0.45 || cores > 0.5 {
			t.Errorf("%v processors in use, want half of one", cores)
		}
		m.set(moorage.Asleep, 0)
		time.Sleep(often + Every)
		synctest.Wait()
		live, _ := m.last(SessionsMetric, `{"state":"live"}`)
		asleep, _ := m.last(SessionsMetric, `{"state":"asleep"}`)
		if memory, kept := m.last(MemoryMetric, ""); live != 0 || asleep != 1 || memory != 0 || !kept {
			t.Errorf("asleep: %v live, %v asleep, %v bytes", live, asleep, memory)
		}
	})
}
