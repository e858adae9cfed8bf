package gvisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/cgroup"
	"github.com/moorage-dev/moorage/internal/sandbox/gvisor/gateway"
	"github.com/moorage-dev/moorage/internal/sandbox/reseed"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/urpc"
	"gvisor.dev/gvisor/runsc/boot"
	"gvisor.dev/gvisor/runsc/config"
	"gvisor.dev/gvisor/runsc/container"
)

// engineThreads is the room in the host's count of threads for the engine's own and for those it
// keeps on the agent's behalf, of which there may be several per process inside.
const engineThreads = 512

// lingerAfterAgent is how long an engine may take to go once its agent went.
const lingerAfterAgent = 5 * time.Second

// box is one sandbox. gVisor's Container is not safe for concurrent use, so it only begins and
// ends the engine; everything between goes to the engine's control socket directly.
type box struct {
	driver    *Driver
	spec      sandbox.Spec
	info      sandbox.Info
	bundle    string
	container *container.Container
	engineUID int // owner that stdio files must have for the engine to open them again

	controlPath string
	pidfd       *os.File
	report      *os.File // the engine writes to its other end how the agent ended
	words       words
	group       *cgroup.Group
	gateway     *gateway.Gateway // nil without a link

	mu      sync.Mutex // of info's labels, and of released
	pausing sync.Mutex // of paused; held while that changes
	paused  bool

	reseeding sync.Mutex    // one at a time
	desk      reseed.Desk   // where the agent's processes confirm that they reseeded
	held      chan struct{} // nil but for a clone: closed when it may send outward
	blank     *blank        // nil but for a clone that was prepared
	frozen    bool          // it becomes what a snapshot is of
	comes     *os.File      // tells the engine that the snapshot comes; nil unless frozen
	released  bool

	stopping atomic.Bool
	asleep   atomic.Bool   // its state is on disk, and its engine is to go
	exit     sandbox.Exit  // set before done is closed
	done     chan struct{} // closed once nothing of the sandbox is left
	undo     []func() error
}

var _ sandbox.Sandbox = (*box)(nil)

// newBox is a sandbox that does not run yet.
func (d *Driver) newBox(spec sandbox.Spec) *box {
	b := &box{driver: d, spec: spec, done: make(chan struct{}), bundle: filepath.Join(d.opts.Dir, "bundles", spec.ID)}
	b.info = sandbox.Info{
		ID: spec.ID, Labels: spec.Labels, LogDir: spec.LogDir,
		Engine: "gvisor " + d.opts.Build, Isolation: sandbox.Kernel, CreatedAt: time.Now().UTC(),
	}
	return b
}

// start brings a sandbox up; run is how its processes come to be. What a failure leaves behind is
// undone in reverse.
func (b *box) start(ctx context.Context, run func() error) (*box, error) {
	for _, step := range []func() error{b.makeBundle, b.openGroup, b.boot, run} {
		err := ctx.Err()
		if err == nil {
			err = step()
		}
		if err != nil {
			return nil, errors.Join(startError(err), b.cleanUp())
		}
	}
	go b.watch()
	return b, nil
}

// startError gives words for what can be mended: a command that is not in the image, a full disk.
func startError(err error) error {
	if moorage.CodeOf(err) != moorage.Internal || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var remote urpc.RemoteError
	if errors.As(err, &remote) {
		return &moorage.Error{Code: moorage.AgentFailed, Message: "the agent's command cannot be started", Err: err}
	}
	message := "the sandbox engine could not start"
	if isFull(err) {
		message = "the server's disk is full: free some space on it and try again"
	}
	return &moorage.Error{Code: moorage.Unavailable, Op: "start sandbox", Message: message, Err: err}
}

// isFull reports whether a disk without space is at the bottom of err. gVisor keeps only the words of
// some errors.
func isFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || strings.Contains(err.Error(), unix.ENOSPC.Error())
}

// later registers what undoes a step, run in reverse by cleanUp.
func (b *box) later(f func() error) { b.undo = append(b.undo, f) }

// cleanUp removes every trace. Each step runs though an earlier one failed.
func (b *box) cleanUp() error {
	var errs []error
	for i := len(b.undo) - 1; i >= 0; i-- {
		errs = append(errs, b.undo[i]())
	}
	b.undo = nil
	return errors.Join(errs...)
}

func (b *box) makeBundle() error {
	if err := os.MkdirAll(b.bundle, 0o711); err != nil {
		return err
	}
	b.later(func() error { return os.RemoveAll(b.bundle) })
	return nil
}

func (b *box) openGroup() error {
	l := b.spec.Limits
	b.group = b.driver.groups.New(b.spec.ID, cgroup.Limits{
		MemoryBytes: l.MemoryBytes, MilliCPU: l.MilliCPU, PIDs: 4*l.PIDs + engineThreads,
	})
	b.later(b.group.Remove)
	for _, limit := range b.group.Unenforced {
		if limit != cgroup.PIDs { // held inside, by RLIMIT_NPROC
			b.info.Unenforced = append(b.info.Unenforced, limit)
		}
	}
	return nil
}

// boot starts the engine, its output connected to the journal, and puts it under its limits.
func (b *box) boot() error {
	var err error
	if b.words, err = openWords(); err != nil {
		return err
	}
	b.later(b.words.file.Close)
	conf, err := engineConfig(b.driver.statePath, b.words.path(), b.spec, b.driver.singleUser, b.driver.opts.DebugDir)
	if err != nil {
		return err
	}
	stdio, err := b.openOutput()
	if err != nil {
		return err
	}
	defer stdio.close()
	if err := stdio.asOurs(func() error { return b.newContainer(conf) }); err != nil {
		return fmt.Errorf("boot the engine: %w; it said %q", err, b.words.said())
	}
	b.later(b.container.Destroy)
	b.controlPath = b.container.Sandbox.GetControlSocketPath()
	b.engineUID = b.container.Sandbox.UID
	pid := b.container.Sandbox.Getpid()
	if b.pidfd, err = openPidfd(pid); err != nil {
		return err
	}
	b.later(b.pidfd.Close)
	b.confine(pid, b.container.GoferPid.Load())
	return nil
}

// confine makes sure that the engine and its proxy, if it has one, are in the control groups which
// they were to enter by themselves: moving a process that is there takes the kernel 10 ms, asking takes
// none. A machine that allows the groups but not the moving runs the sandbox without limits, and Info
// says so.
func (b *box) confine(pids ...int) {
	for _, pid := range pids {
		if pid == 0 || b.group.Holds(pid) {
			continue
		}
		if err := b.group.Add(pid); err != nil {
			b.driver.opts.Log.Warn("a sandbox runs without its limits", "sandbox", b.info.ID, "err", err)
			b.info.Unenforced = []string{cgroup.CPU, cgroup.Memory}
		}
	}
}

// newContainer starts the engine's process, with open doors to its control groups.
func (b *box) newContainer(conf *config.Config) error {
	spec := ociSpec(b.spec, b.driver.emptyDir())
	if b.spec.Reseeder {
		spec.Mounts = append(spec.Mounts, b.driver.reseederMount())
	}
	report, err := b.openReport()
	if err != nil {
		return err
	}
	doors, _ := b.group.Doors() // without doors, confine finds out what is wrong
	files := append([]*os.File{report}, doors...)
	if b.frozen {
		call, err := b.openCall()
		if err != nil {
			return err
		}
		files = append(files, call)
	}
	inherited, err := inheritable(files)
	if err != nil {
		return err
	}
	defer closeDescriptors(inherited)
	if b.frozen {
		last := len(inherited) - 1
		spec.Annotations[callAnnotation] = strconv.Itoa(inherited[last])
		inherited = inherited[:last]
	}
	spec.Annotations[statusAnnotation] = strconv.Itoa(inherited[0])
	spec.Annotations[doorsAnnotation] = strings.Trim(strings.ReplaceAll(fmt.Sprint(inherited[1:]), " ", ","), "[]")
	done, err := b.showSettings(spec)
	if err != nil {
		return err
	}
	defer done()
	b.container, err = container.New(conf, container.Args{ID: b.spec.ID, Spec: withoutEnvironment(spec), BundleDir: b.bundle, Attached: true})
	return err
}

// showSettings has gVisor find a spec where it looks for it, until done: it opens the file and hands it to the engine. The
// file is in memory, since the spec holds the agent's environment, which no disk is to keep.
func (b *box) showSettings(spec *specs.Spec) (done func(), err error) {
	raw, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("moorage-settings", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "settings")
	path := filepath.Join(b.bundle, "config.json")
	_, err = file.Write(raw)
	if err == nil {
		err = os.Symlink(fmt.Sprintf("/proc/self/fd/%d", fd), path)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return func() { os.Remove(path); file.Close() }, nil
}

// withoutEnvironment is what gVisor keeps of a spec beside the engine, in a file.
func withoutEnvironment(spec *specs.Spec) *specs.Spec {
	kept, process := *spec, *spec.Process
	process.Env = nil
	kept.Process = &process
	return &kept
}

// openReport opens the pipe for the agent's status and returns the engine's end.
func (b *box) openReport() (theirs *os.File, err error) {
	if b.report, theirs, err = os.Pipe(); err == nil {
		b.later(b.report.Close)
	}
	return theirs, err
}

// firstInherited is above every number that gVisor gives to descriptors of an engine.
const firstInherited = 512

// inheritable moves files to numbers that a new process keeps. Processes that start meanwhile keep
// them too, which lets them into a sandbox's control group: no reason to want that.
func inheritable(files []*os.File) (fds []int, err error) {
	for _, f := range files {
		fd, dupErr := unix.FcntlInt(f.Fd(), unix.F_DUPFD, firstInherited)
		f.Close()
		if dupErr != nil {
			err = dupErr
			continue
		}
		fds = append(fds, fd)
	}
	if err != nil {
		closeDescriptors(fds)
	}
	return fds, err
}

func closeDescriptors(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// run sets the network up and starts the agent's process.
func (b *box) run() error { return b.withNetwork(b.startAgent) }

// watch waits for the end, whoever brings it, and leaves nothing behind.
func (b *box) watch() {
	if b.blank != nil {
		b.awaitLoaded()
	}
	status, err := b.awaitAgent()
	if err == nil {
		timer := time.AfterFunc(lingerAfterAgent, func() { killProcess(b.pidfd) })
		defer timer.Stop()
	}
	if deathErr := awaitDeath(b.pidfd); deathErr != nil {
		b.driver.opts.Log.Error("wait for the engine", "sandbox", b.info.ID, "err", deathErr)
		killProcess(b.pidfd)
	}
	if err != nil {
		status, err = b.reported()
	}
	if said := b.words.said(); said != "" {
		b.driver.opts.Log.Error("an engine ended unexpectedly", "sandbox", b.info.ID, "said", said)
	}
	b.exit = b.explain(status, err)
	if err := b.cleanUp(); err != nil {
		b.driver.opts.Log.Error("clean up after a sandbox", "sandbox", b.info.ID, "err", err)
	}
	b.driver.forget(b)
}

func (b *box) ended() bool {
	select {
	case <-b.done:
		return true
	default:
		return false
	}
}

// Info implements [sandbox.Sandbox].
func (b *box) Info() sandbox.Info {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.info
}

// Dial implements [sandbox.Sandbox].
func (b *box) Dial(ctx context.Context, port uint16) (net.Conn, error) {
	f, err := b.DialFile(ctx, port)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return net.FileConn(f)
}

// DialFile is Dial for whoever passes the connection on to another process.
func (b *box) DialFile(ctx context.Context, port uint16) (*os.File, error) {
	if err := errors.Join(ctx.Err(), b.running()); err != nil {
		return nil, err
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	theirs, ours := os.NewFile(uintptr(fds[0]), "engine's end"), os.NewFile(uintptr(fds[1]), "connection")
	defer theirs.Close()
	if err := b.forward(theirs, port); err != nil {
		ours.Close()
		return nil, &moorage.Error{Code: moorage.AgentFailed, Message: fmt.Sprintf("nothing listens on port %d of the sandbox", port), Err: err}
	}
	return ours, nil
}

func (b *box) forward(end *os.File, port uint16) error {
	conn, err := b.control()
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Call(boot.ContMgrPortForward, &boot.PortForwardOpts{
		FilePayload: urpc.FilePayload{Files: []*os.File{end}}, ContainerID: b.info.ID, Port: port,
	}, nil)
}

// alive is nil while the sandbox runs, and then the error that says how it ended.
func (b *box) alive() error {
	if !b.ended() {
		return nil
	}
	return moorage.Errorf(moorage.AgentFailed, "the sandbox has ended: it %s", b.exit.Cause)
}

// Wait implements [sandbox.Sandbox].
func (b *box) Wait(ctx context.Context) (sandbox.Exit, error) {
	select {
	case <-b.done:
		return b.exit, nil
	case <-ctx.Done():
		return sandbox.Exit{}, ctx.Err()
	}
}

// Stop implements [sandbox.Sandbox].
func (b *box) Stop(ctx context.Context, grace time.Duration) error {
	if b.ended() {
		return nil
	}
	b.stopping.Store(true)
	if grace > 0 && b.Resume(ctx) == nil && b.signal(ctx, 0, unix.SIGTERM) == nil {
		gone, cancel := context.WithTimeout(ctx, grace)
		defer cancel()
		if _, err := b.Wait(gone); err == nil {
			return nil
		}
	}
	killErr := killProcess(b.pidfd) // fails, as it may, when the engine was reaped meanwhile
	if _, err := b.Wait(ctx); err != nil {
		return errors.Join(err, killErr)
	}
	return nil
}

// Stats implements [sandbox.Sandbox].
func (b *box) Stats(ctx context.Context) (sandbox.Stats, error) {
	if err := b.alive(); err != nil {
		return sandbox.Stats{}, err
	}
	var out sandbox.Stats
	if b.gateway != nil {
		out.EgressBytes, out.Outward = b.gateway.Sent(), b.gateway.Connections()
	}
	if b.group.Counts() {
		u := b.group.Usage()
		out.CPU, out.MemoryBytes, out.PeakBytes = u.CPU, u.MemoryBytes, u.PeakBytes
		return out, nil
	}
	var event boot.EventOut
	if err := b.call(ctx, boot.ContMgrEvent, b.info.ID, &event); err != nil {
		return out, err
	}
	out.CPU = time.Duration(event.Event.Data.CPU.Usage.Total)
	out.MemoryBytes = int64(event.Event.Data.Memory.Usage.Usage)
	out.PeakBytes = int64(event.Event.Data.Memory.Usage.Max)
	return out, nil
}
