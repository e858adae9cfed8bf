package server

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/moorage-dev/moorage/internal/identity/audit"
)

// pollEvery is how often one and the same thing that a console's page reads is on record.
const pollEvery = 5 * time.Minute

// polls are what consoles read over and over: their pages ask every few seconds, and would bury what people did. The first reading is on
// record as any call is; what repeats it within pollEvery is counted, and the count is on record when that time is over. Refusals and changes
// are never among them.
type polls struct {
	mu    sync.Mutex
	seen  map[poll]*repeated
	sweep time.Time // when the next look for what is over is due
}

// poll is a reading: who, from where, and what. Of an authentication it does not matter what for.
type poll struct {
	kind                                    audit.Kind
	caller, key, from, path, action, object string
	person                                  string // behind the caller
}

type repeated struct {
	record audit.Record // the first
	times  int          // after it
}

// polled counts a record that repeats a console's reading, and reports whether it did.
func (h *house) polled(r *http.Request, record audit.Record) bool {
	reading := r.Method == http.MethodGet || r.Method == http.MethodHead
	if !reading || record.Refused || record.Kind != audit.Authentication && record.Kind != audit.Decision || !h.browser.LoggedIn(r) {
		return false
	}
	p := poll{kind: record.Kind, caller: record.Caller, key: record.Key, from: record.From, person: record.Detail["person"]}
	if record.Kind == audit.Decision {
		p.path, p.action, p.object = r.URL.Path, record.Action, strings.Join(record.Resources, " ")
	}
	again, over := h.polls.count(p, record, time.Now())
	h.notePolls(over)
	return again
}

// count reports whether a reading repeats another, and returns the counts whose time is over.
func (p *polls) count(of poll, record audit.Record, now time.Time) (again bool, over []audit.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen == nil {
		p.seen = map[poll]*repeated{}
	}
	record.Time = now
	if now.After(p.sweep) || p.seen[of] != nil && now.Sub(p.seen[of].record.Time) >= pollEvery {
		p.sweep = now.Add(pollEvery / 5)
		for key, s := range p.seen {
			if now.Sub(s.record.Time) >= pollEvery {
				over = append(over, s.count()...)
				delete(p.seen, key)
			}
		}
	}
	if s := p.seen[of]; s != nil {
		s.times++
		return true, over
	}
	p.seen[of] = &repeated{record: record}
	return false, over
}

// all returns every count that is left.
func (p *polls) all() (out []audit.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.seen {
		out = append(out, s.count()...)
	}
	p.seen = nil
	return out
}

// count is the record that says how often the first was repeated; none where it was not.
func (s *repeated) count() []audit.Record {
	if s.times == 0 {
		return nil
	}
	r := s.record
	r.RequestID, r.Reason = "", "the console read the same again"
	r.Detail = map[string]string{"repeated": strconv.Itoa(s.times), "since": r.Time.UTC().Format(time.RFC3339)}
	if person := s.record.Detail["person"]; person != "" {
		r.Detail["person"] = person
	}
	r.Time = time.Time{} // that of writing
	return []audit.Record{r}
}

// notePolls puts counts on record. What cannot be written, the record's own log tells.
func (h *house) notePolls(counts []audit.Record) {
	for _, r := range counts {
		h.audit.Record(context.Background(), r) // none of these waits
	}
}
