package archive

import (
	"sync"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

// Followed is what a reader of new records gets.
type Followed struct {
	Records []Record // without ids and places: they have them when they are asked for
	Missed  int      // how many batches the reader was too slow for since the last
}

// follower is a reader of new records.
type follower struct {
	from   func(telemetry.Source) bool
	items  chan Followed
	missed int
}

// maxBatches is how many batches a follower may be behind.
const maxBatches = 256

// followers are those who read new records.
type followers struct {
	mu   sync.Mutex
	open map[*follower]bool
}

// Follow gives the log records that come in from now on, of those sources, once they are on disk. Stop ends it; it
// may be called more than once.
func (a *Archive) Follow(from func(telemetry.Source) bool) (records <-chan Followed, stop func()) {
	f := &follower{from: from, items: make(chan Followed, maxBatches)}
	a.followers.mu.Lock()
	defer a.followers.mu.Unlock()
	if a.followers.open == nil {
		a.followers.open = map[*follower]bool{}
	}
	a.followers.open[f] = true
	return f.items, func() {
		a.followers.mu.Lock()
		defer a.followers.mu.Unlock()
		delete(a.followers.open, f)
	}
}

// follow shows batches that are on disk to who follows. Nothing is unpacked while nobody does.
func (a *Archive) follow(entries []*entry) {
	a.followers.mu.Lock()
	defer a.followers.mu.Unlock()
	if len(a.followers.open) == 0 {
		return
	}
	for _, e := range entries {
		for _, lines := range e.batch.Lines {
			a.followLines(lines)
		}
	}
}

func (a *Archive) followLines(lines telemetry.Lines) {
	var records []Record
	for f := range a.followers.open {
		if !f.from(lines.Source) {
			continue
		}
		if records == nil {
			l, err := a.codec.Logs(lines.Doc)
			if err != nil {
				a.Log.Error("show log lines to who follows", "err", err)
				return
			}
			records = recordsOf(l, lines.Source)
		}
		select {
		case f.items <- Followed{records, f.missed}:
			f.missed = 0
		default:
			f.missed++
		}
	}
}

func recordsOf(l plog.Logs, from telemetry.Source) (out []Record) {
	for _, resource := range l.ResourceLogs().All() {
		for _, scope := range resource.ScopeLogs().All() {
			for _, record := range scope.LogRecords().All() {
				out = append(out, Record{Place: Place{Time: int64(logTime(record))}, Source: from, Resource: resource.Resource().Attributes(), Scope: scope.Scope(), Log: record})
			}
		}
	}
	return out
}
