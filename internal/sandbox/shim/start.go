package shim

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/moorage-dev/moorage/internal/sandbox/engine"
	"golang.org/x/sys/unix"
)

const startTimeout = 20 * time.Second

// buildID names a build by what is in it.
func buildID(executable string) (string, error) {
	f, err := os.Open(executable)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil))[:16], nil
}

// install pins a build: a copy that no upgrade touches, since the name says what is in it. Of a program
// that carries an engine it is the engine, which is a shim too, and half the size.
func install(executable, engineDir string) error {
	if err := os.MkdirAll(engineDir, 0o700); err != nil {
		return err
	}
	pinned := filepath.Join(engineDir, exeName)
	if _, err := os.Stat(pinned); err == nil {
		return nil
	}
	fresh := fmt.Sprintf("%s.%d", pinned, os.Getpid())
	defer os.Remove(fresh)
	carried, err := engine.Unpack(executable, fresh)
	if err == nil && !carried {
		err = linkOrCopy(executable, fresh)
	}
	if err != nil {
		return fmt.Errorf("pin the engine's build: %w", err)
	}
	return os.Rename(fresh, pinned)
}

// linkOrCopy takes no copy where the file system can share one. Builds replace their output, they
// do not write into it. An engine runs as a user of its own, so the file is for everybody to execute.
func linkOrCopy(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	if info, err := src.Stat(); err == nil && info.Mode().Perm()&0o005 == 0o005 && os.Link(from, to) == nil {
		return nil
	}
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Chmod(0o755), dst.Close()) // whatever the umask
}

// start runs a shim on an engine directory and returns once it listens, or says why it cannot.
// A shim that runs there already is as good.
func start(ctx context.Context, engineDir string) error {
	unlock, err := lock(filepath.Join(engineDir, "start.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	if c, err := connect(ctx, engineDir); err == nil {
		return c.Close() // another client was faster
	}
	logFile, err := os.OpenFile(filepath.Join(engineDir, logName), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer logFile.Close()
	// Whoever holds the directory without answering is on its way out.
	if err := awaitGone(ctx, engineDir); err != nil {
		return fmt.Errorf("wait for the last shim to end: %w", err)
	}
	ready, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	err = launch(engineDir, logFile, theirs)
	theirs.Close()
	if err != nil {
		return fmt.Errorf("start the shim: %w", err)
	}
	return awaitReady(ctx, ready)
}

// launch starts the shim's process, from memory where that may be. An ordinary user's gets a user namespace, where the machine
// allows that; without one it still runs plain processes.
func launch(engineDir string, logFile, ready *os.File) error {
	pinned := filepath.Join(engineDir, exeName)
	program, err := engine.InMemory(pinned)
	if err != nil { // a machine may refuse programs in memory: vm.memfd_noexec
		program, err = os.Open(pinned)
	}
	if err != nil {
		return err
	}
	defer program.Close()
	cmd := detached(program, engineDir, logFile, ready)
	if os.Geteuid() != 0 {
		ownNamespace(cmd.SysProcAttr)
	}
	err = withSlack(cmd.Start)
	if err != nil && os.Geteuid() != 0 {
		cmd = detached(program, engineDir, logFile, ready)
		err = withSlack(cmd.Start)
	}
	if err == nil {
		go cmd.Wait() // ends with the shim, which outlives us or not; nobody waits for it
	}
	return err
}

// A busy Go process looks after its threads every 20 µs, which the kernel may stretch by a process's slack, 50 µs unless it is
// told. There is such a process for each session, and a tenth of its processor time went there.
const engineSlack = 250 * time.Microsecond

// withSlack calls start, so that the process that it starts has an engine's slack, and so have those that this one starts.
func withSlack(start func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(engineSlack), 0, 0, 0) // where it fails, engines take more time
	defer unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0)              // the thread's own again
	return start()
}

// ownNamespace makes the user root of a namespace that holds nobody else.
func ownNamespace(attr *syscall.SysProcAttr) {
	attr.Cloneflags = syscall.CLONE_NEWUSER
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
}

// detached is the shim's process: a session of its own, nothing of our environment, no descriptor
// but its log and the pipe. Its program is found before ours are closed.
func detached(program *os.File, engineDir string, logFile, ready *os.File) *exec.Cmd {
	cmd := exec.Command(fmt.Sprintf("/proc/self/fd/%d", program.Fd()), command0, engineDir)
	cmd.Args[0] = exeName
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Stderr = logFile
	cmd.ExtraFiles = []*os.File{ready}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

func awaitReady(ctx context.Context, ready *os.File) error {
	deadline := time.Now().Add(startTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	ready.SetReadDeadline(deadline)
	defer context.AfterFunc(ctx, func() { ready.SetReadDeadline(time.Unix(1, 0)) })()
	said, err := io.ReadAll(ready)
	switch {
	case err != nil:
		return errors.Join(ctx.Err(), fmt.Errorf("wait for the shim: %w", err))
	case string(said) == "ok":
		return nil
	case len(said) == 0:
		return errors.New("the shim ended as it started; its log says why")
	}
	return errors.New(strings.TrimSpace(string(said)))
}

// lock takes an exclusive lock on a file, waiting for whoever has it.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}
