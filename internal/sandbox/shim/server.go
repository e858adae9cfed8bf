package shim

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/peer"
	"golang.org/x/sys/unix"
)

const (
	// idleAfter is how long a shim with nothing to keep waits before it leaves: a server that
	// restarts finds it still there.
	idleAfter = 10 * time.Second

	// exitKept is how long an exit that nobody acknowledges is remembered.
	exitKept = 24 * time.Hour
)

// hosted is what a driver's sandboxes offer for descriptors to be passed on.
type hosted interface {
	sandbox.Sandbox
	DialFile(ctx context.Context, port uint16) (*os.File, error)
	ExecFiles(ctx context.Context, cmd sandbox.Command, stdio [3]*os.File) (sandbox.Process, error)
}

// record is a sandbox that the shim knows, alive or ended and not yet acknowledged.
type record struct {
	sandbox hosted
	ended   chan struct{}
	expiry  *time.Timer // forgets it a while after its end; nil until then
}

// server is the shim's side.
type server struct {
	drivers drivers
	log     *slog.Logger

	mu      sync.Mutex
	records map[string]*record // nil value: coming up
	settled *sync.Cond         // over mu: something that was coming up is there, or failed
	clients int
	idle    *time.Timer
	closing bool          // no sandbox begins any more
	leave   chan struct{} // closed when the shim shall end
	leaving bool
}

func newServer(d drivers, log *slog.Logger) *server {
	s := &server{drivers: d, log: log, records: map[string]*record{}, leave: make(chan struct{})}
	s.settled = sync.NewCond(&s.mu)
	s.idle = time.AfterFunc(idleAfter, s.leaveIfIdle)
	return s
}

// changed re-arms the idle clock. The caller holds mu.
func (s *server) changed() { s.idle.Reset(idleAfter) }

func (s *server) leaveIfIdle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clients == 0 && len(s.records) == 0 {
		s.leaveLocked()
	}
}

func (s *server) leaveLocked() {
	if !s.leaving {
		s.leaving = true
		close(s.leave)
	}
}

// accept serves connections until the listener is closed.
func (s *server) accept(l *peer.Listener) {
	for {
		c, err := l.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors, say: it passes
			s.log.Error("accept a client", "err", err)
			time.Sleep(10 * time.Millisecond)
			continue
		}
		go s.serve(c)
	}
}

func (s *server) serve(c *net.UnixConn) {
	defer c.Close()
	if err := peer.Check(c); err != nil {
		s.log.Warn("a client was refused", "err", err)
		return
	}
	var req request
	files, err := receive(c, &req)
	if err != nil {
		return
	}
	defer closeAll(files)
	s.mu.Lock()
	s.changed()
	s.mu.Unlock()
	if req.Protocol != protocol {
		send(c, reply{Error: failureOf(moorage.Errorf(moorage.Unsupported, "this shim speaks version %d of its protocol, not %d", protocol, req.Protocol))})
		return
	}
	if err := s.handle(c, req, files); err != nil {
		send(c, reply{Error: failureOf(err)})
	}
}

func (s *server) handle(c *net.UnixConn, req request, files []*os.File) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	switch req.Op {
	case opAttach:
		return s.attach(c)
	case opCreate:
		return s.create(ctx, c, req.Spec)
	case opWake:
		return s.wake(ctx, c, req)
	case opClone:
		return s.clone(c, req.Clone, func(as sandbox.CloneSpec) (sandbox.Sandbox, error) { return s.drivers.gvisor.Clone(ctx, req.Dir, as) })
	case opPrepare:
		return s.clone(c, req.Clone, func(as sandbox.CloneSpec) (sandbox.Sandbox, error) { return s.drivers.gvisor.Prepare(ctx, req.Dir, as) })
	case opList:
		return send(c, reply{Infos: s.list()})
	case opShutdown:
		return s.shutdown(c, req.Grace)
	}
	r, err := s.record(req.ID)
	if err != nil {
		return err
	}
	switch req.Op {
	case opLookup:
		return send(c, reply{Infos: []sandbox.Info{r.sandbox.Info()}})
	case opDial:
		return s.dial(ctx, c, r, req.Port)
	case opExec:
		return s.exec(ctx, c, r, req.Command, files)
	case opStats:
		stats, err := r.sandbox.Stats(ctx)
		if err != nil {
			return err
		}
		return send(c, reply{Stats: &stats})
	case opWait:
		return s.wait(c, r)
	case opStop:
		return s.stop(ctx, c, r, req.Grace)
	case opSleep:
		return s.sleep(ctx, c, r, req.Dir)
	case opReseed:
		return s.reseed(ctx, c, r)
	case opLoad:
		return s.load(ctx, c, r)
	case opPause:
		return done(c, r.sandbox.Pause(ctx))
	case opResume:
		return done(c, r.sandbox.Resume(ctx))
	case opRelabel:
		return done(c, r.sandbox.Relabel(ctx, req.Labels))
	}
	return moorage.Errorf(moorage.Unsupported, "this shim knows no request %q", req.Op)
}

// done answers a request that has no more to say than whether it failed.
func done(c *net.UnixConn, err error) error {
	if err != nil {
		return err
	}
	return send(c, reply{})
}

// attach counts a client until its connection ends.
func (s *server) attach(c *net.UnixConn) error {
	s.mu.Lock()
	s.clients++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.clients--
		s.changed()
	}()
	if err := send(c, reply{Isolation: s.drivers.isolation()}); err != nil {
		return err
	}
	receive(c, new(request)) // nothing comes: this waits for the end
	return nil
}

func (s *server) create(ctx context.Context, c *net.UnixConn, spec *sandbox.Spec) error {
	if spec == nil {
		return moorage.Errorf(moorage.Invalid, "the request has no spec")
	}
	return s.begin(c, spec.ID, func() (hosted, error) { return s.drivers.create(ctx, *spec) })
}

// begin brings up a sandbox that has no past. Whoever asked and is gone does not know it: nobody
// would ever stop it.
func (s *server) begin(c *net.UnixConn, id string, up func() (hosted, error)) error {
	box, err := s.host(id, up)
	if err != nil {
		return err
	}
	if err := send(c, reply{Infos: []sandbox.Info{box.Info()}}); err != nil {
		s.log.Warn("a sandbox that nobody waits for is stopped", "sandbox", id)
		box.Stop(context.Background(), 0)
		s.forget(id)
	}
	return nil
}

// host keeps the sandbox that begin brings up, under its id.
func (s *server) host(id string, begin func() (hosted, error)) (hosted, error) {
	if err := s.reserve(id); err != nil {
		return nil, err
	}
	box, err := begin()
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.settled.Broadcast()
	if err != nil {
		delete(s.records, id)
		return nil, err
	}
	r := &record{sandbox: box, ended: make(chan struct{})}
	s.records[id] = r
	go s.watch(id, r)
	return box, nil
}

var errTaken = errors.New("a sandbox with this id exists")

func (s *server) reserve(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return moorage.Errorf(moorage.Unavailable, "the shim is shutting down")
	}
	if _, taken := s.records[id]; taken {
		return moorage.Errorf(moorage.Conflict, "%w: %s", errTaken, id)
	}
	s.records[id] = nil
	return nil
}

// watch marks the record ended, and forgets it when nobody acknowledges that for a day.
func (s *server) watch(id string, r *record) {
	exit, err := r.sandbox.Wait(context.Background())
	s.log.Info("a sandbox ended", "sandbox", id, "cause", exit.Cause, "err", err)
	close(r.ended)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.records[id] == r { // else it was acknowledged at once
		r.expiry = time.AfterFunc(exitKept, func() { s.forgetRecord(id, r) })
	}
}

func (s *server) forget(id string) { s.forgetRecord(id, nil) }

// forgetRecord forgets a sandbox, unless another record has its id by now: it slept and woke. A nil
// record is whichever there is.
func (s *server) forgetRecord(id string, r *record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if kept := s.records[id]; r == nil || kept == r {
		delete(s.records, id)
		if kept != nil && kept.expiry != nil {
			kept.expiry.Stop() // it would hold on to all that the sandbox was
		}
	}
	s.changed()
}

// record finds a sandbox by its id. One that is just coming up is waited for.
func (s *server) record(id string) (*record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		r, known := s.records[id]
		switch {
		case r != nil:
			return r, nil
		case !known:
			return nil, moorage.Errorf(moorage.NotFound, "there is no sandbox %s", id)
		}
		s.settled.Wait()
	}
}

// list returns the sandboxes that are alive.
func (s *server) list() (infos []sandbox.Info) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.records {
		if r == nil {
			continue
		}
		select {
		case <-r.ended:
		default:
			infos = append(infos, r.sandbox.Info())
		}
	}
	return infos
}

func (s *server) dial(ctx context.Context, c *net.UnixConn, r *record, port uint16) error {
	f, err := r.sandbox.DialFile(ctx, port)
	if err != nil {
		return err
	}
	defer f.Close()
	return send(c, reply{}, f)
}

// exec runs a command until it ends; the client's going away kills it.
func (s *server) exec(ctx context.Context, c *net.UnixConn, r *record, cmd *command, files []*os.File) error {
	if cmd == nil || len(files) != 3 {
		return moorage.Errorf(moorage.Invalid, "an exec needs a command and three files")
	}
	p, err := r.sandbox.ExecFiles(ctx, sandbox.Command{Args: cmd.Args, Env: cmd.Env, Dir: cmd.Dir, Terminal: cmd.Terminal}, [3]*os.File(files))
	closeAll(files) // else the client would never see the end of its output
	if err != nil {
		return err
	}
	if err := send(c, reply{Terminal: cmd.Terminal != nil}); err != nil {
		return p.Kill()
	}
	ended := make(chan struct{})
	go obey(c, p, ended)
	exit, err := p.Wait()
	close(ended)
	if err != nil {
		return err
	}
	return send(c, reply{Exit: &exit})
}

// obey passes on what a client wants of its command, until that is its end or ended is closed: its
// number may be another process by then.
func obey(c *net.UnixConn, p sandbox.Process, ended <-chan struct{}) {
	for {
		var req request
		_, err := receive(c, &req)
		select {
		case <-ended:
			return
		default:
		}
		if err != nil || req.Op != opSignal { // a kill, or the end of the client
			p.Kill()
			return
		}
		if at, ok := p.(sandbox.ForegroundProcess); ok {
			at.SignalForeground(unix.Signal(req.Signal)) // what could not be signalled shows that itself
		}
	}
}

// wait answers when the sandbox ended. It gives up when the client does.
func (s *server) wait(c *net.UnixConn, r *record) error {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		receive(c, new(request))
	}()
	select {
	case <-gone:
		return nil
	case <-r.ended:
	}
	exit, err := r.sandbox.Wait(context.Background())
	if err != nil {
		return err
	}
	return send(c, reply{Exit: &exit})
}

// stop ends a sandbox and forgets it: whoever stops it has seen its exit, or does not care.
func (s *server) stop(ctx context.Context, c *net.UnixConn, r *record, grace time.Duration) error {
	if err := r.sandbox.Stop(ctx, grace); err != nil {
		return err
	}
	<-r.ended
	exit, err := r.sandbox.Wait(ctx)
	if err != nil {
		return err
	}
	s.forget(r.sandbox.Info().ID)
	return send(c, reply{Exit: &exit})
}

// shutdown ends every sandbox, answers, and then the shim.
func (s *server) shutdown(c *net.UnixConn, grace time.Duration) error {
	err := s.stopAll(grace)
	s.mu.Lock()
	s.leaveLocked()
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return send(c, reply{})
}

// stopAll stops every sandbox at once, each within its grace, and lets no new one begin.
func (s *server) stopAll(grace time.Duration) error {
	s.mu.Lock()
	s.closing = true
	var running []hosted
	for _, r := range s.records {
		if r != nil {
			running = append(running, r.sandbox)
		}
	}
	s.mu.Unlock()
	errs := make(chan error)
	for _, box := range running {
		go func() { errs <- box.Stop(context.Background(), grace) }()
	}
	var err error
	for range running {
		err = errors.Join(err, <-errs)
	}
	return errors.Join(err, s.drivers.close())
}
