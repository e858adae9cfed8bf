package workload

import (
	"crypto/sha256"
	"encoding/base64"
	"sync"
	"time"
)

// subjects keeps callers' tokens while they are valid.
type subjects struct {
	mu    sync.Mutex
	byKey map[string]subject
	sweep int // entries at which what expired is dropped
}

type subject struct {
	token   string
	expires time.Time
}

const leastSweep = 1024

// keep returns the key under which token is found until it expires.
func (s *subjects) keep(token string, expires, now time.Time) string {
	sum := sha256.Sum256([]byte(token))
	key := base64.RawURLEncoding.EncodeToString(sum[:16])
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byKey == nil {
		s.byKey, s.sweep = map[string]subject{}, leastSweep
	}
	if len(s.byKey) >= s.sweep {
		for k, v := range s.byKey {
			if now.After(v.expires) {
				delete(s.byKey, k)
			}
		}
		s.sweep = max(leastSweep, 2*len(s.byKey))
	}
	s.byKey[key] = subject{token, expires}
	return key
}

// find returns the token, or "" when it is not kept.
func (s *subjects) find(key string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byKey[key].token
}
