package archive

import (
	"context"
	"sync"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

// TailQuery says what a tail shows. The zero value is everything.
type TailQuery struct {
	Runtime string
	Session string
	Trace   string
}

// maxBehind is how many items a reader may be behind before it misses some.
const maxBehind = 1024

// tails are those who watch what comes in.
type tails struct {
	mu   sync.Mutex
	open map[*tail]bool
}

// tail is one of them.
type tail struct {
	query  TailQuery
	items  chan telemetry.TailItem
	missed int
}

// Tail yields what comes in from now on, once it is on disk, until ctx ends or yield returns false. A
// reader that is too slow misses some, and is told how many.
func (a *Archive) Tail(ctx context.Context, q TailQuery, yield func(telemetry.TailItem) bool) {
	t := &tail{query: q, items: make(chan telemetry.TailItem, maxBehind)}
	a.tails.mu.Lock()
	a.tails.open[t] = true
	a.tails.mu.Unlock()
	defer func() {
		a.tails.mu.Lock()
		delete(a.tails.open, t)
		a.tails.mu.Unlock()
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.done:
			return
		case item := <-t.items:
			if !yield(item) {
				return
			}
		}
	}
}

// publish shows batches that are on disk to who watches. Nothing is unpacked while nobody does.
func (a *Archive) publish(entries []*entry) {
	a.tails.mu.Lock()
	defer a.tails.mu.Unlock()
	if len(a.tails.open) == 0 {
		return
	}
	for _, e := range entries {
		for _, p := range e.batch.Packs {
			for _, c := range p.Chunks {
				a.tails.send(traceItem(c.Trace, c.Source, c.Facts...))
			}
		}
		for _, c := range e.batch.Calls {
			for _, b := range c.Begun {
				a.tails.send(traceItem(b.Trace, b.Source, b.Fact))
			}
		}
		for _, l := range e.batch.Lines {
			a.publishLines(l)
		}
	}
}

func traceItem(trace telemetry.TraceID, from telemetry.Source, spans ...telemetry.Fact) telemetry.TailItem {
	item := telemetry.TailItem{
		Type: "trace", TraceID: trace.String(), SessionID: from.Session, Runtime: from.Runtime, Endpoint: from.Endpoint, Spans: len(spans),
	}
	for _, f := range spans {
		if f.Error != "" {
			item.Errors++
		}
		if isRoot(f) {
			item.Ended = true
		}
	}
	return item
}

func (a *Archive) publishLines(l telemetry.Lines) {
	if l.Source.Group != "" {
		return
	}
	err := a.records(stored{source: l.Source, doc: l.Doc}, func(id string, record plog.LogRecord) {
		line := logView(l.Source, id, record)
		line.ID = "" // it has one when it is asked for
		a.tails.send(telemetry.TailItem{Type: "log", TraceID: line.TraceID, SessionID: l.Source.Session, Runtime: l.Source.Runtime, Endpoint: l.Source.Endpoint, Log: &line})
	})
	if err != nil {
		a.Log.Error("show log lines to who watches", "err", err)
	}
}

// send shows an item to everybody who asked for it. The caller holds mu.
func (t *tails) send(item telemetry.TailItem) {
	for each := range t.open {
		q := each.query
		if q.Runtime != "" && q.Runtime != item.Runtime || q.Session != "" && q.Session != item.SessionID || q.Trace != "" && q.Trace != item.TraceID {
			continue
		}
		item.Missed = each.missed
		select {
		case each.items <- item:
			each.missed = 0
		default:
			each.missed++
		}
	}
}
