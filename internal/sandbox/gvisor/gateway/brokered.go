package gateway

import (
	"sync"
	"time"
)

// brokered remembers for a moment which names lead to the broker.
type brokered struct {
	mu    sync.Mutex
	asked map[string]verdict
}

type verdict struct {
	leads bool
	until time.Time
}

// verdictLife bounds how long a rule that was made or withdrawn goes unnoticed.
const verdictLife = 5 * time.Second

// isBrokered asks the server, unless it did so a moment ago.
func (g *Gateway) isBrokered(name string) bool {
	if g.platform.Brokered == nil || name == "" || !g.policy.resolves(name) {
		return false
	}
	now := time.Now()
	g.names.mu.Lock()
	v, ok := g.names.asked[name]
	g.names.mu.Unlock()
	if ok && now.Before(v.until) {
		return v.leads
	}
	leads := g.platform.Brokered(g.policy.ctx, name)
	g.names.mu.Lock()
	defer g.names.mu.Unlock()
	if len(g.names.asked) >= maxLearned {
		clear(g.names.asked)
	}
	g.names.asked[name] = verdict{leads, now.Add(verdictLife)}
	return leads
}
