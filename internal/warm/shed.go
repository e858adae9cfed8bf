package warm

// Shed ends one ready sandbox, of the pool that holds most, and returns once its memory is free again:
// what is kept for later yields to what is there now. It reports false when there is none.
func (p *Pools) Shed() bool {
	if p == nil {
		return false
	}
	p.mu.Lock()
	q := p.largest()
	if q == nil || p.closed {
		p.mu.Unlock()
		return false
	}
	r := q.ready[0]
	q.ready = q.ready[1:]
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
