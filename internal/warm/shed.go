package warm

// Shed ends one engine that waits, or a ready sandbox of the pool that holds most, and returns once its
// memory is free again: what is kept for later yields to what is there now. It reports false when there is none.
func (p *Pools) Shed() bool {
	if p == nil {
		return false
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return false
	}
	q, r := p.giveUpOne()
	if q == nil {
		p.mu.Unlock()
		return false
	}
	gone := make(chan struct{})
	r.cancel()
	q.work.Go(func() {
		defer close(gone)
		if err := p.Starter.discard(r.agent); err != nil {
			p.Log.Error("remove a ready sandbox", "sandbox", r.agent.Sandbox.Info().ID, "err", err)
		}
	})
	p.mu.Unlock()
	<-gone
	return true
}
