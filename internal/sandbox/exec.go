package sandbox

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// outputDelay is how long a Process.Wait goes on waiting for output after the command ended: children
// that it left behind may hold its output open for ever. What is there by then is read, however slowly.
const outputDelay = 500 * time.Millisecond

// Check reports the first rule that c breaks, as a moorage.Invalid.
func (c Command) Check() error {
	if len(c.Args) == 0 || c.Args[0] == "" {
		return invalid("there is no command to run")
	}
	if c.Terminal != nil && c.Stderr != nil {
		return invalid("a terminal shows all output: there is no stderr beside it")
	}
	if c.Dir != "" && !strings.HasPrefix(c.Dir, "/") {
		return invalid("the working directory %q must be an absolute path", c.Dir)
	}
	for _, kv := range c.Env {
		if name, _, ok := strings.Cut(kv, "="); !ok || name == "" || strings.ContainsRune(kv, 0) {
			return invalid("an environment entry is not KEY=VALUE")
		}
	}
	return nil
}

// ExecFiles starts a command on open files, of which it closes none. For a command with a terminal they
// are all its far end.
type ExecFiles func(ctx context.Context, cmd Command, stdio [3]*os.File) (Process, error)

// ExecWithFiles starts a command by start, which wants files, and copies between these and the
// command's reader and writers. It is for drivers.
func ExecWithFiles(ctx context.Context, cmd Command, start ExecFiles) (Process, error) {
	if err := cmd.Check(); err != nil {
		return nil, err
	}
	if cmd.Terminal != nil {
		return execOnTerminal(ctx, cmd, start)
	}
	p := &copied{}
	stdio, err := p.open(cmd)
	defer closeAll(stdio[:])
	if err != nil {
		closeAll(p.ends)
		return nil, err
	}
	for _, f := range stdio {
		// Go's pipes do not block, and a file that was sent to another process stays so: a command
		// that writes faster than its caller reads would get EAGAIN, and lose output.
		if err := syscall.SetNonblock(int(f.Fd()), false); err != nil {
			closeAll(p.ends)
			return nil, err
		}
	}
	p.Process, err = start(ctx, cmd, stdio)
	if err != nil {
		closeAll(p.ends)
		p.copying.Wait()
		return nil, err
	}
	return p, nil
}

// copied is a process whose standard files are copied by goroutines of ours.
type copied struct {
	Process
	ends    []*os.File     // our ends of the pipes
	stdin   *os.File       // nil when there is nothing to copy
	copying sync.WaitGroup // of stdout and stderr
}

func (p *copied) open(cmd Command) (stdio [3]*os.File, err error) {
	if stdio[0], err = p.input(cmd.Stdin); err != nil {
		return stdio, err
	}
	if stdio[1], err = p.output(cmd.Stdout); err != nil {
		return stdio, err
	}
	stdio[2], err = p.output(cmd.Stderr)
	return stdio, err
}

func (p *copied) input(r io.Reader) (*os.File, error) {
	if r == nil {
		return os.Open(os.DevNull)
	}
	pr, pw, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.stdin = pw
	// Not waited for: a reader that never ends keeps its goroutine until it does.
	go func() {
		io.Copy(pw, r)
		pw.Close()
	}()
	return pr, nil
}

func (p *copied) output(w io.Writer) (*os.File, error) {
	if w == nil {
		return os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	}
	pr, pw, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.ends = append(p.ends, pr)
	p.copying.Go(func() {
		err := copyAll(w, pr)
		if err != nil && !errors.Is(err, os.ErrClosed) {
			io.Copy(io.Discard, pr) // the writer gave up; the command must not block on it
		}
	})
	return pw, nil
}

// copyAll copies until the pipe ends or its deadline passes, and then what is left in it.
func copyAll(w io.Writer, pipe *os.File) error {
	_, err := io.Copy(w, pipe)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	left, err := buffered(pipe)
	if err != nil || left == 0 {
		return err
	}
	if err := pipe.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	_, err = io.CopyN(w, pipe, int64(left))
	return err
}

// buffered is the number of bytes that a pipe holds.
func buffered(pipe *os.File) (n int, err error) {
	raw, err := pipe.SyscallConn()
	if err != nil {
		return 0, err
	}
	ctlErr := raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	return n, errors.Join(ctlErr, err)
}

// Wait returns once the process ended and its output was written.
func (p *copied) Wait() (Exit, error) {
	exit, err := p.Process.Wait()
	if p.stdin != nil {
		p.stdin.Close()
	}
	for _, end := range p.ends {
		end.SetReadDeadline(time.Now().Add(outputDelay))
	}
	p.copying.Wait()
	closeAll(p.ends)
	return exit, err
}

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}
