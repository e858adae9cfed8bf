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
// A session that stays idle is paused, and later falls asleep: see doze.go and sleep.go. Its clocks go on, and the next Acquire wakes it.
//
// The idle clock starts when the last lease was released, when the agent's ping last turned Healthy,
// or with the last message on an open socket, whichever came last; HealthyBusy holds it. The lifetime
// clock starts at creation and nothing holds it. A stopped session's id may be used again: that is a
// new session.
//
// A session's row is on disk before its first lease is handed out, and never more than recordEvery
// behind in when the session was last active. After a restart [Manager.Recover] matches rows with the
// sandboxes that live on in their shims, and idle clocks go on from what the rows say.
package session

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/lazy"
	"github.com/moorage-dev/moorage/internal/quota"
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
	Pools   *warm.Pools // where sessions find ready sandboxes; nil starts every session cold
	Storage *Storage
	Log     *slog.Logger
	// Limit is how many sessions may live at once; 0 is 5,000, as in the cloud service.
	Limit int
	// Quotas bound single callers and runtimes.
	Quotas quota.Quotas
	// Starts is how many sandboxes may start at once; 0 is two for each processor. More wait their turn.
	Starts int
	// PingEvery is the pause between health checks of a session; 0 is 10 s.
	PingEvery time.Duration
	// SleepDir is where sessions sleep, one directory each. None ever does without it.
	SleepDir string
	// SleepAfter is how long a session is idle before it is put to sleep; with 0 none is, unless
	// somebody asks for it.
	SleepAfter time.Duration
	// PauseAfter is how long a session is idle before its sandbox is paused: it uses no processor from then
	// on. With 0 none is.
	PauseAfter time.Duration
	// LongSleep says for how long sessions of a runtime may sleep, whatever their idle timeout and maximum
	// lifetime say; 0 is no longer than these. Nil is 0 for all.
	LongSleep func(runtimeID string) time.Duration
	// Stirred is called when a session begins, comes up from its rest, or has ended: until then, sessions that rest
	// (see moorage.SessionState) do nothing. It must not block, nor call the Manager. Nil is called by nobody.
	Stirred func()
	// Memory says how much of the machine's memory is available, and how much there is, in bytes. Nil reads /proc/meminfo.
	Memory func() (available, total int64)

	mu                          sync.Mutex
	byKey                       map[Key]*live
	byID                        map[string]*live
	owed                        []moorage.Session // ends that could not be written down yet
	closed                      bool
	records, looks              *lazy.Ticker    // of the recorder, and of looks at the machine's memory
	serving                     context.Context // ends when the server leaves
	leave                       context.CancelFunc
	gate                        gate
	callerStarts, runtimeStarts quota.Meter
	work                        sync.WaitGroup // every goroutine of the manager
	held                        sync.WaitGroup // every lease
}

// live is one session that has not ended. Fields below info belong to Manager.mu.
type live struct {
	key     Key // as it began: its storage is named after it
	version moorage.Version
	ctx     context.Context // ends with the session, cutting its streams
	cancel  context.CancelCauseFunc
	ready   chan struct{} // closed once agent or err is set
	gone    chan struct{} // closed once nothing of it is left
	agent   *warm.Agent
	err     error
	touched atomic.Int64 // when a socket last carried a message, in nanoseconds since 1970

	info     moorage.Session
	recorded moorage.Session // as it is on disk
	waiting  int             // callers that wait for the start
	queued   bool            // until the start has its turn
	leases   int
	sockets  int       // passive leases
	idleFrom time.Time // when the last lease was released
	health   warm.Health
	misses   int // pings in a row without an answer
	stopping bool
	rest     rest
}

// start readies the zero Manager. The caller holds mu.
func (m *Manager) start() {
	if m.byKey != nil {
		return
	}
	m.byKey, m.byID = map[Key]*live{}, map[string]*live{}
	m.records, m.looks = lazy.NewTicker(recordEvery), lazy.NewTicker(relieveEvery)
	m.serving, m.leave = context.WithCancel(context.Background())
	m.gate.width = m.Starts
	m.callerStarts.Rate, m.runtimeStarts.Rate = m.Quotas.CallerStarts, m.Quotas.RuntimeStarts
	m.work.Go(m.keepRecords)
	m.work.Go(m.relieve)
}

var errNobodyWaits = moorage.Errorf(moorage.Unavailable, "nobody waited for it any more")

var errLeaving = moorage.Errorf(moorage.Unavailable, "the server is shutting down")

// Acquire returns a lease on the session that key names, starting it on v when there is none.
// A session that lives keeps the version that it began with. Errors: Quota when too many live, or memory is
// out, and nobody can sleep to make room; Throttled when too many began lately; AgentFailed when the agent does not start, Busy when ctx ends while another start is under way.
func (m *Manager) Acquire(ctx context.Context, key Key, v moorage.Version) (*Lease, error) {
	for {
		s, lease, err := m.find(key, v)
		if c := crowdOf(err); c != nil && m.makeRoom(ctx, c) {
			continue
		}
		if lease != nil || err != nil {
			return lease, err
		}
		if err := m.settled(ctx, s); err != nil {
			return nil, err
		}
		// It is up, or gone: the next turn takes a lease on it, or starts a new one.
	}
}

// find returns the living session of key, with a lease when it is up, or begins a new one.
func (m *Manager) find(key Key, v moorage.Version) (*live, *Lease, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.start()
	if m.closed {
		return nil, nil, errLeaving
	}
	if s := m.byKey[key]; s != nil {
		lease := m.grant(s)
		if lease == nil {
			s.waiting++
		}
		return s, lease, nil
	}
	if err := m.mayBegin(key, 1); err != nil {
		return nil, nil, err
	}
	now := time.Now()
	key.CallerID = strings.Clone(key.CallerID) // it may be part of a whole request, which would stay as long as the session
	s := newLive(key, v, moorage.Session{
		ID: moorage.NewSessionID(), CallerID: key.CallerID, RuntimeID: key.RuntimeID, Endpoint: key.Endpoint, Owner: key.Owner,
		Version: v.Number, State: moorage.Starting, SandboxID: sandbox.NewID(), CreatedAt: now, LastActiveAt: now,
	})
	s.waiting, s.queued = 1, true
	m.byKey[key], m.byID[s.info.ID] = s, s
	m.stir()
	m.work.Go(func() { m.run(s) })
	return s, nil, nil
}

// stir says that a session came up, or ended. The caller may hold mu.
func (m *Manager) stir() {
	m.records.Wake()
	m.looks.Wake()
	if m.Stirred != nil {
		m.Stirred()
	}
}

func newLive(key Key, v moorage.Version, info moorage.Session) *live {
	s := &live{key: key, version: v, info: info, ready: make(chan struct{}), gone: make(chan struct{}), rest: newRest()}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	return s
}

func (m *Manager) limit() int {
	if m.Limit > 0 {
		return m.Limit
	}
	return 5000
}

// settled waits until a session that gave no lease is up, or gone. Its error is why the start failed
// that the caller waited for.
func (m *Manager) settled(ctx context.Context, s *live) error {
	defer m.goOn(s)
	m.mu.Lock()
	next, back := s.ready, s.rest.away
	switch {
	case s.stopping: // whoever comes after a stop gets a new session, not the old one's end
		next, back = s.gone, nil
	case back != nil:
		next = back.done
		s.rest.call()
	}
	m.mu.Unlock()
	select {
	case <-next:
	case <-ctx.Done():
		return &moorage.Error{Code: moorage.Busy, Message: "Session operation in progress, please retry", Err: ctx.Err()}
	}
	switch {
	case back != nil:
		return back.err
	case next == s.ready:
		return s.err
	}
	return nil
}

// goOn is called by whoever waited for s. A start that has not come up yet and for which nobody waits
// any more is dropped: others wait behind it.
func (m *Manager) goOn(s *live) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.waiting--; s.waiting == 0 && s.queued {
		s.cancel(errNobodyWaits)
	}
}

// Lease keeps a session active. Release it exactly once.
type Lease struct {
	Agent   *warm.Agent
	Version *moorage.Version // which the session began with; not to be changed
	Session moorage.Session  // as it was when the lease was given
	// Ended is done when the session ends, with the reason as its cause; streams are cut then.
	Ended   context.Context
	manager *Manager
	session *live
	passive bool
}

// grant gives a lease on a session that is up, else nil. The caller holds mu.
func (m *Manager) grant(s *live) *Lease {
	if s.stopping || s.rest.away != nil || !s.isReady() {
		return nil
	}
	now := time.Now()
	s.leases++
	s.info.State, s.info.LastActiveAt = moorage.Active, now
	if now.Sub(s.recorded.LastActiveAt) > recordEvery {
		m.records.Hurry()
	}
	m.held.Add(1)
	return &Lease{Agent: s.agent, Version: &s.version, Session: s.info, Ended: s.ctx, manager: m, session: s}
}

// isReady reports whether the session has an agent that answered.
func (s *live) isReady() bool {
	select {
	case <-s.ready:
		return s.agent != nil
	default:
		return false
	}
}

// Passive leaves the session to its idle clock, which now starts: from here on only Touch holds it.
// It is for connections that stay open while nothing happens on them. Call it once at most.
func (l *Lease) Passive() {
	l.manager.mu.Lock()
	defer l.manager.mu.Unlock()
	l.passive = true
	l.session.sockets++
	l.session.drop()
}

// Touch starts the idle clock anew: something happened on the connection of a passive lease. It takes
// no lock.
func (l *Lease) Touch() { l.session.touched.Store(time.Now().UnixNano()) }

// Release ends the lease; when it was the last, the idle clock starts.
func (l *Lease) Release() {
	l.manager.mu.Lock()
	defer l.manager.mu.Unlock()
	defer l.manager.held.Done()
	if l.passive { // its clock ran all the while
		l.session.sockets--
		l.session.remind()
		return
	}
	l.session.drop()
}

// drop takes one lease off. The caller holds Manager.mu.
func (s *live) drop() {
	s.leases--
	now := time.Now()
	s.info.LastActiveAt, s.idleFrom = now, now
	if s.leases == 0 && !s.stopping {
		s.info.State = moorage.Idle
		s.remind()
	}
}

// Failure explains a call that broke off: if the session's sandbox died, or was stopped, the error
// says why; else it is nil and the connection alone failed.
func (l *Lease) Failure(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second) // a death is seen within milliseconds
	defer cancel()
	select {
	case <-l.session.ctx.Done():
	case <-ctx.Done():
	}
	return context.Cause(l.session.ctx) // nil while it lives
}

// List returns the sessions that live now, in no order.
func (m *Manager) List() []moorage.Session {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	out := make([]moorage.Session, 0, len(m.byID))
	for _, s := range m.byID {
		if s.info.EndedAt.IsZero() { // else its end is being written down
			out = append(out, m.view(s, now))
		}
	}
	return out
}

// Find returns a session that lives, by its internal id.
func (m *Manager) Find(id string) (moorage.Session, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.byID[id]
	if s == nil {
		return moorage.Session{}, false
	}
	return m.view(s, time.Now()), true
}

// view is a session as it is now. A socket that carried a message since about the last check makes
// it active. The caller holds mu.
func (m *Manager) view(s *live, now time.Time) moorage.Session {
	info := s.info
	if s.leases > 0 || s.health.Busy {
		info.LastActiveAt = now
	}
	if touched := s.lastTouch(); touched.After(info.LastActiveAt) {
		info.LastActiveAt = touched
		if s.sockets > 0 && now.Sub(touched) < m.pingEvery() {
			info.State = moorage.Active
		}
	}
	return info
}

// Stats returns what a live session has used so far, no memory while it sleeps; zero when it does not live or cannot say.
func (m *Manager) Stats(ctx context.Context, id string) sandbox.Stats {
	m.mu.Lock()
	var agent *warm.Agent
	var spent time.Duration
	if s := m.byID[id]; s != nil {
		spent = s.info.CPU
		if s.inMemory() && s.isReady() {
			agent = s.agent
		}
	}
	m.mu.Unlock()
	if agent == nil {
		return sandbox.Stats{CPU: spent}
	}
	stats, err := agent.Sandbox.Stats(ctx)
	if err != nil {
		m.Log.Debug("session stats", "session", id, "err", err)
	}
	stats.CPU += spent
	return stats
}

// leaseGrace is how long Close waits for calls that it cut to say goodbye.
const leaseGrace = time.Second

// Close cuts the calls in progress and stops watching, without stopping any session: the sandboxes
// live on in their shims. A session that is still starting ends.
func (m *Manager) Close() {
	m.mu.Lock()
	m.start()
	m.closed = true
	m.mu.Unlock()
	m.leave()
	m.work.Wait()
	released := make(chan struct{})
	go func() {
		m.held.Wait()
		close(released)
	}()
	select {
	case <-released:
	case <-time.After(leaseGrace):
	}
}
