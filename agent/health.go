package agent

import (
	"context"
	"net/http"
	"runtime/debug"
	"sync"
	"time"
)

// Status is what /ping answers.
type Status string

const (
	Healthy     Status = "Healthy"     // ready, and idle unless a call is in progress
	HealthyBusy Status = "HealthyBusy" // working: the session must not be ended for being idle
)

// health counts the work in progress, and remembers when the status last changed: the platform
// measures idle time from there.
type health struct {
	mu      sync.Mutex
	busy    int
	forced  Status
	last    Status
	changed time.Time
}

func (h *health) start() { h.last, h.changed = Healthy, time.Now() }

// update applies change and notes whether it changes the status. Custom is what Server.Ping says.
func (h *health) update(custom Status, change func()) (Status, time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
	status := Healthy
	switch {
	case h.forced != "":
		status = h.forced
	case custom != "":
		status = custom
	case h.busy > 0:
		status = HealthyBusy
	}
	if status != h.last {
		h.last, h.changed = status, time.Now()
	}
	return h.last, h.changed
}

func (s *Server) update(change func(*health)) (Status, time.Time) {
	s.once.Do(s.init)
	return s.health.update(s.custom(), func() { change(&s.health) })
}

// custom asks Server.Ping. One that panics has nothing to say: a ping has to be answered.
func (s *Server) custom() (status Status) {
	if s.Ping == nil {
		return ""
	}
	defer func() {
		if cause := recover(); cause != nil {
			s.log().Warn("Ping panicked", "panic", cause)
			status = ""
		}
	}()
	return s.Ping()
}

// Status returns what /ping answers now, and since when that is so.
func (s *Server) Status() (Status, time.Time) { return s.update(func(*health) {}) }

// Force makes /ping answer status, whatever runs. Force("") takes that back.
func (s *Server) Force(status Status) { s.update(func(h *health) { h.forced = status }) }

// Busy keeps the session alive until done is called; done may be called again.
func (s *Server) Busy() (done func()) {
	s.update(func(h *health) { h.busy++ })
	return sync.OnceFunc(func() { s.update(func(h *health) { h.busy-- }) })
}

// Go runs task in the background and keeps the session alive until it returns. Its context has the
// values of ctx, outlives the call, and ends when the agent is told to stop: task then has what is
// left of Server.Grace. A panic is logged, and ends that task only.
func (s *Server) Go(ctx context.Context, task func(ctx context.Context)) {
	done := s.Busy()
	s.running.Go(func() {
		defer done()
		ctx, cancel := s.detach(ctx)
		defer cancel()
		defer func() {
			if cause := recover(); cause != nil {
				s.log().ErrorContext(ctx, "task panicked", "panic", cause, "request", RequestOf(ctx), "stack", string(debug.Stack()))
			}
		}()
		task(ctx)
	})
}

// detach returns a context with ctx's values that ends when the server stops.
func (s *Server) detach(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	unhook := context.AfterFunc(s.stopping, cancel)
	return ctx, func() { unhook(); cancel() }
}

// Go is [Server.Go] of the server that ctx's call came to. It panics with a context of no call.
func Go(ctx context.Context, task func(ctx context.Context)) { must(ctx).Go(ctx, task) }

// Busy is [Server.Busy] of the server that ctx's call came to. It panics with a context of no call.
func Busy(ctx context.Context) (done func()) { return must(ctx).Busy() }

func must(ctx context.Context) *Server {
	if s := serverOf(ctx); s != nil {
		return s
	}
	panic("agent: the context is not that of a call; use the method of Server")
}

func (s *Server) ping(w http.ResponseWriter, _ *http.Request) {
	status, changed := s.Status()
	writeJSON(w, http.StatusOK, struct {
		Status  Status `json:"status"`
		Changed int64  `json:"time_of_last_update"`
	}{status, changed.Unix()})
}
