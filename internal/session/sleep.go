package session

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/snapshot"
	"github.com/moorage-dev/moorage/internal/warm"
)

// How a session sleeps:
//
//	          idle for SleepAfter, asked to, memory is short
//	   idle ─────────────────────────────────────────────────▶ asleep ───▶ stopped
//	    ▲                                                         │     idle timeout, maximum lifetime,
//	    └─────────────────────────────────────────────────────────┘     Stop, a snapshot that does not open
//	                          Acquire, asked to
//
// A sleeping session is a directory under SleepDir, named by the session, and takes no memory. What
// tells a restarted server that a session sleeps is the snapshot, not the row: it appears in the
// moment in which the sandbox may go, and goes once the sandbox is back.
//
// A session stays up while it has a lease or an open socket, says HealthyBusy, or was not quiet of late:
// had connections outward, or used the processor. Before it sleeps it dozes: see doze.go.
//
// A runtime may have its sessions sleep for days (LongSleep). Then neither the idle timeout nor the maximum
// lifetime ends them in their sleep, and the time asleep is no part of their lives.

const (
	// busyShare is how much of one processor an agent may use and still count as quiet: an
	// interpreter that looks at its queues ten times a second uses less than a hundredth.
	busyShare = 0.05
	pingCost  = 3 * time.Millisecond // of the processor, for our own health check before each look

	wakeLimit  = 2 * time.Minute
	retrySleep = time.Minute // after a failure that may pass: a full disk, say
)

// errTired is why a session's day ends.
var errTired = errors.New("the session is to fall asleep")

// rest is the part of a session that has to do with sleep. Its fields belong to Manager.mu; the
// channels hold one element, so that a signal is never lost and never waited for.
type rest struct {
	away      *outcome // of the sleep that it is in, from before it falls asleep until it is back; else nil
	nap       *outcome // of the sleep that somebody asked for; else nil
	wanted    chan struct{}
	bedtime   chan struct{}
	ordered   chan struct{}
	order     *order        // a fork that is to be made
	awakeFrom time.Time     // when it last woke
	tryAfter  time.Time     // when falling asleep may be tried again
	cannot    error         // why it never sleeps
	dozing    bool          // paused, and in memory; away is set meanwhile
	restless  bool          // it cannot be paused
	used      sandbox.Stats // at the last look
	usedAt    time.Time     // of the last look
	quietFrom time.Time     // when it was last seen to use the processor, or the network
}

// outcome is what several callers wait for.
type outcome struct {
	done chan struct{}
	err  error // set before done is closed
}

func newOutcome() *outcome { return &outcome{done: make(chan struct{})} }

func newRest() rest {
	return rest{wanted: make(chan struct{}, 1), bedtime: make(chan struct{}, 1), ordered: make(chan struct{}, 1)}
}

// call asks for the session to be woken.
func (r *rest) call() { signal(r.wanted) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// leave begins a sleep, and forgets the signals of the last one.
func (r *rest) leave() {
	r.away = newOutcome()
	drain(r.wanted)
	drain(r.bedtime)
}

// drain forgets a signal.
func drain(c chan struct{}) {
	select {
	case <-c:
	default:
	}
}

// settle lets those go on who wait for the session to fall asleep or to be back. With an error the
// session is where it was.
func (r *rest) settle(err error) {
	finish(&r.away, err)
	finish(&r.nap, err)
}

// answer tells those who asked for the session to fall asleep what became of it.
func (r *rest) answer(err error) { finish(&r.nap, err) }

func finish(o **outcome, err error) {
	if *o != nil {
		(*o).err = err
		close((*o).done)
		*o = nil
	}
}

// sleeps reports whether sessions can sleep at all here.
func (m *Manager) sleeps() bool {
	_, ok := m.Warm.Driver.(sandbox.Waker)
	return ok && m.SleepDir != ""
}

func (m *Manager) bed(s *live) string { return filepath.Join(m.SleepDir, s.info.ID) }

// awakeCount is how many sessions of a crowd take memory. The caller holds mu.
func (m *Manager) awakeCount(of *crowd) (n int) {
	for _, s := range m.byID {
		if s.inMemory() && of.has(s) {
			n++
		}
	}
	return n
}

// tiredAt is when an idle session may fall asleep; zero when it may not. The caller holds mu.
func (m *Manager) tiredAt(s *live) time.Time {
	if !m.sleeps() || m.SleepAfter <= 0 || s.rest.cannot != nil {
		return time.Time{}
	}
	at := s.restedFrom().Add(m.SleepAfter)
	if s.rest.tryAfter.After(at) {
		at = s.rest.tryAfter
	}
	return at
}

// idle reports whether nobody uses the session. The caller holds Manager.mu.
func (s *live) idle() bool {
	return s.leases+s.sockets == 0 && !s.health.Busy && !s.stopping && s.inMemory()
}

// fallAsleep reports whether the session now sleeps. Callers that come meanwhile wait until it is
// back: nobody holds a lease from the moment in which this begins.
func (m *Manager) fallAsleep(s *live) bool {
	if err := m.lieDown(s); err != nil {
		m.mu.Lock()
		s.rest.answer(err)
		if s.rest.cannot != nil {
			s.rest.refuse(err)
		}
		m.mu.Unlock()
		return false
	}
	s.agent.Close() // an engine with connections into it cannot be frozen
	ctx, cancel := context.WithTimeout(context.Background(), wakeLimit)
	defer cancel()
	began := time.Now()
	stats, _ := s.agent.Sandbox.Stats(ctx) // for the record only
	err := s.agent.Sandbox.(sandbox.Sleeper).Checkpoint(ctx, m.bed(s))
	if err != nil && !snapshot.Of(m.bed(s), s.info.SandboxID) {
		m.stayUp(s, err)
		return false
	}
	m.slumber(s, stats)
	m.Log.Info("session asleep", "session", s.info.ID, "runtime", s.info.RuntimeID, "took", time.Since(began), "bytes", s.info.SleepBytes)
	return true
}

// lieDown closes the session to leases, if it has none.
func (m *Manager) lieDown(s *live) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := s.mayNot(); err != nil {
		return err
	}
	if _, ok := s.agent.Sandbox.(sandbox.Sleeper); !ok {
		s.rest.cannot = moorage.Errorf(moorage.Unsupported, "the session's sandbox cannot sleep")
		return s.rest.cannot
	}
	if s.rest.dozing { // whoever waits for it goes on waiting
		drain(s.rest.bedtime)
	} else {
		s.rest.leave()
	}
	s.rest.dozing = false
	return nil
}

// mayNot says why the session cannot fall asleep now, or nil. The caller holds Manager.mu.
func (s *live) mayNot() error {
	if s.rest.cannot != nil {
		return s.rest.cannot
	}
	return s.occupied()
}

// occupied says why the session must not be stopped where it is, or nil. The caller holds Manager.mu.
func (s *live) occupied() error {
	switch {
	case s.stopping || !s.isReady():
		return moorage.Errorf(moorage.Conflict, "the session is starting or ending")
	case s.leases+s.sockets > 0:
		return moorage.Errorf(moorage.Conflict, "the session has a call or a socket open")
	case s.health.Busy:
		return moorage.Errorf(moorage.Conflict, "the session's agent says that it is busy")
	}
	return nil
}

// stayUp takes note of why the session did not fall asleep, and opens it again. It runs on.
func (m *Manager) stayUp(s *live, err error) {
	if err := unpause(s.agent.Sandbox); err != nil {
		m.Log.Error("resume a session", "session", s.info.ID, "err", err) // its health checks will tell
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s.rest.tryAfter = time.Now().Add(retrySleep)
	if moorage.CodeOf(err) == moorage.Unsupported {
		s.rest.cannot = err
	}
	s.info.State = moorage.Idle
	m.stir()
	s.rest.answer(err)
	s.rest.refuse(err)
	s.rest.settle(nil)
	m.Log.Warn("a session cannot sleep and stays up", "session", s.info.ID, "code", moorage.CodeOf(err), "err", err)
}

// slumber notes that the session sleeps, and what it used since it last woke.
func (m *Manager) slumber(s *live, used sandbox.Stats) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s.lie(snapshot.Size(m.bed(s)))
	s.info.Sleeps++
	s.info.SleptFrom = time.Now()
	s.tally(used)
	s.rest.answer(nil)
	m.records.Hurry()
}

// lie notes that the session is on disk. The caller holds Manager.mu.
func (s *live) lie(bytes int64) {
	if s.rest.away == nil {
		s.rest.leave()
	}
	s.info.State, s.info.SleepBytes = moorage.Asleep, bytes
}

// foundAsleep reports whether a sandbox that ended did so because an earlier server, which was killed
// meanwhile, put it to sleep.
func (m *Manager) foundAsleep(s *live) bool {
	if !m.sleeps() || !snapshot.Of(m.bed(s), s.info.SandboxID) {
		return false
	}
	m.slumber(s, sandbox.Stats{})
	return true
}

// asleep waits until somebody wants the session, wakes it, and reports true; or ends it.
func (m *Manager) asleep(s *live) bool {
	alarm := time.NewTimer(time.Until(m.sleepsUntil(s)))
	defer alarm.Stop()
	for {
		m.carryOut(s)
		select {
		case <-s.rest.ordered:
		case <-s.rest.wanted:
			if err := m.wake(s); err == nil {
				return true
			} else if forGood(err) {
				m.endAsleep(s, endError("", "could not be woken: %s", firstLine(err.Error())))
				return false
			}
		case now := <-alarm.C:
			if reason := m.overslept(s, now); reason != nil {
				m.endAsleep(s, reason)
				return false
			}
			alarm.Reset(time.Second) // the clock was set back meanwhile
		case <-s.ctx.Done():
			m.endAsleep(s, context.Cause(s.ctx))
			return false
		case <-m.serving.Done():
			s.cancel(errLeaving)
			m.mu.Lock()
			s.rest.settle(errLeaving)
			m.mu.Unlock()
			return false
		}
	}
}

// forGood reports whether waking will fail the next time too. An engine that cannot start now may
// later, and until then nothing is lost.
func forGood(err error) bool {
	code := moorage.CodeOf(err)
	return code != moorage.Unavailable && code != moorage.Quota && !errors.Is(err, context.DeadlineExceeded)
}

// wake brings the session back and lets in those who wait for it. On an error that may pass they
// learn it, and the session sleeps on. A wake that has begun is not broken off: whoever stops the
// session meanwhile ends it right after.
func (m *Manager) wake(s *live) error {
	began := time.Now()
	leave, err := m.turn(s)
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(context.Background(), wakeLimit)
	defer cancel()
	agent, err := m.getUp(ctx, s)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.Log.Error("wake a session", "session", s.info.ID, "code", moorage.CodeOf(err), "err", err)
		if !forGood(err) {
			s.rest.settle(err)
			s.rest.leave()
		}
		return err
	}
	now := time.Now()
	s.agent, s.misses, s.idleFrom = agent, 0, now
	s.info.State, s.info.SleepBytes, s.info.WokeTook = moorage.Idle, 0, now.Sub(began)
	s.info.Slept += max(0, now.Sub(s.info.SleptFrom)) // the clock may have been set back
	s.info.SleptFrom = time.Time{}
	s.rest.up(now)
	s.rest.settle(nil)
	m.stir()
	m.records.Hurry()
	m.Log.Info("session awake", "session", s.info.ID, "runtime", s.info.RuntimeID, "took", s.info.WokeTook)
	return nil
}

// turn waits until a session that sleeps may come up. The error says that it ends, or the server does.
func (m *Manager) turn(s *live) (leave func(), err error) {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	defer context.AfterFunc(m.serving, cancel)()
	if leave, _, err = m.gate.enter(ctx, s.key.caller()); err != nil {
		return nil, errLeaving
	}
	return leave, nil
}

func (m *Manager) getUp(ctx context.Context, s *live) (*warm.Agent, error) {
	if err := m.roomToWake(ctx, s.key, snapshot.Size(m.bed(s))); err != nil {
		return nil, err
	}
	box, err := m.Warm.Driver.(sandbox.Waker).Restore(ctx, m.bed(s))
	if moorage.CodeOf(err) == moorage.NotFound {
		if up := m.standing(ctx, s.info.SandboxID); up != nil { // a server woke it that was killed before it could say so
			box, err = up, nil
		}
	}
	if err != nil {
		return nil, err
	}
	agent := m.Warm.Adopt(box, s.version)
	agent.StartedBy, agent.StartTook = s.info.StartedBy, s.info.StartTook
	if err := m.Warm.AwaitReady(ctx, agent); err != nil {
		m.dispose(agent, 0)
		return nil, err
	}
	return agent, nil
}

// endAsleep is end for a session that has no sandbox.
func (m *Manager) endAsleep(s *live, cause error) {
	m.endAway(s)
	s.cancel(cause)
	m.strip(s)
	m.forget(s, reasonOf(cause))
}

// strip removes the session's snapshot, its key first.
func (m *Manager) strip(s *live) {
	if m.SleepDir == "" {
		return
	}
	if err := snapshot.Remove(m.bed(s)); err != nil {
		m.Log.Error("remove a snapshot", "session", s.info.ID, "err", err)
	}
}

// adoptAsleep takes over a session that sleeps, or reports false.
func (m *Manager) adoptAsleep(row moorage.Session, v moorage.Version) bool {
	s := newLive(Key{row.RuntimeID, row.Endpoint, row.Owner, row.CallerID}, v, row)
	if !m.sleeps() || !snapshot.Of(m.bed(s), row.SandboxID) {
		return false
	}
	s.recorded = row
	s.idleFrom = idleAfterRestart(row, time.Now())
	if row.State == moorage.Asleep && !row.SleptFrom.IsZero() {
		s.lie(snapshot.Size(m.bed(s)))
		s.info.SleptFrom = earlier(row.SleptFrom, time.Now()) // a clock that was ahead was set right
	} else { // the server was killed in this moment
		m.slumber(s, sandbox.Stats{})
	}
	close(s.ready)
	m.mu.Lock()
	m.byKey[s.key], m.byID[row.ID] = s, s
	m.mu.Unlock()
	m.work.Go(func() {
		defer close(s.gone)
		if m.asleep(s) {
			m.watch(s)
		}
	})
	m.Log.Info("session found asleep", "session", row.ID, "runtime", row.RuntimeID)
	return true
}

// clearBeds removes the snapshots that no sleeping session has.
func (m *Manager) clearBeds() {
	entries, _ := os.ReadDir(m.SleepDir)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range entries {
		if m.byID[e.Name()] != nil { // it sleeps, or its shim is just about to put it to sleep
			continue
		}
		if err := snapshot.Remove(filepath.Join(m.SleepDir, e.Name())); err != nil {
			m.Log.Error("remove a snapshot", "name", e.Name(), "err", err)
		}
	}
}

// SleepID puts the session with the given internal id to sleep and returns once it takes no memory.
// Errors: NotFound; Conflict while it has a call open or its agent is busy; Unsupported when it
// cannot sleep; Unavailable when the disk is full. A session that sleeps already is left alone.
func (m *Manager) SleepID(ctx context.Context, id string) error {
	nap, err := m.lullaby(id)
	if nap == nil || err != nil {
		return err
	}
	return nap.await(ctx)
}

// lullaby asks for a session to fall asleep. Both results are nil when it does already.
func (m *Manager) lullaby(id string) (*outcome, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.byID[id]
	if s == nil {
		return nil, moorage.Errorf(moorage.NotFound, "no live session has the id %q", id)
	}
	if !m.sleeps() {
		return nil, moorage.Errorf(moorage.Unsupported, "sessions cannot sleep on this server")
	}
	if s.info.State == moorage.Asleep {
		return nil, nil
	}
	if err := s.mayNot(); err != nil {
		return nil, err
	}
	if s.rest.nap == nil {
		s.rest.nap = newOutcome()
		if s.inMemory() { // else it is about to
			signal(s.rest.bedtime)
		}
	}
	return s.rest.nap, nil
}

// WakeID wakes the session with the given internal id and returns once its agent answers. One that is
// awake is left alone. Errors: NotFound; Unavailable when the engine cannot start now.
func (m *Manager) WakeID(ctx context.Context, id string) error {
	m.mu.Lock()
	s := m.byID[id]
	var back *outcome
	if s != nil && s.rest.away != nil {
		back = s.rest.away
		s.rest.call()
	}
	m.mu.Unlock()
	if s == nil {
		return moorage.Errorf(moorage.NotFound, "no live session has the id %q", id)
	}
	if back == nil {
		return nil
	}
	if err := back.await(ctx); err != nil {
		return err
	}
	if s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	return nil
}

func (o *outcome) await(ctx context.Context) error {
	select {
	case <-o.done:
		return o.err
	case <-ctx.Done():
		return &moorage.Error{Code: moorage.Busy, Message: "Session operation in progress, please retry", Err: ctx.Err()}
	}
}
