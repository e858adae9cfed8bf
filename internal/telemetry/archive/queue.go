package archive

import (
	"sync"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/telemetry"
)

// Bounds of what waits for the disk, and of one commit.
const (
	maxWaiting = 32 << 20 // bytes
	maxCommit  = 4 << 20  // bytes
)

// entry is a batch that waits, and whoever waits for it.
type entry struct {
	batch telemetry.Batch
	bytes int
	done  chan error // has room for the one answer
}

// queue is what waits for the disk: bounded by bytes, not by how many.
type queue struct {
	mu      sync.Mutex
	entries []*entry
	bytes   int
	closed  bool
	more    *sync.Cond
}

func newQueue() *queue {
	q := &queue{}
	q.more = sync.NewCond(&q.mu)
	return q
}

var (
	// ErrFull refuses what comes while too much waits already.
	ErrFull   = moorage.Errorf(moorage.Throttled, "more telemetry comes in than the disk takes; send it again in a second")
	errClosed = moorage.Errorf(moorage.Unavailable, "the server is stopping; send it again")
)

// put adds a batch unless too much waits already. A batch of any size fits into an empty queue.
func (q *queue) put(b telemetry.Batch) (done <-chan error, err error) {
	e := &entry{b, sizeOf(b), make(chan error, 1)}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return nil, errClosed
	case len(q.entries) > 0 && q.bytes+e.bytes > maxWaiting:
		return nil, ErrFull
	}
	q.entries = append(q.entries, e)
	q.bytes += e.bytes
	q.more.Signal()
	return e.done, nil
}

// take waits for batches and returns as many as make a commit; none when the queue is closed and empty.
func (q *queue) take() []*entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.entries) == 0 && !q.closed {
		q.more.Wait()
	}
	n, bytes := 0, 0
	for n < len(q.entries) && (n == 0 || bytes+q.entries[n].bytes <= maxCommit) {
		bytes += q.entries[n].bytes
		n++
	}
	out := q.entries[:n:n]
	if q.entries = q.entries[n:]; len(q.entries) == 0 {
		q.entries = nil
	}
	q.bytes -= bytes
	return out
}

// empty reports whether nothing waits.
func (q *queue) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.entries) == 0
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.more.Signal()
}

// sizeOf estimates what a batch takes in memory, in bytes.
func sizeOf(b telemetry.Batch) (n int) {
	const fact, point = 200, 200
	for _, p := range b.Packs {
		n += len(p.Doc)
		for _, c := range p.Chunks {
			n += fact * len(c.Facts)
		}
	}
	for _, c := range b.Calls {
		n += len(c.Doc) + fact*len(c.Begun)
	}
	for _, l := range b.Lines {
		n += len(l.Doc) + fact
	}
	for _, u := range b.Used {
		n += len(u.Doc) + fact
	}
	return n + point*len(b.Points)
}
