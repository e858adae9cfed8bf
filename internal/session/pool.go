package session

import (
	"context"
	"errors"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/warm"
)

// Room is how many more sessions may begin now; sandboxes that wait for one take no more than that, and
// none while memory is short.
func (m *Manager) Room() int {
	if m.short() {
		return 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.limit() - m.awakeCount(everybody)
}

// fromPool takes a ready sandbox for s while the session's row goes to disk. Both results are nil
// when there is none, or when it turns out to be dead: the session then starts cold.
func (m *Manager) fromPool(ctx context.Context, s *live) (*warm.Agent, error) {
	ready := m.Pools.Take(s.version)
	if ready == nil {
		return nil, nil
	}
	info := m.moveTo(s, ready.ID()) // the row names it first: a server that is killed now finds it by that
	written := make(chan error, 1)
	m.work.Go(func() { written <- m.record(info) })
	agent, err := ready.Open(ctx, labels(info))
	if recordErr := <-written; recordErr != nil {
		if agent != nil {
			m.dispose(agent, 0)
		}
		return nil, errors.Join(err, recordErr)
	}
	if err == nil {
		return agent, nil
	}
	if ctx.Err() != nil {
		return nil, m.startError(ctx, s, err)
	}
	m.Log.Warn("a sandbox from the pool is of no use; the session starts cold", "session", info.ID, "sandbox", info.SandboxID, "err", err)
	m.moveTo(s, sandbox.NewID())
	return nil, nil
}

// moveTo gives s another sandbox, before its first lease.
func (m *Manager) moveTo(s *live, sandboxID string) moorage.Session {
	m.mu.Lock()
	defer m.mu.Unlock()
	s.info.SandboxID = sandboxID
	return s.info
}

// own makes sure that a sandbox which was taken from a pool as the server was killed is its session's,
// and runs. Engines that know no pause never were in a pool.
func (m *Manager) own(ctx context.Context, s *live, box sandbox.Sandbox) error {
	err := warm.Own(ctx, box, labels(s.info))
	if moorage.CodeOf(err) == moorage.Unsupported {
		return nil
	}
	return err
}
