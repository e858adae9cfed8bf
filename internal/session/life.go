package session

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/warm"
)

// run is a session's life: start, watch, end.
func (m *Manager) run(s *live) {
	defer close(s.gone)
	agent, err := m.launch(s)
	if errors.Is(err, errNobodyWaits) {
		m.abandon(s, err)
		return
	}
	if err != nil {
		m.fail(s, err)
		return
	}
	agent.StartTook = time.Since(s.info.CreatedAt)
	m.open(s, agent)
	m.watch(s)
}

// startLimit bounds a whole start; the agent's own part of it is bounded by Starter.Patience.
const startLimit = 2 * time.Minute

// launch takes a sandbox from the pool, or waits for its turn to start one.
func (m *Manager) launch(s *live) (*warm.Agent, error) {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	defer context.AfterFunc(m.serving, cancel)()
	if agent, err := m.fromPool(ctx, s); agent != nil || err != nil {
		return agent, err
	}
	leave, waited, err := m.gate.enter(ctx, s.key.caller())
	if err != nil {
		return nil, m.startError(ctx, s, err)
	}
	defer leave()
	m.mu.Lock()
	s.queued = false
	m.mu.Unlock()
	ctx, cancel = context.WithTimeout(ctx, startLimit)
	defer cancel()
	agent, err := m.startCold(ctx, s)
	if agent != nil {
		agent.Steps = append([]moorage.Step{{Name: "wait for its turn", Took: waited}}, agent.Steps...)
	}
	return agent, err
}

// startCold starts the sandbox while the session's row goes to disk.
func (m *Manager) startCold(ctx context.Context, s *live) (*warm.Agent, error) {
	if err := m.roomToStart(ctx); err != nil {
		return nil, err
	}
	mounts, err := m.Storage.mounts(s.key, s.version)
	if err != nil {
		return nil, err
	}
	written := make(chan error, 1)
	m.work.Go(func() { written <- m.record(s.info) })
	agent, err := m.Warm.Start(ctx, s.version, s.info.SandboxID, labels(s.info), mounts)
	if err != nil {
		err = m.startError(ctx, s, err)
	}
	if err = errors.Join(err, <-written); err != nil && agent != nil {
		m.dispose(agent, 0)
		return nil, err
	}
	return agent, err
}

// startError says why a start was broken off, where that is not the agent's doing.
func (m *Manager) startError(ctx context.Context, s *live, err error) error {
	switch {
	case s.ctx.Err() != nil:
		return context.Cause(s.ctx)
	case m.serving.Err() != nil:
		return errLeaving
	case ctx.Err() != nil:
		return &moorage.Error{Code: moorage.Unavailable, Message: fmt.Sprintf("the session's sandbox did not start within %s", startLimit), Err: err}
	}
	return err
}

// Labels by which a restarted server finds the session of a sandbox, and the sandbox's requests are
// known as the session's.
const (
	labelSession  = "session"
	labelRuntime  = "runtime"
	labelVersion  = "version"
	labelEndpoint = "endpoint"
)

func labels(s moorage.Session) map[string]string {
	return map[string]string{labelSession: s.ID, labelRuntime: s.RuntimeID, labelVersion: fmt.Sprint(s.Version), labelEndpoint: s.Endpoint}
}

// fail ends a session that did not start. Whoever waited for it learns why.
func (m *Manager) fail(s *live, err error) {
	s.err = err
	m.abandon(s, err)
}

// abandon ends a session that did not start, without a word to whoever waits for it: they start another.
func (m *Manager) abandon(s *live, err error) {
	m.mu.Lock()
	s.stopping = true
	m.mu.Unlock()
	s.cancel(err)
	m.forget(s, "did not start: "+firstLine(err.Error()))
	close(s.ready)
}

// open lets callers in.
func (m *Manager) open(s *live, agent *warm.Agent) {
	s.agent = agent
	m.mu.Lock()
	s.info.State, s.info.StartedBy, s.info.StartTook, s.info.Steps = moorage.Idle, agent.StartedBy, agent.StartTook, agent.Steps
	s.queued = false
	s.idleFrom = time.Now()
	s.rest.up(s.idleFrom)
	m.mu.Unlock()
	close(s.ready)
	m.stir()
	m.records.Hurry()
}

// watch follows the session through days and nights until it must end, ends it, and clears up.
func (m *Manager) watch(s *live) {
	for m.awake(s) && m.asleep(s) {
	}
	m.mu.Lock()
	s.rest.settle(context.Cause(s.ctx)) // nobody waits any more
	m.mu.Unlock()
}

// awake waits until the session falls asleep, and reports true, or ends it.
func (m *Manager) awake(s *live) bool {
	for {
		err := m.attend(s)
		if err == nil {
			return true
		}
		if errors.Is(err, errDrowsy) {
			if err = m.doze(s); err == nil {
				continue
			}
		}
		if !errors.Is(err, errTired) {
			return false
		}
		if m.fallAsleep(s) {
			return true
		}
		if m.dozes(s) && m.resume(s) != nil {
			return false
		}
	}
}

func (m *Manager) dozes(s *live) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return s.rest.dozing
}

// attend waits until the session is to be paused, which is errDrowsy, or to fall asleep, which is errTired,
// or lies there already, which is nil. Any other error is its end.
func (m *Manager) attend(s *live) error {
	if m.hasOrder(s) {
		return errTired
	}
	var helpers sync.WaitGroup
	defer helpers.Wait()
	ctx, stop := context.WithCancel(s.ctx)
	defer stop()
	died, unfit := make(chan sandbox.Exit, 1), make(chan error, 1)
	helpers.Go(func() {
		if exit, err := s.agent.Sandbox.Wait(ctx); err == nil {
			died <- exit
		}
	})
	helpers.Go(func() {
		if reason := m.check(ctx, s); reason != nil {
			unfit <- reason
		}
	})
	lifetime := time.NewTimer(time.Until(m.lifeEnds(s)))
	defer lifetime.Stop()
	grace, reason := stopGrace, error(nil)
	select {
	case exit := <-died:
		if m.foundAsleep(s) {
			return nil
		}
		grace, reason = 0, m.deathNotice(s, exit)
	case <-s.ctx.Done():
		reason = context.Cause(s.ctx)
	case <-s.rest.bedtime:
		return errTired
	case reason = <-unfit:
		if errors.Is(reason, errTired) || errors.Is(reason, errDrowsy) {
			return reason
		}
	case <-lifetime.C:
		reason = lifetimeError(s)
	case <-m.serving.Done():
		m.depart(s)
		return errLeaving
	}
	m.end(s, reason, grace)
	return reason
}

func lifetimeError(s *live) error {
	return endError("", "reached its maximum lifetime of %s", s.version.Config.Lifecycle.Max)
}

func idleError(s *live) error {
	return endError("was ", "idle for %s", s.version.Config.Lifecycle.Idle)
}

// stopGrace is how long an agent has between SIGTERM and SIGKILL.
const stopGrace = time.Second

// deathNotice quotes what the agent said last, for whoever made the call that it died in.
func (m *Manager) deathNotice(s *live, exit sandbox.Exit) error {
	message := "the agent's sandbox ended: it " + exit.Cause
	if words := s.agent.LastWords(); len(words) > 0 {
		message += ". Its last words:\n" + strings.Join(words, "\n")
	}
	return &moorage.Error{Code: moorage.AgentFailed, Message: message, Err: &endReason{exit.Cause}}
}

// endError is what calls in progress learn when the platform ends their session: that it VERB REASON.
// Its record says the reason alone.
func endError(verb, format string, args ...any) error {
	reason := fmt.Sprintf(format, args...)
	return &moorage.Error{Code: moorage.AgentFailed, Message: "the session " + verb + reason, Err: &endReason{reason}}
}

// endReason carries the short form of why a session ended, for its record.
type endReason struct{ text string }

func (e *endReason) Error() string { return e.text }

func reasonOf(cause error) string {
	if r := (*endReason)(nil); errors.As(cause, &r) {
		return r.text
	}
	return firstLine(cause.Error())
}

// end closes the session to new leases, cuts its streams, removes its sandbox and records why.
func (m *Manager) end(s *live, cause error, grace time.Duration) {
	m.mu.Lock()
	s.stopping = true
	m.mu.Unlock()
	s.cancel(cause)
	m.account(s)
	m.dispose(s.agent, grace)
	m.strip(s)
	m.forget(s, reasonOf(cause))
}

// accountLimit bounds how long an end waits for what the session used.
const accountLimit = time.Second

// account adds what the sandbox used, if that can still be had, to the session's record.
func (m *Manager) account(s *live) {
	ctx, cancel := context.WithTimeout(context.Background(), accountLimit)
	defer cancel()
	used, err := s.agent.Sandbox.Stats(ctx)
	if err != nil {
		return // it ended by itself
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s.tally(used)
}

// tally adds what a sandbox used in its whole life. The caller holds Manager.mu.
func (s *live) tally(used sandbox.Stats) {
	s.info.CPU += used.CPU
	s.info.PeakBytes = max(s.info.PeakBytes, used.PeakBytes, used.MemoryBytes)
}

func (m *Manager) dispose(a *warm.Agent, grace time.Duration) {
	a.Close()
	ctx, cancel := context.WithTimeout(context.Background(), grace+30*time.Second)
	defer cancel()
	if err := a.Sandbox.Stop(ctx, grace); err != nil {
		m.Log.Error("stop sandbox", "sandbox", a.Sandbox.Info().ID, "err", err)
	}
}

// forget records the end of s and takes it off the list of the living, in this order: a row that says
// that it lives would keep the next session of the same key from being written.
func (m *Manager) forget(s *live, reason string) {
	m.mu.Lock()
	s.info.State, s.info.EndedAt, s.info.EndReason = moorage.Stopped, time.Now(), reason
	info := s.info
	m.mu.Unlock()
	err := m.record(info)
	m.mu.Lock()
	delete(m.byKey, keyOf(info))
	delete(m.byID, info.ID)
	if err != nil {
		m.owed = append(m.owed, info)
	}
	m.mu.Unlock()
	m.stir()
	if err != nil {
		m.Log.Error("record the end of a session", "session", info.ID, "err", err)
	}
	m.Log.Info("session ended", "session", info.ID, "runtime", info.RuntimeID, "reason", reason)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
