package archive

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

// rotate begins another partition when the one that is written is full, and makes room. A failure is
// logged: the writer goes on with what it has.
func (w *writer) rotate(ctx context.Context) {
	if w.to.size() >= w.Partition || w.Now().Sub(w.to.began) >= w.Span {
		if err := w.settle(ctx); err != nil {
			w.Log.Error("go on with a full telemetry partition", "err", err)
			return
		}
		full, prepared := w.to, w.prepared
		if err := w.next(ctx); err != nil {
			w.Log.Error("go on with a full telemetry partition", "err", err)
			return
		}
		prepared.close()
		if err := full.seal(); err != nil {
			w.Log.Error("close a telemetry partition", "err", err)
		}
		w.forget()
	}
}

// settle writes what commits left for later.
func (w *writer) settle(ctx context.Context) error {
	if len(w.active.sessions) == 0 && !w.active.torn {
		return nil
	}
	return w.atomically(ctx, func() error { return w.writeActive(ctx) })
}

// forget removes what is too old, and the oldest of what is too much; never what is written.
func (w *writer) forget() {
	total, retention := int64(0), w.retention()
	for _, p := range slices.Backward(w.all()) {
		size := p.size()
		total += size
		keep := w.Keep
		if retention != nil && p != w.to {
			keep = w.longest(p, retention)
		}
		old := w.Now().Sub(p.began) > keep+w.Span
		if p == w.to || !old && total <= w.Limit {
			continue
		}
		total -= size
		why := "it is older than telemetry is kept"
		if !old {
			why = "telemetry has reached its size limit"
		}
		w.Log.Warn("a telemetry partition is removed", "began", p.began, "bytes", size, "why", why)
		if err := w.drop(p); err != nil {
			w.Log.Error("remove a telemetry partition", "err", err)
			continue
		}
		w.forgotten(p.began, size, why)
	}
}

func (w *writer) retention() func(telemetry.Source) time.Duration {
	if w.Retention == nil {
		return nil
	}
	return w.Retention()
}

// longest is how long a partition is kept for the sake of whoever's telemetry is kept longest.
func (w *writer) longest(p *partition, retention func(telemetry.Source) time.Duration) (keep time.Duration) {
	sources, err := p.sources(context.Background())
	if err != nil {
		w.Log.Error("find whose telemetry a partition holds", "began", p.began, "err", err)
		return w.Keep
	}
	for _, s := range sources {
		keep = max(keep, cmp.Or(retention(s), w.Keep))
	}
	return cmp.Or(keep, w.Keep)
}

func (a *Archive) drop(p *partition) error {
	a.mu.Lock()
	a.partitions = slices.DeleteFunc(a.partitions, func(each *partition) bool { return each == p })
	a.mu.Unlock()
	return errors.Join(p.remove())
}
