package v1

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox/journal"
	"github.com/moorage-dev/moorage/internal/store"
)

// LogLine is one line that an agent printed.
type LogLine struct {
	Time    time.Time `json:"time"`
	Stream  string    `json:"stream"` // stdout, stderr, or journal for the platform's own remarks
	Message string    `json:"message"`
	Session string    `json:"session"` // internal id
	Version string    `json:"version"`
}

const defaultTail, maxTail = 100, 100_000

func (h *Handler) sessionLogs(w http.ResponseWriter, r *http.Request) error {
	s, err := h.session(r)
	if err != nil {
		return err
	}
	return h.logs(w, r, func() ([]moorage.Session, error) {
		now, err := h.byID(r.Context(), s.ID)
		if moorage.CodeOf(err) == moorage.NotFound { // its row comes a moment after it
			now, err = s, nil
		}
		return []moorage.Session{now}, err
	})
}

func (h *Handler) runtimeLogs(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if _, err := h.Control.Get(r.Context(), id, 0); err != nil {
		return err
	}
	return h.logs(w, r, func() ([]moorage.Session, error) {
		live := h.live(id)
		var ended []moorage.Session
		err := h.Store.View(r.Context(), func(tx *store.Tx) (err error) {
			ended, err = tx.EndedSessions(id, endedShown)
			return err
		})
		for _, s := range live {
			if !slices.ContainsFunc(ended, func(e moorage.Session) bool { return e.ID == s.ID }) { // one may end in between
				ended = append(ended, s)
			}
		}
		return ended, err
	})
}

// logs writes the last lines of the sessions, oldest first, and then what comes, when asked to follow.
func (h *Handler) logs(w http.ResponseWriter, r *http.Request, sessions func() ([]moorage.Session, error)) error {
	q := r.URL.Query()
	tail := defaultTail
	if text := q.Get("tail"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > maxTail {
			return moorage.Errorf(moorage.Invalid, "tail must be a number from 0 to %d", maxTail)
		}
		tail = n
	}
	found, err := sessions()
	if err != nil {
		return err
	}
	last, from, err := h.tail(found, tail)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := &lineWriter{w: w, flush: http.NewResponseController(w)}
	if err := out.write(last...); err != nil {
		return nil // the reader is gone
	}
	if follow, _ := strconv.ParseBool(q.Get("follow")); follow {
		f := &follower{h: h, out: out, sessions: sessions, from: from}
		f.run(r.Context(), found)
	}
	return nil
}

// tail returns the last n lines of all sessions together, and where each journal goes on, by sandbox.
func (h *Handler) tail(sessions []moorage.Session, n int) (last []LogLine, from map[string]int64, err error) {
	from = map[string]int64{}
	for _, s := range sessions {
		lines, err := journal.Last(h.journal(s), max(n, 1), "")
		if err != nil {
			return nil, nil, err
		}
		for _, l := range lines {
			last = append(last, h.line(s, l))
			from[s.SandboxID] = l.Next
		}
	}
	sort.SliceStable(last, func(i, j int) bool { return last[i].Time.Before(last[j].Time) })
	return last[max(0, len(last)-n):], from, nil
}

func (h *Handler) journal(s moorage.Session) string { return filepath.Join(h.LogDir, s.SandboxID) }

func (h *Handler) line(s moorage.Session, l journal.Line) LogLine {
	return LogLine{l.Time, l.Stream, l.Text, s.ID, strconv.Itoa(s.Version)}
}

// newSessions is how often a follower looks for sessions that began or ended meanwhile.
const newSessions = time.Second

// follower writes lines as they come, of sessions that live and of those that begin.
type follower struct {
	h        *Handler
	out      *lineWriter
	sessions func() ([]moorage.Session, error)
	from     map[string]int64 // where journals go on, by sandbox

	readers sync.WaitGroup
	reading map[string]*reading // by sandbox
}

// reading is one journal being followed. Of a session that ended it is read for one round more.
type reading struct {
	stop context.CancelFunc
	last bool
}

// run follows until ctx ends or the caller is gone. What ended before is not followed.
func (f *follower) run(ctx context.Context, found []moorage.Session) {
	ctx, cancel := context.WithCancel(ctx)
	defer f.readers.Wait()
	defer cancel()
	f.reading = map[string]*reading{}
	for _, s := range found {
		if !s.EndedAt.IsZero() {
			f.reading[s.SandboxID] = &reading{stop: func() {}}
		}
	}
	again := time.NewTicker(newSessions)
	defer again.Stop()
	for {
		for _, s := range found {
			f.look(ctx, cancel, s)
		}
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
		var err error
		if found, err = f.sessions(); err != nil {
			return
		}
	}
}

// look begins or ends the reading of one session's journal.
func (f *follower) look(ctx context.Context, cancel context.CancelFunc, s moorage.Session) {
	r := f.reading[s.SandboxID]
	switch {
	case r == nil:
		one, stop := context.WithCancel(ctx)
		f.reading[s.SandboxID] = &reading{stop: stop}
		f.readers.Go(func() {
			if err := f.read(one, s); err != nil {
				cancel()
			}
		})
	case s.EndedAt.IsZero():
	case r.last:
		r.stop()
	default:
		r.last = true
	}
}

// read writes a session's lines until ctx ends. An error means that the caller is gone.
func (f *follower) read(ctx context.Context, s moorage.Session) error {
	for l, err := range journal.Follow(ctx, f.h.journal(s), f.from[s.SandboxID]) {
		if err != nil {
			f.h.Log.Warn("follow a journal", "session", s.ID, "err", err)
			return nil
		}
		if err := f.out.write(f.h.line(s, l)); err != nil {
			return err
		}
	}
	return nil
}

// lineWriter writes one JSON object per line, from several goroutines.
type lineWriter struct {
	mu    sync.Mutex
	w     http.ResponseWriter
	flush *http.ResponseController
}

func (l *lineWriter) write(lines ...LogLine) error {
	var doc bytes.Buffer
	encode := json.NewEncoder(&doc)
	for _, line := range lines {
		if err := encode.Encode(line); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.w.Write(doc.Bytes()); err != nil {
		return err
	}
	return l.flush.Flush()
}
