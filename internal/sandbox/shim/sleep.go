package shim

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/snapshot"
)

var (
	_ sandbox.Sleeper = (*remote)(nil)
	_ sandbox.Waker   = (*Client)(nil)
)

// sleep freezes a sandbox and forgets it: its id is free for the one that will wake.
func (s *server) sleep(ctx context.Context, c *net.UnixConn, r *record, dir string) error {
	sleeper, ok := r.sandbox.(sandbox.Sleeper)
	if !ok {
		return moorage.Errorf(moorage.Unsupported, "a plain process cannot be put to sleep")
	}
	if err := sleeper.Checkpoint(ctx, dir); err != nil {
		return err
	}
	<-r.ended
	s.forgetRecord(r.sandbox.Info().ID, r)
	return send(c, reply{})
}

// wake brings back what sleeps in a directory. Unlike a new sandbox it stays when whoever asked is
// gone: it has a past that its session needs, and is there for whoever asks again.
func (s *server) wake(ctx context.Context, c *net.UnixConn, req request) error {
	s.makeWay(req.ID)
	box, err := s.host(req.ID, func() (hosted, error) { return s.drivers.wake(ctx, req.Dir) })
	if errors.Is(err, errTaken) {
		var r *record
		if r, err = s.record(req.ID); err == nil {
			box = r.sandbox
		}
	}
	if err != nil {
		return err
	}
	return send(c, reply{Infos: []sandbox.Info{box.Info()}})
}

// makeWay forgets the sandbox that fell asleep, should whoever put it to sleep not have done so yet.
func (s *server) makeWay(id string) {
	s.mu.Lock()
	r := s.records[id]
	s.mu.Unlock()
	if r == nil {
		return
	}
	select {
	case <-r.ended:
		s.forgetRecord(id, r)
	default: // it is awake
	}
}

func (d drivers) wake(ctx context.Context, dir string) (hosted, error) {
	box, err := d.gvisor.Restore(ctx, dir)
	if err != nil {
		return nil, err
	}
	return box.(hosted), nil
}

// Checkpoint implements [sandbox.Sleeper]. A sandbox on a build from before there was sleep is a
// moorage.Unsupported.
func (r *remote) Checkpoint(ctx context.Context, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	return r.tell(ctx, request{Op: opSleep, Dir: dir})
}

// Restore implements [sandbox.Waker] on the build that froze the sandbox, whose shim is started
// again when it has left meanwhile.
func (c *Client) Restore(ctx context.Context, dir string) (sandbox.Sandbox, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	s, err := snapshot.Open(dir)
	if err != nil {
		return nil, err
	}
	return c.onBuild(ctx, s.Manifest.Build, request{Op: opWake, ID: s.Manifest.Sandbox, Dir: dir})
}

// onBuild has the shim of a build bring up a sandbox, and starts it for that when it is not running.
func (c *Client) onBuild(ctx context.Context, build string, req request) (sandbox.Sandbox, error) {
	engine := filepath.Join(c.engines, filepath.Base(build))
	r, _, err := call(ctx, engine, req)
	if errors.Is(err, errNoShim) {
		if err := c.startAgain(ctx, engine); err != nil {
			return nil, err
		}
		r, _, err = call(ctx, engine, req)
	}
	if errors.Is(err, errNoShim) {
		return nil, unavailable(err)
	}
	if err != nil {
		return nil, err
	}
	if len(r.Infos) != 1 {
		return nil, errGarbled
	}
	return &remote{dir: engine, info: r.Infos[0]}, nil
}

// startAgain starts the shim of a build, the current one or an older.
func (c *Client) startAgain(ctx context.Context, engine string) error {
	if engine == c.current {
		return c.attach(ctx)
	}
	if _, err := os.Stat(filepath.Join(engine, exeName)); errors.Is(err, fs.ErrNotExist) {
		return moorage.Errorf(moorage.Conflict, "the engine build %s, which froze this sandbox, is no longer there", filepath.Base(engine))
	}
	if err := start(ctx, engine); err != nil {
		return unavailable(err)
	}
	return nil
}

// needed are the builds that sleeping sandboxes wait for.
func (c *Client) needed() map[string]bool {
	builds := map[string]bool{}
	dirs, _ := filepath.Glob(filepath.Join(c.asleep, "*"))
	for _, dir := range dirs {
		if s, err := snapshot.Open(dir); err == nil {
			builds[s.Manifest.Build] = true
		}
	}
	return builds
}
