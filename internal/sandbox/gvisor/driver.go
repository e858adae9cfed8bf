package gvisor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/cgroup"
	"github.com/moorage-dev/moorage/internal/sandbox/reseed"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/log"
	gvisorsandbox "gvisor.dev/gvisor/runsc/sandbox"
)

// Options set up a Driver.
type Options struct {
	Dir   string       // state of the driver's own, removed as sandboxes end; one driver at a time owns it
	Build string       // what the engine is, for Info; default "unknown"
	Log   *slog.Logger // default discards

	// DebugDir, when set, receives gVisor's own debug logs. They are large and hold the agent's arguments.
	DebugDir string
}

// Driver runs sandboxes under gVisor. It must be closed; its sandboxes end with it, and with the
// process that holds it however that ends.
type Driver struct {
	opts       Options
	lock       *os.File
	stateDir   *os.File // open for as long as the driver: a long path is reached through it
	memory     *os.File // holds scratchDirs; nil where they are on disk
	statePath  string
	groups     *cgroup.Tree
	singleUser bool           // in a user namespace that maps one user only
	discarding sync.WaitGroup // snapshots that were woken, memory of what fell asleep

	mu     sync.Mutex
	boxes  map[string]*box // nil while a sandbox is being created
	closed bool
}

var _ sandbox.Driver = (*Driver)(nil)

// New opens a driver on a directory and removes what an earlier one left there when it was killed.
func New(opts Options) (*Driver, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Build == "" {
		opts.Build = "unknown"
	}
	d := &Driver{opts: opts, boxes: map[string]*box{}}
	if err := d.open(); err != nil {
		return nil, err
	}
	// gVisor would do this once, at the first boot, to descriptors that engines are to inherit.
	if err := gvisorsandbox.SetCloExeOnAllFDs(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	// gVisor logs through a global of its own; by default into our stderr.
	log.SetTarget(log.GoogleEmitter{Writer: &log.Writer{Next: io.Discard}})
	return d, nil
}

func (d *Driver) open() error {
	if err := os.MkdirAll(d.emptyDir(), 0o711); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(d.opts.Dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return moorage.Errorf(moorage.Conflict, "another engine process uses %s: %w", d.opts.Dir, err)
	}
	d.lock = lock
	d.groups = cgroup.Open(cgroup.Root, instanceName(d.opts.Dir))
	d.singleUser = mapsSingleUser()
	d.sweep()
	if err := errors.Join(d.openScratch(), d.writeReseeder()); err != nil {
		return errors.Join(err, closeAny(d.memory), lock.Close())
	}
	return d.openState()
}

// emptyDir is a directory with nothing in it.
func (d *Driver) emptyDir() string { return filepath.Join(d.opts.Dir, "empty") }

// maxSocketPath is what fits into a socket address, less gVisor's name for its socket.
const maxSocketPath = 107 - len("/runsc-.sock") - 20

// openState finds a path for gVisor's state that is short enough for a socket address.
func (d *Driver) openState() (err error) {
	d.statePath = filepath.Join(d.opts.Dir, "state")
	if d.stateDir, err = os.Open(d.statePath); err != nil {
		return errors.Join(err, closeAny(d.memory), d.lock.Close())
	}
	if len(d.statePath) > maxSocketPath {
		d.statePath = fmt.Sprintf("/proc/self/fd/%d", d.stateDir.Fd())
	}
	return nil
}

// instanceName names an instance after its directory, for the host's control groups.
func instanceName(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return hex.EncodeToString(sum[:6])
}

func mapsSingleUser() bool {
	b, err := os.ReadFile("/proc/self/uid_map")
	f := strings.Fields(string(b))
	return err == nil && len(f) == 3 && f[2] == "1"
}

// sweep removes what a driver that was killed left in the directory. Its engines died with it; one
// that did not is killed by its bundle's name.
func (d *Driver) sweep() {
	for _, pid := range enginesOf(filepath.Join(d.opts.Dir, "bundles")) {
		d.opts.Log.Warn("an engine outlived its parent and is killed", "pid", pid)
		unix.Kill(pid, unix.SIGKILL)
	}
	for _, dir := range scratchDirs {
		os.RemoveAll(filepath.Join(d.opts.Dir, dir)) // of a link, no more than the link
	}
	d.groups.Sweep()
}

// enginesOf finds engine processes by the bundle that they were started with.
func enginesOf(bundles string) (pids []int) {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range lines {
		b, _ := os.ReadFile(path)
		args := strings.Split(string(b), "\x00")
		ours := slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "--bundle="+bundles+"/") })
		var pid int
		if _, err := fmt.Sscanf(path, "/proc/%d/", &pid); err == nil && ours {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (d *Driver) Name() string                 { return "gvisor" }
func (d *Driver) Isolation() sandbox.Isolation { return sandbox.Kernel }

// Create implements [sandbox.Driver].
func (d *Driver) Create(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	if err := spec.Check(); err != nil {
		return nil, err
	}
	if spec.Root.Host != "" {
		return nil, moorage.Errorf(moorage.Invalid, "the gvisor driver needs an image or a directory as root, not the host's own")
	}
	spec.Limits = spec.Limits.OrDefault()
	if spec.Reseeder {
		spec.Process.Env = reseed.Environment(spec.Process.Env, confirmAt)
	}
	for attempt := 1; ; attempt++ {
		b := d.newBox(spec)
		box, err := d.begin(b, func() (*box, error) { return b.start(ctx, b.run) })
		if !diedBooting(err) || attempt == bootAttempts || ctx.Err() != nil {
			return box, err
		}
		d.opts.Log.Warn("an engine died while it booted, another is started", "sandbox", spec.ID, "attempt", attempt, "err", err)
	}
}

// bootAttempts is how often an engine is started that dies before it answers. It is rare, and its cause
// is not known: the log has what the engine said. A failed start leaves nothing behind.
const bootAttempts = 3

// diedBooting reports whether gVisor gave up a sandbox because its process was gone before it said that
// it was up. gVisor keeps only the words.
func diedBooting(err error) bool {
	return err != nil && strings.Contains(err.Error(), "waiting for sandbox to start: EOF")
}

// begin brings a sandbox up under the reservation of its id.
func (d *Driver) begin(b *box, start func() (*box, error)) (sandbox.Sandbox, error) {
	if err := d.reserve(b.spec.ID); err != nil {
		return nil, err
	}
	_, err := start()
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil || b.ended() { // so soon that its own end came before this
		delete(d.boxes, b.spec.ID)
	} else {
		d.boxes[b.spec.ID] = b
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

func (d *Driver) reserve(id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return moorage.Errorf(moorage.Unavailable, "the engine is shutting down")
	}
	if _, taken := d.boxes[id]; taken {
		return moorage.Errorf(moorage.Conflict, "a sandbox with the id %s exists", id)
	}
	d.boxes[id] = nil
	return nil
}

// forget ends a box and frees its id in one: whoever sees the end may use the id again, to wake it.
func (d *Driver) forget(b *box) {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(b.done)
	if d.boxes[b.info.ID] == b { // else begin is about to see that it ended
		delete(d.boxes, b.info.ID)
	}
}

// List implements [sandbox.Driver].
func (d *Driver) List(context.Context) ([]sandbox.Sandbox, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []sandbox.Sandbox
	for _, id := range slices.Sorted(maps.Keys(d.boxes)) {
		if b := d.boxes[id]; b != nil {
			out = append(out, b)
		}
	}
	return out, nil
}

// Close ends every sandbox and lets go of the directory. It may be called twice.
func (d *Driver) Close() error {
	d.mu.Lock()
	first := !d.closed
	d.closed = true
	d.mu.Unlock()
	if !first {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	err := d.stopAll(ctx)
	d.discarding.Wait()
	d.groups.Sweep()
	return errors.Join(err, d.stateDir.Close(), closeAny(d.memory), d.lock.Close())
}

// stopAll kills what runs, and what a Create that was already under way is still bringing up.
func (d *Driver) stopAll(ctx context.Context) error {
	var errs []error
	for {
		running, _ := d.List(ctx)
		for _, s := range running {
			errs = append(errs, s.Stop(ctx, 0))
		}
		d.mu.Lock()
		left := len(d.boxes)
		d.mu.Unlock()
		if left == 0 || ctx.Err() != nil {
			return errors.Join(append(errs, ctx.Err())...)
		}
		runtime.Gosched()
		time.Sleep(time.Millisecond)
	}
}
