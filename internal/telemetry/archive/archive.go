package archive

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/document"
)

// Options of an archive. Dir is required; everything else has a default.
type Options struct {
	Dir string
	// Price returns what a model call costs, in billionths of a dollar; false for a model without a price.
	Price func(model string, u telemetry.Usage) (int64, bool)
	// Partition is how many bytes a partition may have, and Span how long it is written: another is
	// begun then. Defaults 256 MiB and a day.
	Partition int64
	Span      time.Duration
	// Retention says of sources how long what came from them is kept; 0 is as long as Keep. Nil, and a function
	// that it returns as nil, is Keep for all. A partition goes when nothing in it is to be kept any more.
	Retention func() func(telemetry.Source) time.Duration
	// Keep is how long telemetry is kept, by default 30 days; Limit how many bytes of it, by default
	// 20 GiB. What is older, or too much, goes by whole partitions, the oldest first.
	Keep  time.Duration
	Limit int64
	Log   *slog.Logger
	Now   func() time.Time // default time.Now
}

func (o *Options) defaults() {
	if o.Price == nil {
		o.Price = func(string, telemetry.Usage) (int64, bool) { return 0, false }
	}
	if o.Partition == 0 {
		o.Partition = 256 << 20
	}
	if o.Span == 0 {
		o.Span = 24 * time.Hour
	}
	if o.Keep == 0 {
		o.Keep = 30 * 24 * time.Hour
	}
	if o.Limit == 0 {
		o.Limit = 20 << 30
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// Archive is open telemetry. Close it once.
type Archive struct {
	Options
	codec     *document.Codec
	queue     *queue
	done      chan struct{} // the writer has ended
	tails     tails
	followers followers

	mu         sync.RWMutex
	partitions []*partition // oldest first; the last is written
}

// Open opens the archive in a directory, making it on first use, and goes on with its newest partition.
func Open(ctx context.Context, o Options) (*Archive, error) {
	o.defaults()
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	codec, err := document.NewCodec()
	if err != nil {
		return nil, err
	}
	a := &Archive{Options: o, codec: codec, queue: newQueue(), done: make(chan struct{}), tails: tails{open: map[*tail]bool{}}}
	if err := a.load(ctx); err != nil {
		return nil, errors.Join(err, a.closePartitions())
	}
	w := &writer{Archive: a, outlines: newOutlines(a)}
	if err := w.begin(ctx); err != nil {
		return nil, errors.Join(err, a.closePartitions())
	}
	go func() { // ends with Close
		defer close(a.done)
		w.run()
	}()
	return a, nil
}

// Codec is the archive's, for whoever makes batches.
func (a *Archive) Codec() *document.Codec { return a.codec }

// load opens the partitions that are there.
func (a *Archive) load(ctx context.Context) error {
	paths, err := filepath.Glob(filepath.Join(a.Dir, "*"+suffix))
	if err != nil {
		return err
	}
	slices.Sort(paths)
	for _, path := range paths {
		p, err := openPartition(path)
		if err != nil {
			a.Log.Warn("a file among the telemetry is none of ours", "file", filepath.Base(path))
			continue
		}
		switch version, err := p.format(ctx); {
		case err != nil:
			a.Log.Error("a telemetry partition cannot be read; it is left alone", "file", filepath.Base(path), "err", err)
			p.close()
		case version == format:
			if err := p.loadFilter(ctx); err != nil {
				return err
			}
			a.join(p)
		case version == 0: // a server was killed while making it
			if err := p.remove(); err != nil {
				return err
			}
		default:
			a.Log.Warn("a telemetry partition has another version's format; it is left alone", "file", filepath.Base(path), "format", version)
			p.close()
		}
	}
	return nil
}

// Append keeps a batch and returns when it is on disk. Errors: Throttled while too much waits for the
// disk, Unavailable when the disk is full or the archive is closed. A context that ends stops the
// waiting, and not the keeping.
func (a *Archive) Append(ctx context.Context, b telemetry.Batch) error {
	done, err := a.queue.put(b)
	if err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close keeps what was appended and lets go of the files.
func (a *Archive) Close() error {
	a.queue.close()
	<-a.done
	return a.closePartitions()
}

func (a *Archive) closePartitions() error {
	var errs []error
	for _, p := range a.all() {
		errs = append(errs, p.close())
	}
	return errors.Join(errs...)
}

// join adds the newest partition.
func (a *Archive) join(p *partition) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := len(a.partitions); n > 0 {
		a.partitions[n-1].until.Store(p.began.UnixNano())
	}
	a.partitions = append(a.partitions, p)
}

// all returns the partitions, oldest first.
func (a *Archive) all() []*partition {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return slices.Clone(a.partitions)
}

func (a *Archive) current() *partition {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if len(a.partitions) == 0 {
		return nil
	}
	return a.partitions[len(a.partitions)-1]
}
