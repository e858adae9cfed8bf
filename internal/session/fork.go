package session

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/warm"
)

// How a session is forked: it falls asleep, a further sandbox starts for each branch from where it lies,
// and it wakes if it was awake. The session's own goroutine does all that, so nothing wakes or ends it
// meanwhile.
//
// The rows of the branches are written last, in one transaction. A server that is killed before leaves the
// parent asleep, and sandboxes without a row, which the next server removes; after it, all branches are
// there.

const (
	// MaxBranches is how many branches one fork makes at most.
	MaxBranches = 64

	forkPatience = 30 * time.Second // with a parent that is in use
)

// order is a fork that somebody asked for. Its fields but done belong to Manager.mu until it is begun, and
// to the session's goroutine from then on, until done is closed.
type order struct {
	callerIDs []string
	wake      bool // the parent was awake
	begun     bool
	branches  []moorage.Session
	err       error
	done      chan struct{}
}

// Fork makes a branch of the session with the given internal id for each of callerIDs, which name the
// branches to their owner, the parent's. Each remembers what the parent does, up to one moment. It waits for
// a parent that is in use to be free. Errors: NotFound, Invalid; Conflict when the parent stays in use, or
// when one of callerIDs is taken; Unsupported when it cannot sleep, or cannot be cloned; Quota, Throttled;
// Unavailable when the disk is full. On an error there is no branch.
func (m *Manager) Fork(ctx context.Context, id string, callerIDs []string) ([]moorage.Session, error) {
	if n := len(callerIDs); n < 1 || n > MaxBranches {
		return nil, moorage.Errorf(moorage.Invalid, "a fork makes between 1 and %d branches, not %d", MaxBranches, n)
	}
	if _, ok := m.Warm.Driver.(sandbox.Cloner); !ok || !m.sleeps() {
		return nil, moorage.Errorf(moorage.Unsupported, "sessions cannot be forked on this server")
	}
	ctx, cancel := context.WithTimeout(ctx, forkPatience)
	defer cancel()
	o := &order{callerIDs: callerIDs, done: make(chan struct{})}
	s, err := m.commission(ctx, id, o)
	if err != nil {
		return nil, err
	}
	select {
	case <-o.done:
	case <-s.gone:
		if m.serving.Err() != nil {
			return nil, errLeaving
		}
		return nil, moorage.Errorf(moorage.Conflict, "the session ended before it could be forked")
	case <-ctx.Done():
		if m.withdraw(s, o) {
			return nil, m.whyNotForked(ctx, s)
		}
		<-o.done
	}
	return o.branches, o.err
}

// whyNotForked says what kept an order waiting until ctx ended.
func (m *Manager) whyNotForked(ctx context.Context, s *live) error {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ctx.Err() // whoever asked is gone
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if reason := s.mayNot(); reason != nil {
		return moorage.Errorf(moorage.Conflict, "the session could not be forked in time: %w", reason)
	}
	return moorage.Errorf(moorage.Conflict, "the session could not be forked in time; try again")
}

// commission gives a session an order and sees to it that the session gets up to it.
func (m *Manager) commission(ctx context.Context, id string, o *order) (*live, error) {
	m.mu.Lock()
	s := m.byID[id]
	m.mu.Unlock()
	if s == nil {
		return nil, moorage.Errorf(moorage.NotFound, "no live session has the id %q", id)
	}
	select {
	case <-s.ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case s.stopping:
		return nil, moorage.Errorf(moorage.Conflict, "the session is ending")
	case s.rest.cannot != nil:
		return nil, s.rest.cannot
	case s.rest.order != nil:
		return nil, moorage.Errorf(moorage.Conflict, "the session is being forked already")
	}
	s.rest.order, o.wake = o, s.inMemory()
	s.remind()
	return s, nil
}

// remind has a session that nobody uses get up to its order, if it has one. The caller holds Manager.mu.
func (s *live) remind() {
	switch {
	case s.rest.order == nil || s.leases+s.sockets > 0:
	case s.inMemory():
		signal(s.rest.bedtime)
	default:
		signal(s.rest.ordered)
	}
}

// withdraw takes an order back, unless it is begun.
func (m *Manager) withdraw(s *live, o *order) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.rest.order != o || o.begun {
		return false
	}
	s.rest.order = nil
	return true
}

// refuse ends the order of a session that could not fall asleep.
func (r *rest) refuse(err error) {
	if o := r.order; o != nil {
		o.err, r.order = err, nil
		close(o.done)
	}
}

// hasOrder reports whether a session that nobody uses is to be forked.
func (m *Manager) hasOrder(s *live) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return s.rest.order != nil && s.idle()
}

// carryOut makes the branches that were ordered of a session that sleeps, if any were.
func (m *Manager) carryOut(s *live) {
	m.mu.Lock()
	o := s.rest.order
	if o != nil {
		o.begun = true
	}
	m.mu.Unlock()
	if o == nil {
		return
	}
	o.branches, o.err = m.branch(s, o.callerIDs)
	m.mu.Lock()
	defer m.mu.Unlock()
	s.rest.order = nil
	if o.wake {
		s.rest.call()
	}
	close(o.done)
}

// branch makes branches of a session that sleeps: all of them, or none.
func (m *Manager) branch(s *live, callerIDs []string) ([]moorage.Session, error) {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	defer context.AfterFunc(m.serving, cancel)()
	began := time.Now()
	branches, err := m.reserve(ctx, s, callerIDs)
	if err != nil {
		return nil, err
	}
	errs := make([]error, len(branches))
	agents := make([]*warm.Agent, len(branches))
	var all sync.WaitGroup
	for i, b := range branches {
		all.Go(func() {
			if agents[i], errs[i] = m.grow(ctx, s, b); errs[i] != nil {
				cancel() // the others are for nothing
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		m.prune(branches, agents)
		return nil, m.whyNotBranched(s, errs)
	}
	rows, err := m.plant(branches, agents)
	if err != nil {
		m.prune(branches, agents)
		return nil, err
	}
	m.Log.Info("session forked", "session", s.info.ID, "runtime", s.info.RuntimeID, "branches", len(rows), "took", time.Since(began))
	return rows, nil
}

// whyNotBranched is what went wrong first: the other branches were broken off because of it.
func (m *Manager) whyNotBranched(s *live, errs []error) error {
	switch {
	case m.serving.Err() != nil:
		return errLeaving
	case s.ctx.Err() != nil:
		return moorage.Errorf(moorage.Conflict, "the session ended while it was forked")
	}
	for _, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
	}
	return moorage.Errorf(moorage.Conflict, "a branch was stopped before all were there")
}

// reserve makes a session that is starting for each branch. Nobody gets a lease on one before plant.
func (m *Manager) reserve(ctx context.Context, parent *live, callerIDs []string) ([]*live, error) {
	for {
		branches, err := m.reserveNow(parent, callerIDs)
		if c := crowdOf(err); c == nil || !m.makeRoom(ctx, c) {
			return branches, err
		}
	}
}

func (m *Manager) reserveNow(parent *live, callerIDs []string) (branches []*live, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, id := range callerIDs {
		key := parent.key
		key.CallerID = id
		if m.byKey[key] != nil || slices.Contains(callerIDs[:i], id) {
			return nil, moorage.Errorf(moorage.Conflict, "another session is called %q already", id)
		}
	}
	if err := m.mayBegin(parent.key, len(callerIDs)); err != nil {
		return nil, err
	}
	now := time.Now()
	for _, id := range callerIDs {
		info := moorage.Session{
			ID: moorage.NewSessionID(), CallerID: id, RuntimeID: parent.info.RuntimeID, Endpoint: parent.info.Endpoint, Owner: parent.info.Owner,
			Version: parent.info.Version, State: moorage.Starting, SandboxID: sandbox.NewID(), CreatedAt: now, LastActiveAt: now,
			ParentID: parent.info.ID, ForkedAt: parent.info.SleptFrom,
		}
		b := newLive(Key{info.RuntimeID, info.Endpoint, info.Owner, id}, parent.version, info)
		m.byKey[b.key], m.byID[info.ID] = b, b
		branches = append(branches, b)
	}
	m.stir()
	return branches, nil
}

// grow starts the sandbox of one branch.
func (m *Manager) grow(ctx context.Context, parent, b *live) (*warm.Agent, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	defer context.AfterFunc(b.ctx, cancel)()
	leave, waited, err := m.gate.enter(ctx, b.key.caller())
	if err != nil {
		return nil, err
	}
	defer leave()
	if err := m.roomToStart(ctx); err != nil {
		return nil, err
	}
	mounts, err := m.Storage.branch(parent.key, b.key, b.version)
	if err != nil {
		return nil, err
	}
	as := sandbox.CloneSpec{ID: b.info.SandboxID, Labels: labels(b.info), LogDir: filepath.Join(m.Warm.LogDir, b.info.SandboxID), Mounts: mounts}
	agent, shares, err := m.Warm.Branch(ctx, b.version, m.bed(parent), as)
	if err != nil {
		return nil, err
	}
	agent.Steps = append([]moorage.Step{{Name: "wait for its turn", Took: waited}}, agent.Steps...)
	m.mu.Lock()
	defer m.mu.Unlock()
	if shares != "" {
		b.info.Shares = "shares its random generators with the parent: " + shares
	}
	return agent, nil
}

// plant puts all branches on record in one transaction, and lets callers in.
func (m *Manager) plant(branches []*live, agents []*warm.Agent) (rows []moorage.Session, err error) {
	for i, b := range branches {
		a, row := agents[i], b.info
		a.StartTook = time.Since(row.CreatedAt)
		row.State, row.StartedBy, row.StartTook, row.Steps = moorage.Idle, a.StartedBy, a.StartTook, a.Steps
		rows = append(rows, row)
	}
	if err := m.record(rows...); err != nil {
		return nil, err
	}
	for i, b := range branches {
		b.recorded = rows[i]
		m.open(b, agents[i])
		m.work.Go(func() {
			defer close(b.gone)
			m.watch(b)
		})
	}
	return rows, nil
}

// prune removes branches of which not all came up. Whoever waits for one starts a session of that name.
func (m *Manager) prune(branches []*live, agents []*warm.Agent) {
	for i, b := range branches {
		if agents[i] != nil {
			m.dispose(agents[i], 0)
		}
		m.Warm.RemoveJournal(b.info.SandboxID)
		if err := m.Storage.remove(b.key, b.version); err != nil {
			m.Log.Error("remove a branch's storage", "session", b.info.ID, "err", err)
		}
		m.mu.Lock()
		b.stopping = true
		delete(m.byKey, b.key)
		delete(m.byID, b.info.ID)
		m.mu.Unlock()
		b.cancel(moorage.Errorf(moorage.Conflict, "the fork failed"))
		close(b.ready)
		close(b.gone)
	}
}
