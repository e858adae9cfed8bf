package shim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/gvisor"
	"github.com/moorage-dev/moorage/internal/socket"
	"golang.org/x/sys/unix"
)

// Options say where a Client finds its shims.
type Options struct {
	Dir        string       // the product's directory; shims live in Dir/engines
	Executable string       // the build that new sandboxes run on; default this program
	Asleep     string       // where sandboxes sleep, one directory each: builds that froze one are kept; default Dir/sleep
	Log        *slog.Logger // default discards
}

// Client is a driver whose sandboxes live in shims. Its methods may be called concurrently.
type Client struct {
	engines string // Dir/engines
	asleep  string
	current string // the current build's directory
	build   string
	log     *slog.Logger

	mu        sync.Mutex
	attached  *net.UnixConn // keeps the current shim from leaving
	isolation sandbox.Isolation
	closed    bool
}

var _ sandbox.Driver = (*Client)(nil)

// Open finds the shim of the current build, or starts it.
func Open(ctx context.Context, opts Options) (*Client, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, err
	}
	if opts.Executable == "" {
		opts.Executable = "/proc/self/exe"
	}
	executable, err := filepath.EvalSymlinks(opts.Executable)
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	c := &Client{engines: filepath.Join(dir, "engines"), asleep: cmp.Or(opts.Asleep, filepath.Join(dir, "sleep")), log: opts.Log}
	if c.build, err = buildID(executable); err != nil {
		return nil, fmt.Errorf("identify this build: %w", err)
	}
	c.current = filepath.Join(c.engines, c.build)
	if err := install(executable, c.current); err != nil {
		return nil, err
	}
	if err := c.attach(ctx); err != nil {
		return nil, err
	}
	c.sweep()
	return c, nil
}

// attach connects to the current shim for as long as the client lives, starting it when need be.
func (c *Client) attach(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return moorage.Errorf(moorage.Unavailable, "the sandbox engine is closed")
	}
	conn, r, err := attach(ctx, c.current)
	if errors.Is(err, errNoShim) {
		if err := start(ctx, c.current); err != nil {
			return unavailable(err)
		}
		conn, r, err = attach(ctx, c.current)
	}
	if err != nil {
		return unavailable(err)
	}
	if c.attached != nil {
		c.attached.Close()
	}
	c.attached, c.isolation = conn, r.Isolation
	return nil
}

// attach opens the connection that counts as a client.
func attach(ctx context.Context, engineDir string) (*net.UnixConn, reply, error) {
	conn, err := ask(ctx, engineDir, request{Op: opAttach})
	if err != nil {
		return nil, reply{}, err
	}
	r, err := answer(ctx, conn)
	if err != nil {
		conn.Close()
		return nil, reply{}, err
	}
	return conn, r, nil
}

func unavailable(err error) error {
	return &moorage.Error{Code: moorage.Unavailable, Op: "start the sandbox engine", Message: "the sandbox engine cannot be started on this machine", Err: err}
}

// sweep removes the directories of older builds whose shim is gone, and which no sleeping sandbox needs.
func (c *Client) sweep() {
	needed := c.needed()
	for _, dir := range c.engineDirs() {
		if dir == c.current || needed[filepath.Base(dir)] {
			continue
		}
		if conn, err := connect(context.Background(), dir); err == nil {
			conn.Close()
			continue
		}
		if err := removeDead(dir); err != nil {
			c.log.Warn("remove an old engine", "dir", dir, "err", err)
		}
	}
}

func (c *Client) engineDirs() (dirs []string) {
	entries, _ := os.ReadDir(c.engines)
	for _, e := range entries {
		if e.IsDir() {
			dirs = append(dirs, filepath.Join(c.engines, e.Name()))
		}
	}
	return dirs
}

// Name implements [sandbox.Driver].
func (c *Client) Name() string { return "shim" }

// Isolation is the strongest that the current shim offers: None where an ordinary user may make no
// namespace. A sandbox says in its Info which it has.
func (c *Client) Isolation() sandbox.Isolation {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.isolation
}

// Build is the current build's id.
func (c *Client) Build() string { return c.build }

// Create implements [sandbox.Driver] on the current build. A shim that died is started again.
func (c *Client) Create(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	if err := spec.Check(); err != nil {
		return nil, err
	}
	r, _, err := call(ctx, c.current, request{Op: opCreate, Spec: &spec})
	if errors.Is(err, errNoShim) {
		if err := c.attach(ctx); err != nil {
			return nil, err
		}
		r, _, err = call(ctx, c.current, request{Op: opCreate, Spec: &spec})
	}
	if err != nil {
		return nil, err
	}
	if len(r.Infos) != 1 {
		return nil, errGarbled
	}
	return &remote{dir: c.current, info: r.Infos[0]}, nil
}

// List implements [sandbox.Driver] for the sandboxes of every build.
func (c *Client) List(ctx context.Context) ([]sandbox.Sandbox, error) {
	var out []sandbox.Sandbox
	for _, dir := range c.engineDirs() {
		r, _, err := call(ctx, dir, request{Op: opList})
		if errors.Is(err, errNoShim) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list the sandboxes of %s: %w", filepath.Base(dir), err)
		}
		for _, info := range r.Infos {
			out = append(out, &remote{dir: dir, info: info})
		}
	}
	slices.SortFunc(out, func(a, b sandbox.Sandbox) int { return cmp.Compare(a.Info().ID, b.Info().ID) })
	return out, nil
}

// Lookup finds a sandbox by its id, in every build. It finds one that ended, too, until Stop was
// called on it: so a server that was away learns how it ended. Else it is a moorage.NotFound.
func (c *Client) Lookup(ctx context.Context, id string) (sandbox.Sandbox, error) {
	for _, dir := range c.engineDirs() {
		r, _, err := call(ctx, dir, request{Op: opLookup, ID: id})
		if err == nil && len(r.Infos) == 1 {
			return &remote{dir: dir, info: r.Infos[0]}, nil
		}
		if !errors.Is(err, errNoShim) && moorage.CodeOf(err) != moorage.NotFound {
			return nil, err
		}
	}
	return nil, moorage.Errorf(moorage.NotFound, "there is no sandbox %s", id)
}

// Close lets go of the shims; their sandboxes live on. It may be called twice.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.attached == nil {
		return nil
	}
	err := c.attached.Close()
	c.attached = nil
	return err
}

// Shutdown ends every sandbox and every shim of a product directory. Agents are asked to go, and
// have five seconds. It returns once they are gone, and starts nothing.
func Shutdown(ctx context.Context, dir string) error {
	c := Client{engines: filepath.Join(dir, "engines")}
	var errs []error
	for _, engine := range c.engineDirs() {
		if err := end(ctx, engine); err != nil && !errors.Is(err, errNoShim) {
			errs = append(errs, err)
		}
		errs = append(errs, awaitGone(ctx, engine)) // of one that answered nobody
	}
	return errors.Join(errs...)
}

// causeEngine is how a sandbox ended that was never seen to end.
const causeEngine = "was lost: the engine process ended"

// remote is a sandbox in a shim.
type remote struct {
	dir  string       // of its shim
	info sandbox.Info // its labels belong to mu

	mu   sync.Mutex
	exit *sandbox.Exit // once known
}

func (r *remote) Info() sandbox.Info {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.info
}

// Relabel implements [sandbox.Sandbox]. The shim keeps the labels for as long as the sandbox lives.
func (r *remote) Relabel(ctx context.Context, labels map[string]string) error {
	if err := r.tell(ctx, request{Op: opRelabel, Labels: labels}); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.info.Labels = maps.Clone(labels)
	return nil
}

func (r *remote) Pause(ctx context.Context) error  { return r.tell(ctx, request{Op: opPause}) }
func (r *remote) Resume(ctx context.Context) error { return r.tell(ctx, request{Op: opResume}) }

// tell sends a request that is answered by no more than whether it failed. Sandboxes of a build that
// knows no such request are moorage.Unsupported.
func (r *remote) tell(ctx context.Context, req request) error {
	req.ID = r.info.ID
	_, _, err := call(ctx, r.dir, req)
	return gone(err)
}

func (r *remote) Dial(ctx context.Context, port uint16) (net.Conn, error) {
	_, files, err := call(ctx, r.dir, request{Op: opDial, ID: r.info.ID, Port: port})
	if err != nil {
		return nil, gone(err)
	}
	defer closeAll(files)
	if len(files) != 1 {
		return nil, errGarbled
	}
	return socket.Open(files[0])
}

func (r *remote) Exec(ctx context.Context, cmd sandbox.Command) (sandbox.Process, error) {
	return sandbox.ExecWithFiles(ctx, cmd, r.execFiles)
}

func (r *remote) execFiles(ctx context.Context, cmd sandbox.Command, stdio [3]*os.File) (sandbox.Process, error) {
	req := request{Op: opExec, ID: r.info.ID, Command: &command{Args: cmd.Args, Env: cmd.Env, Dir: cmd.Dir, Terminal: cmd.Terminal}}
	conn, err := ask(ctx, r.dir, req, stdio[:]...)
	if err != nil {
		return nil, gone(err)
	}
	started, err := answer(ctx, conn)
	if err == nil && cmd.Terminal != nil && !started.Terminal {
		err = moorage.Errorf(moorage.Unsupported, "the session runs on the engine of an earlier build, which has no terminals; a new session has them")
	}
	if err != nil {
		conn.Close()
		return nil, gone(err)
	}
	if cmd.Terminal != nil {
		return remoteSeated{&remoteProcess{conn: conn}}, nil
	}
	return &remoteProcess{conn: conn}, nil
}

func (r *remote) Stats(ctx context.Context) (sandbox.Stats, error) {
	reply, _, err := call(ctx, r.dir, request{Op: opStats, ID: r.info.ID})
	if err != nil {
		return sandbox.Stats{}, gone(err)
	}
	if reply.Stats == nil {
		return sandbox.Stats{}, errGarbled
	}
	return *reply.Stats, nil
}

// Wait implements [sandbox.Sandbox]. The shim keeps the exit until Stop is called.
func (r *remote) Wait(ctx context.Context) (sandbox.Exit, error) {
	if exit := r.known(); exit != nil {
		return *exit, nil
	}
	reply, _, err := call(ctx, r.dir, request{Op: opWait, ID: r.info.ID})
	return r.ended(ctx, reply, err)
}

// Stop implements [sandbox.Sandbox]. After it the shim no longer knows the sandbox.
func (r *remote) Stop(ctx context.Context, grace time.Duration) error {
	reply, _, err := call(ctx, r.dir, request{Op: opStop, ID: r.info.ID, Grace: grace})
	_, err = r.ended(ctx, reply, err)
	return err
}

// ended remembers how the sandbox ended. A shim that cannot be asked has taken it along.
func (r *remote) ended(ctx context.Context, reply reply, err error) (sandbox.Exit, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.exit != nil:
	case err == nil && reply.Exit != nil:
		r.exit = reply.Exit
	case ctx.Err() != nil:
		return sandbox.Exit{}, ctx.Err()
	case errors.Is(err, errNoShim) || moorage.CodeOf(err) == moorage.NotFound:
		r.exit = &sandbox.Exit{Code: -1, Signal: "SIGKILL", Cause: causeEngine, At: time.Now().UTC()}
	case err == nil:
		return sandbox.Exit{}, errGarbled
	default:
		return sandbox.Exit{}, err
	}
	return *r.exit, nil
}

func (r *remote) known() *sandbox.Exit {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.exit
}

// gone turns the silence of a shim into what it means for a sandbox.
func gone(err error) error {
	if errors.Is(err, errNoShim) {
		return &moorage.Error{Code: moorage.AgentFailed, Message: "the sandbox has ended: it " + causeEngine, Err: err}
	}
	return err
}

// remoteProcess is a command in a sandbox of a shim. It dies when its connection does.
type remoteProcess struct {
	conn *net.UnixConn
	send sync.Mutex // one message at a time
	once sync.Once
	exit sandbox.Exit
	err  error
}

func (p *remoteProcess) Wait() (sandbox.Exit, error) {
	p.once.Do(func() {
		defer p.conn.Close()
		r, err := answer(context.Background(), p.conn)
		switch {
		case err != nil:
			p.exit = sandbox.Exit{Code: -1, Signal: "SIGKILL", Cause: causeEngine, At: time.Now().UTC()}
			if !errors.Is(err, errNoShim) {
				p.err = err
			}
		case r.Exit == nil:
			p.err = errGarbled
		default:
			p.exit = *r.Exit
		}
	})
	return p.exit, p.err
}

func (p *remoteProcess) Kill() error { return p.ask(request{Protocol: protocol, Op: opKill}) }

func (p *remoteProcess) ask(r request) error {
	p.send.Lock()
	defer p.send.Unlock()
	err := send(p.conn, r)
	if errors.Is(err, net.ErrClosed) || errors.Is(lost(err), errNoShim) {
		return nil // it ended already
	}
	return err
}

// remoteSeated is a command in a sandbox of a shim that sits at a terminal of ours.
type remoteSeated struct{ *remoteProcess }

var _ sandbox.ForegroundProcess = remoteSeated{}

// SignalForeground implements [sandbox.ForegroundProcess]. The shim knows whether anybody has to be told.
func (p remoteSeated) SignalForeground(sig unix.Signal) error {
	return p.ask(request{Protocol: protocol, Op: opSignal, Signal: int(sig)})
}

// EngineMended reports whether the engine of this program loses nothing: see [gvisor.Mended].
func EngineMended() bool { return gvisor.Mended() }
