// Package session gives each conversation a sandbox of its own and decides when it ends.
//
// A session is known by (runtime, endpoint, owner, caller's id); two owners with the same id never
// meet. [Manager.Acquire] finds the session or starts it, and holds concurrent callers while it
// starts; the [Lease] that it returns keeps the session active until released.
//
//	          Acquire                ready               last lease released
//	(none) ───────────▶ starting ───────────▶ active ◀───────────────────────▶ idle
//	                        │                    │         Acquire               │
//	                        └────────────────────┴──────▶ stopped ◀──────────────┘
//	                   failed start, Stop, idle timeout, maximum lifetime, unhealthy, the sandbox died
//
// The idle clock starts when the last lease was released or when the agent's ping last turned
// Healthy, whichever came later; HealthyBusy holds it. The lifetime clock starts at creation and
// nothing holds it. A stopped session's id may be used again: that is a new session.
//
// A session's row is on disk before its first lease is handed out. After a restart [Manager.Recover]
// matches rows with the sandboxes that live on in their shims.
package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/store"
	"github.com/moorage-dev/moorage/internal/warm"
)

// Key names a session among the living.
type Key struct {
	RuntimeID, Endpoint, Owner, CallerID string
}

// Manager holds every live session. Its exported fields are set before Recover.
type Manager struct {
	Store   *store.DB
	Warm    *warm.Starter
	Storage *Storage
	Log     *slog.Logger
	// Limit is how many sessions may live at once; 0 is 5,000, as in the cloud service.
	Limit int
	// PingEvery is the pause between health checks of a session; 0 is 10 s.
	PingEvery time.Duration

	mu     sync.Mutex
	byKey  map[Key]*live
	byID   map[string]*live
	closed bool
	work   sync.WaitGroup // every goroutine of the manager
	quit   chan struct{}
}

// live is one session that has not ended. Fields below mu belong to Manager.mu.
type live struct {
	key     Key
	version moorage.Version
	ctx     context.Context // ends with the session, cutting its streams
	cancel  context.CancelCauseFunc
	ready   chan struct{} // closed once agent or err is set
	gone    chan struct{} // closed once nothing of it is left
	agent   *warm.Agent
	err     error

	info     moorage.Session
	leases   int
	idleFrom time.Time // when the last lease was released
	health   warm.Health
	misses   int // pings in a row without an answer
	stopping bool
}

// start readies the zero Manager. The caller holds mu.
func (m *Manager) start() {
	if m.byKey == nil {
		m.byKey, m.byID, m.quit = map[Key]*live{}, map[string]*live{}, make(chan struct{})
	}
}

// Lease keeps a session active. Release it exactly once.
type Lease struct {
	Agent   *warm.Agent
	Session moorage.Session // as it was when the lease was given
	// Ended is done when the session ends, with the reason as its cause; streams are cut then.
	Ended   context.Context
	manager *Manager
	session *live
}

// Acquire returns a lease on the session that key names, starting it on v when there is none.
// A session that lives keeps the version that it began with. Errors: Quota when too many live,
// AgentFailed when the agent does not start, Busy when ctx ends while another start is under way.
func (m *Manager) Acquire(ctx context.Context, key Key, v moorage.Version) (*Lease, error) {
	for {
		s, err := m.find(key, v)
		if err != nil {
			return nil, err
		}
		lease, err := m.join(ctx, s)
		if lease != nil || err != nil {
			return lease, err
		}
		// The session ended between find and join: the next turn starts a new one.
	}
}

// find returns the living session of key, or begins a new one.
func (m *Manager) find(key Key, v moorage.Version) (*live, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.start()
	if m.closed {
		return nil, moorage.Errorf(moorage.Unavailable, "the server is shutting down")
	}
	if s := m.byKey[key]; s != nil {
		return s, nil
	}
	if limit := m.limit(); len(m.byID) >= limit {
		return nil, moorage.Errorf(moorage.Quota, "maxVms limit exceeded: %d sessions are live, which is this server's limit; stop some or raise --max-sessions", limit)
	}
	now := time.Now()
	s := newLive(key, v, moorage.Session{
		ID: moorage.NewSessionID(), CallerID: key.CallerID, RuntimeID: key.RuntimeID, Endpoint: key.Endpoint, Owner: key.Owner,
		Version: v.Number, State: moorage.Starting, SandboxID: sandbox.NewID(), CreatedAt: now, LastActiveAt: now,
	})
	m.byKey[key], m.byID[s.info.ID] = s, s
	m.work.Go(func() { m.run(s) })
	return s, nil
}

func newLive(key Key, v moorage.Version, info moorage.Session) *live {
	s := &live{key: key, version: v, info: info, ready: make(chan struct{}), gone: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	return s
}

func (m *Manager) limit() int {
	if m.Limit > 0 {
		return m.Limit
	}
	return 5000
}

// join waits until s is ready and takes a lease on it. Both results are nil when s has ended and
// the caller should look again.
func (m *Manager) join(ctx context.Context, s *live) (*Lease, error) {
	select {
	case <-s.ready:
	case <-ctx.Done():
		return nil, &moorage.Error{Code: moorage.Busy, Message: "Session operation in progress, please retry", Err: ctx.Err()}
	}
	if s.err != nil {
		return nil, s.err
	}
	m.mu.Lock()
	if !s.stopping {
		defer m.mu.Unlock()
		s.leases++
		s.info.State, s.info.LastActiveAt = moorage.Active, time.Now()
		return &Lease{Agent: s.agent, Session: s.info, Ended: s.ctx, manager: m, session: s}, nil
	}
	m.mu.Unlock()
	select {
	case <-s.gone:
		return nil, nil
	case <-ctx.Done():
		return nil, &moorage.Error{Code: moorage.Busy, Message: "Session operation in progress, please retry", Err: ctx.Err()}
	}
}

// Release ends the lease; when it was the last, the idle clock starts.
func (l *Lease) Release() {
	m, s := l.manager, l.session
	m.mu.Lock()
	defer m.mu.Unlock()
	s.leases--
	now := time.Now()
	s.info.LastActiveAt, s.idleFrom = now, now
	if s.leases == 0 && !s.stopping {
		s.info.State = moorage.Idle
	}
}

// Failure explains a call that broke off: if the session's sandbox died, or was stopped, the error
// says why; else it is nil and the connection alone failed.
func (l *Lease) Failure(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second) // a death is seen within milliseconds
	defer cancel()
	select {
	case <-l.session.ctx.Done():
		return context.Cause(l.session.ctx)
	case <-ctx.Done():
		return nil
	}
}

// run is a session's life: start, watch, end.
func (m *Manager) run(s *live) {
	defer close(s.gone)
	agent, err := m.launch(s)
	if err != nil {
		s.err = err
		s.cancel(err)
		m.forget(s, "did not start: "+firstLine(err.Error()))
		close(s.ready)
		return
	}
	s.agent = agent
	m.mu.Lock()
	s.info.State, s.info.StartedBy, s.info.StartTook = moorage.Active, agent.StartedBy, agent.StartTook
	s.idleFrom = time.Now()
	m.mu.Unlock()
	close(s.ready)
	m.watch(s)
}

// launch starts the sandbox while the session's row goes to disk.
func (m *Manager) launch(s *live) (*warm.Agent, error) {
	ctx, cancel := context.WithTimeout(s.ctx, 2*time.Minute)
	defer cancel()
	mounts, err := m.Storage.mounts(s.key, s.version)
	if err != nil {
		return nil, err
	}
	written := make(chan error, 1)
	go func() { written <- m.record(s.info) }()
	agent, err := m.Warm.Start(ctx, s.version, s.info.SandboxID, labels(s.info), mounts)
	if stopped := context.Cause(s.ctx); err != nil && stopped != nil {
		err = stopped
	}
	if err = errors.Join(err, <-written); err != nil && agent != nil {
		m.dispose(agent, 0)
	}
	return agent, err
}

// Labels by which a restarted server finds the session of a sandbox.
const (
	labelSession = "session"
	labelRuntime = "runtime"
	labelVersion = "version"
)

func labels(s moorage.Session) map[string]string {
	return map[string]string{labelSession: s.ID, labelRuntime: s.RuntimeID, labelVersion: fmt.Sprint(s.Version)}
}

// watch waits until the session must end, ends it, and clears up.
func (m *Manager) watch(s *live) {
	died := make(chan sandbox.Exit, 1)
	ctx, stop := context.WithCancel(s.ctx)
	defer stop()
	m.work.Go(func() {
		if exit, err := s.agent.Sandbox.Wait(ctx); err == nil {
			died <- exit
		}
	})
	check := time.NewTimer(m.nextCheck(s, time.Now()))
	defer check.Stop()
	for {
		select {
		case exit := <-died:
			m.end(s, m.deathNotice(s, exit), 0)
			return
		case <-s.ctx.Done():
			m.end(s, context.Cause(s.ctx), stopGrace)
			return
		case <-m.quit:
			s.agent.Close()
			return // the server leaves; the sandbox lives on in its shim
		case <-check.C:
			if reason := m.expired(s, time.Now()); reason != nil {
				m.end(s, reason, stopGrace)
				return
			}
			check.Reset(m.nextCheck(s, time.Now()))
		}
	}
}

// stopGrace is how long an agent has between SIGTERM and SIGKILL.
const stopGrace = time.Second

func (m *Manager) deathNotice(s *live, exit sandbox.Exit) error {
	words := s.agent.LastWords()
	message := "the agent's sandbox ended: it " + exit.Cause
	for i, w := range words {
		if i == 0 {
			message += ". Its last words:"
		}
		message += "\n" + w
	}
	return &moorage.Error{Code: moorage.AgentFailed, Message: message, Err: &endReason{exit.Cause}}
}

// endReason carries the short form of why a session ended, for its record.
type endReason struct{ text string }

func (e *endReason) Error() string { return e.text }

// end closes the session to new leases, cuts its streams, removes its sandbox and records why.
func (m *Manager) end(s *live, cause error, grace time.Duration) {
	m.mu.Lock()
	s.stopping = true
	m.mu.Unlock()
	s.cancel(cause)
	m.dispose(s.agent, grace)
	reason := firstLine(cause.Error())
	if r := (*endReason)(nil); errors.As(cause, &r) {
		reason = r.text
	}
	m.forget(s, reason)
}

func (m *Manager) dispose(a *warm.Agent, grace time.Duration) {
	a.Close()
	ctx, cancel := context.WithTimeout(context.Background(), grace+30*time.Second)
	defer cancel()
	if err := a.Sandbox.Stop(ctx, grace); err != nil {
		m.Log.Error("stop sandbox", "sandbox", a.Sandbox.Info().ID, "err", err)
	}
}

// forget takes s off the list of the living and records its end.
func (m *Manager) forget(s *live, reason string) {
	m.mu.Lock()
	delete(m.byKey, s.key)
	delete(m.byID, s.info.ID)
	s.info.State, s.info.EndedAt, s.info.EndReason = moorage.Stopped, time.Now(), reason
	info := s.info
	m.mu.Unlock()
	if err := m.record(info); err != nil {
		m.Log.Error("record the end of a session", "session", info.ID, "err", err)
	}
	m.Log.Info("session ended", "session", info.ID, "runtime", info.RuntimeID, "reason", reason)
}

func (m *Manager) record(info moorage.Session) error {
	return m.Store.Update(context.Background(), func(tx *store.Tx) error { return tx.PutSession(info) })
}

// Close stops watching without stopping any session; the sandboxes live on in their shims.
func (m *Manager) Close() {
	m.mu.Lock()
	m.start()
	if !m.closed {
		m.closed = true
		close(m.quit)
	}
	m.mu.Unlock()
	m.work.Wait()
}

func firstLine(s string) string {
	for i := range s {
		if s[i] == '\n' {
			return s[:i]
		}
	}
	return s
}
