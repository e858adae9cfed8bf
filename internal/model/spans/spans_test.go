package spans_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/moorage-dev/moorage/internal/model/spans"
	"github.com/moorage-dev/moorage/internal/telemetry"
)

// archive keeps what it is given, and notes of whom.
type archive struct {
	mu    sync.Mutex
	kept  map[string]int // spans by session
	times int
	err   error
}

func (a *archive) keep(ctx context.Context, t ptrace.Traces) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	from, _ := telemetry.SourceOf(ctx)
	a.kept[from.Session] += t.SpanCount()
	a.times++
	return a.err
}

// recording runs a recorder, which stop ends.
func recording(t *testing.T, a *archive) (r *spans.Recorder, stop func()) {
	r = spans.New(a.keep, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() { r.Run(ctx) })
	return r, func() { cancel(); work.Wait() }
}

func of(session string) context.Context {
	return telemetry.WithSource(context.Background(), telemetry.Source{Session: session})
}

func name(span ptrace.Span) { span.SetName("chat") }

func TestRecorder_writesTogetherWhatComesTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &archive{kept: map[string]int{}}
		r, stop := recording(t, a)
		for range 50 {
			r.Add(of("one"), name)
			r.Add(of("two"), name)
		}
		r.Add(context.Background(), name)
		synctest.Wait()
		if a.times != 0 {
			t.Errorf("it wrote %d times at once", a.times)
		}
		time.Sleep(spans.Delay)
		synctest.Wait()
		if a.times != 3 || a.kept["one"] != 50 || a.kept["two"] != 50 || a.kept[""] != 1 {
			t.Errorf("it wrote %d times, %v", a.times, a.kept)
		}
		r.Add(of("one"), name)
		stop()
		if a.kept["one"] != 51 || r.Dropped() != 0 {
			t.Errorf("at the end %v are kept, %d dropped", a.kept, r.Dropped())
		}
	})
}

func TestRecorder_aCrowdDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &archive{kept: map[string]int{}}
		r, stop := recording(t, a)
		defer stop()
		began := time.Now()
		for range 20 {
			for range 300 {
				r.Add(of("one"), name)
			}
			synctest.Wait()
		}
		if n := a.kept["one"] + int(r.Dropped()); r.Dropped() != 0 || n < 5000 || time.Since(began) != 0 {
			t.Errorf("%d of 6000 are kept after %s, %d dropped", a.kept["one"], time.Since(began), r.Dropped())
		}
	})
}

func TestRecorder_countsWhatIsNotKept(t *testing.T) {
	a := &archive{kept: map[string]int{}, err: errors.New("disk full")}
	r, stop := recording(t, a)
	for range 100 {
		r.Add(of("one"), name)
	}
	stop()
	if r.Dropped() != 100 {
		t.Errorf("%d are counted", r.Dropped())
	}
}
