package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/cgroup"
	"github.com/moorage-dev/moorage/internal/sandbox/journal"
	"golang.org/x/sys/unix"
)

// box is one agent's process, with all that it starts.
type box struct {
	driver *Driver
	spec   sandbox.Spec
	info   sandbox.Info
	env    []string
	port   uint16 // what the agent was told as PORT
	cmd    *exec.Cmd
	group  *cgroup.Group
	output *journal.Writer

	mu      sync.Mutex // of info's labels
	pausing sync.Mutex // of paused; held while that changes
	paused  bool

	stopping atomic.Bool
	exit     sandbox.Exit  // set before done is closed
	done     chan struct{} // closed once nothing of the sandbox is left
}

var _ sandbox.Sandbox = (*box)(nil)

func (d *Driver) start(spec sandbox.Spec) (*box, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	b := &box{driver: d, spec: spec, port: port, done: make(chan struct{})}
	b.env = environment(spec.Process.Env, spec.Root.Host, port)
	if b.output, err = journal.Open(spec.LogDir, spec.Limits.JournalBytes); err != nil {
		return nil, err
	}
	b.group = d.groups.New(spec.ID, cgroup.Limits{
		MemoryBytes: spec.Limits.MemoryBytes, MilliCPU: spec.Limits.MilliCPU, PIDs: spec.Limits.PIDs,
	})
	b.info = sandbox.Info{
		ID: spec.ID, Labels: spec.Labels, LogDir: spec.LogDir, Engine: "process", Isolation: sandbox.None,
		CreatedAt: time.Now().UTC(), Unenforced: append([]string{"egress", "overlay"}, b.group.Unenforced...),
	}
	if err := b.run(); err != nil {
		b.group.Kill()
		return nil, errors.Join(err, b.output.Drain(), b.group.Remove())
	}
	go b.watch()
	return b, nil
}

// freePort finds a port that nobody listens on now. Another may take it before the agent does; the
// agent then fails to bind, and says so.
func freePort() (uint16, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port), nil
}

// environment is the agent's own, and nothing of ours.
func environment(env []string, home string, port uint16) []string {
	env = slices.Clone(env)
	for _, kv := range []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + home} {
		name, _, _ := strings.Cut(kv, "=")
		if !slices.ContainsFunc(env, func(have string) bool { return strings.HasPrefix(have, name+"=") }) {
			env = append(env, kv)
		}
	}
	return append(env, "PORT="+strconv.Itoa(int(port)))
}

// command prepares a process of the sandbox: in its group, dying with ours.
func (b *box) command(args []string, env []string, dir string) *exec.Cmd {
	cmd := &exec.Cmd{Path: args[0], Args: args, Env: append(slices.Clone(b.env), env...), Dir: dir}
	if dir == "" {
		cmd.Dir = b.spec.Root.Host
	}
	if !strings.Contains(args[0], "/") {
		cmd.Path = search(args[0], b.env)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if b.cmd != nil {
		cmd.SysProcAttr.Pgid = b.cmd.Process.Pid
	}
	if uid, gid, err := b.spec.Process.UserIDs(); err == nil && b.spec.Process.User != "" && os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: gid}
	}
	return cmd
}

// search finds a program in the agent's own PATH; the name itself when it is not there.
func search(name string, env []string) string {
	for _, kv := range env {
		list, ok := strings.CutPrefix(kv, "PATH=")
		for dir := range strings.SplitSeq(list, ":") {
			path := dir + "/" + name
			if info, err := os.Stat(path); ok && err == nil && info.Mode()&0o111 != 0 && !info.IsDir() {
				return path
			}
		}
	}
	return name
}

func (b *box) run() error {
	cmd := b.command(b.spec.Process.Args, nil, b.spec.Process.Dir)
	stdout, err := b.output.Pipe(journal.Stdout)
	if err != nil {
		return err
	}
	defer stdout.Close()
	stderr, err := b.output.Pipe(journal.Stderr)
	if err != nil {
		return err
	}
	defer stderr.Close()
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Start(); err != nil {
		return &moorage.Error{Code: moorage.AgentFailed, Message: "the agent's command cannot be started", Err: err}
	}
	b.cmd = cmd
	unix.Prlimit(cmd.Process.Pid, unix.RLIMIT_CORE, &unix.Rlimit{}, nil)
	if err := b.group.Add(cmd.Process.Pid); err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		return err
	}
	return nil
}

// watch waits for the agent's first process, kills what it left behind and cleans up.
func (b *box) watch() {
	b.cmd.Wait()
	status := b.cmd.ProcessState.Sys().(syscall.WaitStatus)
	oom := b.group.OutOfMemory()
	unix.Kill(-b.cmd.Process.Pid, unix.SIGKILL)
	err := errors.Join(b.group.Kill(), b.output.Drain(), b.group.Remove())
	if err != nil {
		b.driver.log.Error("clean up after a sandbox", "sandbox", b.info.ID, "err", err)
	}
	b.exit = b.explain(status, oom)
	close(b.done)
	b.driver.forget(b.info.ID)
}

func (b *box) explain(status syscall.WaitStatus, oom bool) sandbox.Exit {
	e := exitOf(status)
	switch {
	case b.stopping.Load():
		e.Stopped = true
		e.Cause = "was stopped, and " + e.Cause
	case oom && e.Code != 0:
		e.OutOfMemory = true
		e.Cause = fmt.Sprintf("ran out of memory: the limit is %d MiB", b.spec.Limits.MemoryBytes>>20)
	}
	return e
}

func exitOf(status syscall.WaitStatus) sandbox.Exit {
	e := sandbox.Exit{At: time.Now().UTC()}
	if status.Signaled() {
		e.Code, e.Signal = -1, unix.SignalName(status.Signal())
		e.Cause = "was killed by " + e.Signal
		return e
	}
	e.Code = status.ExitStatus()
	e.Cause = fmt.Sprintf("exited with status %d", e.Code)
	return e
}

func (b *box) ended() bool {
	select {
	case <-b.done:
		return true
	default:
		return false
	}
}

func (b *box) alive() error {
	if !b.ended() {
		return nil
	}
	return moorage.Errorf(moorage.AgentFailed, "the sandbox has ended: it %s", b.exit.Cause)
}

// Info implements [sandbox.Sandbox].
func (b *box) Info() sandbox.Info {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.info
}

// Dial implements [sandbox.Sandbox].
func (b *box) Dial(ctx context.Context, port uint16) (net.Conn, error) {
	if err := b.running(); err != nil {
		return nil, err
	}
	host, err := b.hostPort(port)
	if err != nil {
		return nil, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(host))))
	if err != nil {
		return nil, nothingListens(port, err)
	}
	return conn, nil
}

// DialFile is Dial for whoever passes the connection on to another process.
func (b *box) DialFile(ctx context.Context, port uint16) (*os.File, error) {
	conn, err := b.Dial(ctx, port)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.(*net.TCPConn).File()
}

// Exec implements [sandbox.Sandbox].
func (b *box) Exec(ctx context.Context, cmd sandbox.Command) (sandbox.Process, error) {
	return sandbox.ExecWithFiles(ctx, cmd, b.ExecFiles)
}

// ExecFiles starts a command on files that the caller opened, and closes none of them.
func (b *box) ExecFiles(ctx context.Context, cmd sandbox.Command, stdio [3]*os.File) (sandbox.Process, error) {
	if err := errors.Join(ctx.Err(), b.running(), cmd.Check()); err != nil {
		return nil, err
	}
	c := b.command(cmd.Args, cmd.Env, cmd.Dir)
	c.Stdin, c.Stdout, c.Stderr = stdio[0], stdio[1], stdio[2]
	if cmd.Terminal != nil {
		c.SysProcAttr.Setsid, c.SysProcAttr.Setctty, c.SysProcAttr.Setpgid = true, true, false
	}
	if err := c.Start(); err != nil {
		return nil, &moorage.Error{Code: moorage.AgentFailed, Message: fmt.Sprintf("the command %q cannot be started", cmd.Args[0]), Err: err}
	}
	if err := b.group.Add(c.Process.Pid); err != nil {
		c.Process.Kill()
		c.Wait()
		return nil, err
	}
	return execed{c}, nil
}

// execed is a command that Exec started.
type execed struct{ cmd *exec.Cmd }

func (r execed) Wait() (sandbox.Exit, error) {
	r.cmd.Wait()
	return exitOf(r.cmd.ProcessState.Sys().(syscall.WaitStatus)), nil
}

func (r execed) Kill() error {
	if err := r.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// Stats implements [sandbox.Sandbox]. Without a control group it counts the first process only.
func (b *box) Stats(context.Context) (sandbox.Stats, error) {
	if err := b.alive(); err != nil {
		return sandbox.Stats{}, err
	}
	if b.group.Counts() {
		u := b.group.Usage()
		return sandbox.Stats{CPU: u.CPU, MemoryBytes: u.MemoryBytes, PeakBytes: u.PeakBytes}, nil
	}
	var resident int64
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", b.cmd.Process.Pid))
	if f := strings.Fields(string(statm)); err == nil && len(f) > 1 {
		resident, _ = strconv.ParseInt(f[1], 10, 64)
	}
	return sandbox.Stats{MemoryBytes: resident * int64(os.Getpagesize())}, nil
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
	if grace > 0 && b.Resume(ctx) == nil && b.cmd.Process.Signal(unix.SIGTERM) == nil {
		gone, cancel := context.WithTimeout(ctx, grace)
		defer cancel()
		if _, err := b.Wait(gone); err == nil {
			return nil
		}
	}
	b.cmd.Process.Kill()
	_, err := b.Wait(ctx)
	return err
}
