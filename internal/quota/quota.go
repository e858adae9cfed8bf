// Package quota counts how often somebody does something, and says when that is too often.
//
// A [Rate] is so many a second, and so many at once after a rest. A [Meter] holds everybody to one
// rate, each by themselves, and knows neither what it counts nor who does it. [Quotas] names what
// the server counts.
package quota

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/moorage-dev/moorage"
)

// Quotas bound what one caller, or one runtime, takes of a server. Zero is no bound.
type Quotas struct {
	CallerSessions, RuntimeSessions int  // up at once; sessions that sleep do not count
	CallerStarts, RuntimeStarts     Rate // of new sessions
	CallerCalls, RuntimeCalls       Rate
}

// Rate is how often something may be done. The zero value is no bound.
type Rate struct {
	PerSecond float64
	Burst     int // at once, after a rest; 0 is what a second brings, at least one
}

// ParseRate reads "25", "0.5" or "25:100", which is 25 a second and 100 at once. Empty and 0 are no
// bound. Errors are Invalid.
func ParseRate(text string) (r Rate, err error) {
	perSecond, burst, both := strings.Cut(text, ":")
	if text == "" {
		return Rate{}, nil
	}
	r.PerSecond, err = strconv.ParseFloat(perSecond, 64)
	if err == nil && both {
		r.Burst, err = strconv.Atoi(burst)
	}
	if err != nil || !(r.PerSecond >= 0 && r.PerSecond <= 1e9) || both && r.Burst < 1 {
		return Rate{}, moorage.Errorf(moorage.Invalid, "%q is not a rate such as 25, or 25:100 for 25 a second and 100 at once", text)
	}
	return r, nil
}

// String is what ParseRate reads.
func (r Rate) String() string {
	switch {
	case !r.bounds():
		return ""
	case r.Burst == 0:
		return fmt.Sprint(r.PerSecond)
	}
	return fmt.Sprintf("%v:%d", r.PerSecond, r.Burst)
}

// Set makes a Rate a flag's value: it is ParseRate.
func (r *Rate) Set(text string) (err error) {
	*r, err = ParseRate(text)
	return err
}

// Type names the value in a command's help.
func (*Rate) Type() string { return "rate" }

func (r Rate) bounds() bool { return r.PerSecond > 0 }

func (r Rate) burst() int {
	if r.Burst > 0 {
		return r.Burst
	}
	return int(math.Ceil(r.PerSecond))
}

// Meter holds each of many to one rate. The zero value lets everything pass; Rate is set before the
// first call.
type Meter struct {
	Rate Rate

	mu    sync.Mutex
	each  map[string]*rate.Limiter
	sweep int // how many there may be before those at rest are forgotten
}

// sweepFrom is how many a meter remembers at least.
const sweepFrom = 1024

// Allow counts n more by who, all or none of them, and reports whether that is within the rate.
func (m *Meter) Allow(who string, n int) bool {
	if !m.Rate.bounds() {
		return true
	}
	return m.limiter(who).AllowN(time.Now(), n)
}

func (m *Meter) limiter(who string) *rate.Limiter {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.each[who]
	if l == nil {
		m.forget()
		l = rate.NewLimiter(rate.Limit(m.Rate.PerSecond), m.Rate.burst())
		m.each[who] = l
	}
	return l
}

// forget drops those that are at rest once there are many: they are as good as new. The caller holds mu.
func (m *Meter) forget() {
	if m.each == nil {
		m.each, m.sweep = map[string]*rate.Limiter{}, sweepFrom
	}
	if len(m.each) < m.sweep {
		return
	}
	for who, l := range m.each {
		if l.Tokens() >= float64(l.Burst()) {
			delete(m.each, who)
		}
	}
	m.sweep = max(sweepFrom, 2*len(m.each))
}
