package v1

import (
	"context"
	"encoding/json"
	"net/http"
	"path/filepath"
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
	return h.logs(w, r, func() ([]moorage.Session, error) { return []moorage.Session{s}, nil })
}

func (h *Handler) runtimeLogs(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if _, err := h.Control.Get(r.Context(), id, 0); err != nil {
		return err
	}
	return h.logs(w, r, func() ([]moorage.Session, error) {
		live := h.live(id)
		err := h.Store.View(r.Context(), func(tx *store.Tx) error {
			ended, err := tx.EndedSessions(id, endedShown)
			live = append(live, ended...)
			return err
		})
		return live, err
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
	out := &lineWriter{w: w, flush: http.NewResponseController(w)}
	w.Header().Set("Content-Type", "application/x-ndjson")
	from, err := h.tail(out, found, tail)
	if err != nil {
		return err
	}
	if follow, _ := strconv.ParseBool(q.Get("follow")); follow {
		h.follow(r.Context(), out, sessions, from)
	}
	return nil
}

// tail writes the last n lines of all sessions together and returns where each journal goes on.
func (h *Handler) tail(out *lineWriter, sessions []moorage.Session, n int) (map[string]int64, error) {
	type entry struct {
		line LogLine
		next int64
	}
	var all []entry
	from := map[string]int64{}
	for _, s := range sessions {
		lines, err := journal.Last(h.journal(s), max(n, 1), "")
		if err != nil {
			return nil, err
		}
		from[s.ID] = 0
		for _, l := range lines {
			all = append(all, entry{line: h.line(s, l)})
			from[s.ID] = l.Next
		}
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].line.Time.Before(all[j].line.Time) })
	for _, e := range all[max(0, len(all)-n):] {
		if err := out.write(e.line); err != nil {
			return nil, err
		}
	}
	return from, out.flush.Flush()
}

func (h *Handler) journal(s moorage.Session) string { return filepath.Join(h.LogDir, s.SandboxID) }

func (h *Handler) line(s moorage.Session, l journal.Line) LogLine {
	return LogLine{l.Time, l.Stream, l.Text, s.ID, strconv.Itoa(s.Version)}
}

// newSessions is how often a follower looks for sessions that began meanwhile.
const newSessions = time.Second

// follow writes lines as they come, of these sessions and of those that begin, until ctx ends.
func (h *Handler) follow(ctx context.Context, out *lineWriter, sessions func() ([]moorage.Session, error), from map[string]int64) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var readers sync.WaitGroup
	defer readers.Wait()
	following := map[string]bool{}
	again := time.NewTicker(newSessions)
	defer again.Stop()
	for {
		found, err := sessions()
		if err != nil {
			return
		}
		for _, s := range found {
			if following[s.ID] || !s.EndedAt.IsZero() {
				continue
			}
			following[s.ID] = true
			readers.Go(func() {
				for l, err := range journal.Follow(ctx, h.journal(s), from[s.ID]) {
					if err != nil {
						return
					}
					if out.write(h.line(s, l)) != nil || out.flush.Flush() != nil {
						cancel()
						return
					}
				}
			})
		}
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
	}
}

// lineWriter writes one JSON object per line, from several goroutines.
type lineWriter struct {
	mu    sync.Mutex
	w     http.ResponseWriter
	flush *http.ResponseController
}

func (l *lineWriter) write(line LogLine) error {
	doc, err := json.Marshal(line)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err = l.w.Write(append(doc, '\n'))
	return err
}
