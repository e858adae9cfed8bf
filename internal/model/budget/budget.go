// Package budget bounds what agents spend on models: tokens and money, of each session, and of each runtime in
// a day (UTC).
//
// A call is let in while what was spent, and what is held for calls in progress, is less than the limit. Held is
// what a call may take as far as can be said before: its input as estimated, and the most that it lets the model
// write, or [Unsaid] tokens where it does not say. So a sum passes its limit by less than what one call takes,
// and what others that were in progress took beyond what was held for them; of those that say nothing
// there are at most the limit divided by Unsaid, and one. Which calls are in progress is in memory only, and what was
// spent is written down by whoever calls [Meter.Save]: a server that is killed forgets what came after.
//
// Money is what the prices of package price say: a model that has none costs nothing, and is bounded by tokens only.
package budget

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
)

// Tags by which a runtime sets its budgets. Dollars are a number such as 0.50.
const (
	TagSessionTokens  = "moorage:session-tokens"
	TagSessionDollars = "moorage:session-dollars"
	TagDailyTokens    = "moorage:daily-tokens" // of all sessions together
	TagDailyDollars   = "moorage:daily-dollars"
	TagSpent          = "moorage:budget-spent" // refuse (the default) or end: what happens then
)

// Unsaid is how many tokens are held for the answer to a call that does not bound it.
const Unsaid = 4096

// Amount is what was spent, or may be; of a limit 0 is none.
type Amount struct {
	Tokens int64 `json:"tokens,omitempty"`
	Cost   int64 `json:"cost,omitempty"` // billionths of a dollar
}

func (a Amount) plus(b Amount) Amount  { return Amount{a.Tokens + b.Tokens, a.Cost + b.Cost} }
func (a Amount) minus(b Amount) Amount { return Amount{a.Tokens - b.Tokens, a.Cost - b.Cost} }

// Limits are a runtime's.
type Limits struct {
	Session, Day Amount
	End          bool // the session, when a budget is used up
}

// Bounds of what tags may say.
const (
	maxTokens  = 1 << 50
	maxDollars = 1_000_000
	billion    = 1_000_000_000
)

// Parse reads the tags of a runtime.
func Parse(tags map[string]string) (l Limits, err error) {
	for tag, into := range map[string]*int64{TagSessionTokens: &l.Session.Tokens, TagDailyTokens: &l.Day.Tokens} {
		if text, ok := tags[tag]; ok {
			if *into, err = strconv.ParseInt(text, 10, 64); err != nil || *into < 1 || *into > maxTokens {
				return l, fmt.Errorf("the tag %s is a number of tokens such as 200000; %q is not", tag, text)
			}
		}
	}
	for tag, into := range map[string]*int64{TagSessionDollars: &l.Session.Cost, TagDailyDollars: &l.Day.Cost} {
		if text, ok := tags[tag]; ok {
			dollars, err := strconv.ParseFloat(text, 64)
			if err != nil || !(dollars >= 1.0/billion && dollars <= maxDollars) { // NaN is neither
				return l, fmt.Errorf("the tag %s is a number of US dollars such as 0.50; %q is not", tag, text)
			}
			*into = int64(dollars*billion + 0.5)
		}
	}
	switch tags[TagSpent] {
	case "", "refuse":
	case "end":
		l.End = true
	default:
		return l, fmt.Errorf("the tag %s is refuse or end; %q is neither", TagSpent, tags[TagSpent])
	}
	return l, nil
}

// Meter counts. Make one with [New]. It may be used concurrently.
type Meter struct {
	mu       sync.Mutex
	sessions map[string]sum
	days     map[string]sum // by runtime
	day      string         // that days are of
	ended    []string       // sessions that are over, the first to be forgotten first
	changed  bool
}

// maxEnded is how many sessions are remembered that are over, for whoever wants to know what they took.
const maxEnded = 256

// sum is what was spent, and what calls in progress may add.
type sum struct{ spent, held Amount }

// New makes a meter that has counted nothing.
func New() *Meter { return &Meter{sessions: map[string]sum{}, days: map[string]sum{}} }

// Admit lets a call in and holds what it may take; settle, to be called once when it is over, counts what it took instead. A
// session without an id is one that nobody owns yet: it counts for the runtime's day only.
//
// Errors: moorage.Quota when a budget is used up; moorage.Throttled when the rest of it is held for other calls, which asking
// again later helps against.
func (m *Meter) Admit(runtime, session string, l Limits, hold Amount, now time.Time) (settle func(took Amount, now time.Time), err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn(now)
	if err := m.sessions[session].admits(l.Session, "session"); err != nil && session != "" {
		return nil, err
	}
	if err := m.days[runtime].admits(l.Day, "agent runtime for today (UTC)"); err != nil {
		return nil, err
	}
	m.add(runtime, session, sum{held: hold})
	return func(took Amount, now time.Time) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.turn(now)
		m.add(runtime, session, sum{took, Amount{}.minus(hold)})
	}, nil
}

// add counts a change. The caller holds mu.
func (m *Meter) add(runtime, session string, change sum) {
	m.days[runtime] = m.days[runtime].plus(change)
	if session != "" {
		m.sessions[session] = m.sessions[session].plus(change)
	}
	m.changed = m.changed || change.spent != Amount{}
}

func (s sum) plus(other sum) sum { return sum{s.spent.plus(other.spent), s.held.plus(other.held)} }

func (s sum) admits(limit Amount, whose string) error {
	all := s.spent.plus(s.held)
	switch {
	case limit.Tokens > 0 && s.spent.Tokens >= limit.Tokens:
		return moorage.Errorf(moorage.Quota, "the budget of this %s is used up: %d of %d tokens; its owner sets it by the runtime's tags", whose, s.spent.Tokens, limit.Tokens)
	case limit.Cost > 0 && s.spent.Cost >= limit.Cost:
		return moorage.Errorf(moorage.Quota, "the budget of this %s is used up: $%.6g of $%.6g; its owner sets it by the runtime's tags", whose, dollars(s.spent.Cost), dollars(limit.Cost))
	case limit.Tokens > 0 && all.Tokens >= limit.Tokens || limit.Cost > 0 && all.Cost >= limit.Cost:
		return moorage.Errorf(moorage.Throttled, "what is left of the budget of this %s is held for calls in progress: ask again when they are over", whose)
	}
	return nil
}

// Dollars is an amount's money in US dollars.
func (a Amount) Dollars() float64 { return dollars(a.Cost) }

func dollars(cost int64) float64 { return float64(cost) / billion }

// turn begins a new day, to which calls in progress go on to belong. The caller holds mu.
func (m *Meter) turn(now time.Time) {
	today := now.UTC().Format(time.DateOnly)
	if today == m.day {
		return
	}
	m.day, m.changed = today, true
	for runtime, s := range m.days {
		if s.spent = (Amount{}); s == (sum{}) {
			delete(m.days, runtime)
			continue
		}
		m.days[runtime] = s
	}
}

type saved struct {
	Sessions map[string]Amount `json:"sessions"`
	Days     map[string]Amount `json:"days"`
	Day      string            `json:"day"`
}

// Spent returns what a session spent, and its runtime today, without what is held for calls in progress.
func (m *Meter) Spent(runtime, session string, now time.Time) (ofSession, today Amount) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn(now)
	return m.sessions[session].spent, m.days[runtime].spent
}

// Save returns what was counted, if that changed since it was last saved; else nil. Of sessions that lives does not
// know the last few hundred are remembered, the others forgotten. If it cannot be written down, [Meter.Unsaved] has the next Save return it again.
func (m *Meter) Save(lives func(session string) bool) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.changed {
		return nil, nil
	}
	for id, s := range m.sessions {
		if s.held == (Amount{}) && !lives(id) && !slices.Contains(m.ended, id) {
			m.ended = append(m.ended, id)
		}
	}
	for len(m.ended) > maxEnded {
		delete(m.sessions, m.ended[0])
		m.ended = m.ended[1:]
	}
	m.changed = false
	return json.Marshal(saved{spent(m.sessions), spent(m.days), m.day})
}

// Unsaved says that what Save returned was not written down.
func (m *Meter) Unsaved() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changed = true
}

func spent(sums map[string]sum) map[string]Amount {
	out := map[string]Amount{}
	for id, s := range sums {
		if s.spent != (Amount{}) {
			out[id] = s.spent
		}
	}
	return out
}

// Load takes up what Save returned. Call it before anything else.
func (m *Meter) Load(doc []byte) error {
	var s saved
	if err := json.Unmarshal(doc, &s); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.day = s.Day
	for id, a := range s.Sessions {
		m.sessions[id] = sum{spent: a}
	}
	for id, a := range s.Days {
		m.days[id] = sum{spent: a}
	}
	return nil
}
