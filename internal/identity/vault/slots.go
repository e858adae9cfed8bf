package vault

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"sync"
	"time"
)

// slot holds what was granted for one purpose. Whoever holds mu is the only one to ask the provider.
type slot struct {
	mu     sync.Mutex
	grants []grant
	loaded bool // what is on disk is in grants
	used   time.Time
}

const leastSlots = 4096

// slot returns the one of a key, making it.
func (v *Vault) slot(key string) *slot {
	v.mu.RLock()
	s := v.slots[key]
	v.mu.RUnlock()
	if s != nil {
		return s
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if s := v.slots[key]; s != nil {
		return s
	}
	if len(v.slots) >= max(leastSlots, v.sweepAt) {
		v.sweep()
	}
	s = &slot{}
	v.slots[key] = s
	return s
}

// sweep forgets slots that nobody holds and that hold nothing live.
func (v *Vault) sweep() {
	now := v.now()
	for key, s := range v.slots {
		if !s.mu.TryLock() {
			continue
		}
		if !slices.ContainsFunc(s.grants, func(g grant) bool { return g.live(now) }) {
			delete(v.slots, key)
		}
		s.mu.Unlock()
	}
	v.sweepAt = 2 * len(v.slots)
}

// find returns a live grant that covers the scopes.
func (s *slot) find(scopes []string, now time.Time) (grant, bool) {
	for _, g := range s.grants {
		if g.live(now) && covers(g.Scopes, scopes) {
			return g, true
		}
	}
	return grant{}, false
}

// covers reports whether all of what is wanted was granted.
func covers(granted, wanted []string) bool {
	for _, s := range wanted {
		if !slices.Contains(granted, s) {
			return false
		}
	}
	return true
}

// digest names a purpose by its parts, which do not run into each other.
func digest(parts ...any) string {
	b, _ := json.Marshal(parts) // strings and lists of them always marshal
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// sorted is a list as a set.
func sorted(list []string) []string {
	out := slices.Clone(list)
	slices.Sort(out)
	return slices.Compact(out)
}
