package price

import (
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

// every is how often a followed file is looked at, at most: only calls have it looked at.
const every = time.Second

// Followed is a table that follows its file. Make one with [Follow]; it may be used concurrently.
type Followed struct {
	path string
	log  *slog.Logger

	mu     sync.Mutex
	table  Table
	looked time.Time
	stamp  stamp // of the file as it was read last
}

// stamp tells one state of a file from another.
type stamp struct {
	at   time.Time
	size int64
}

// Follow loads the table with what the file at path adds, now and whenever the file changes, comes or goes. A
// later file that is wrong is logged, and the table stays as it was.
func Follow(path string, log *slog.Logger) (*Followed, error) {
	f := &Followed{path: path, log: log, looked: time.Now(), stamp: stampOf(path)}
	var err error
	f.table, err = Load(path)
	return f, err
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{info.ModTime(), info.Size()}
}

// Of is as of a Table.
func (f *Followed) Of(model string, u telemetry.Usage) (int64, bool) { return f.current().Of(model, u) }

func (f *Followed) current() Table {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if now.Sub(f.looked) < every {
		return f.table
	}
	f.looked = now
	is := stampOf(f.path)
	if is == f.stamp {
		return f.table
	}
	f.stamp = is
	table, err := Load(f.path)
	if err != nil {
		f.log.Warn("prices stay as they were", "err", err)
		return f.table
	}
	f.log.Info("prices are read again", "models", len(table))
	f.table = table
	return f.table
}
