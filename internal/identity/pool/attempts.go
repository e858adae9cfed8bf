package pool

import (
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
)

// How wrong passwords are answered: the fifth in a row, and each one more, locks a name for twice as long as the one
// before. Source: Amazon Cognito developer guide, lockout for failed sign-in attempts.
const (
	freeAttempts = 5
	firstLock    = time.Second
	longestLock  = 15 * time.Minute
)

var errAttempts = named(moorage.Denied, "NotAuthorizedException", "Password attempts exceeded")

// attempts counts wrong passwords by name, also by names that nobody has. The zero value works. A restart forgets them.
type attempts struct {
	mu   sync.Mutex
	each map[string]*attempt
}

// attempt is one name's. Its lock is held while a password is looked at: guesses at one name come one after the other.
type attempt struct {
	sync.Mutex
	wrong  int
	locked time.Time // until then
}

// sweepFrom is how many names there may be before those at rest are forgotten.
const sweepFrom = 4096

// begin returns a name's attempt, locked, or an error for one that has to wait.
func (a *attempts) begin(name string, now time.Time) (*attempt, error) {
	a.mu.Lock()
	if a.each == nil {
		a.each = map[string]*attempt{}
	}
	one := a.each[name]
	if one == nil {
		a.forget(now)
		one = &attempt{}
		a.each[name] = one
	}
	a.mu.Unlock()
	one.Lock()
	if now.Before(one.locked) {
		one.Unlock()
		return nil, errAttempts
	}
	return one, nil
}

// forget drops names whose lock is long over. The caller holds mu.
func (a *attempts) forget(now time.Time) {
	if len(a.each) < sweepFrom {
		return
	}
	for name, one := range a.each {
		if one.TryLock() {
			if now.Sub(one.locked) > longestLock {
				delete(a.each, name)
			}
			one.Unlock()
		}
	}
}

// end takes the outcome and unlocks.
func (one *attempt) end(right bool, now time.Time) {
	defer one.Unlock()
	if right {
		one.wrong, one.locked = 0, time.Time{}
		return
	}
	one.wrong++
	one.locked = now
	if over := one.wrong - freeAttempts; over >= 0 {
		one.locked = now.Add(min(longestLock, firstLock<<min(over, 20)))
	}
}
