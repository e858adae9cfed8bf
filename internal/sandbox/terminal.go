package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
	"golang.org/x/sys/unix"
)

// Size is that of a terminal, in characters.
type Size struct {
	Columns uint16 `json:"columns"`
	Rows    uint16 `json:"rows"`
}

// TerminalProcess is a running Command that has a terminal. What Exec returns for one is this.
type TerminalProcess interface {
	Process

	// Resize changes the terminal's size and tells the programs on it.
	Resize(Size) error
}

// ForegroundProcess is a process on a terminal of this machine whose kernel does not know it, as it
// is another kernel's: what the terminal would signal to its foreground process group has to be passed on.
type ForegroundProcess interface {
	Process
	SignalForeground(unix.Signal) error
}

// execOnTerminal starts a command on a terminal that it opens.
func execOnTerminal(ctx context.Context, cmd Command, start ExecFiles) (Process, error) {
	near, far, err := openTerminal(*cmd.Terminal)
	if err != nil {
		return nil, &moorage.Error{Code: moorage.Unavailable, Message: "no terminal can be opened", Err: err}
	}
	p := &onTerminal{near: near}
	p.Process, err = start(ctx, cmd, [3]*os.File{far, far, far})
	far.Close()
	if err != nil {
		near.Close()
		return nil, err
	}
	p.showing.Go(func() { p.show(cmd.Stdout) })
	if cmd.Stdin != nil {
		go p.take(cmd.Stdin) // not waited for: a reader that never ends keeps its goroutine until it does
	}
	return p, nil
}

// openTerminal opens a terminal's two ends; far is the one that programs sit at.
func openTerminal(size Size) (near, far *os.File, err error) {
	near, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	err = onDescriptor(near, func(fd int) error {
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return fmt.Errorf("unlock the terminal: %w", err)
		}
		return setSize(fd, size)
	})
	if err == nil {
		far, err = farEnd(near)
	}
	if err != nil {
		near.Close()
	}
	return near, far, err
}

// farEnd opens a terminal's other end, wherever this process sees terminals, if anywhere.
func farEnd(near *os.File) (far *os.File, err error) {
	err = onDescriptor(near, func(fd int) error {
		peer, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
		if errno != 0 {
			return fmt.Errorf("open the terminal's other end: %w", errno)
		}
		far = os.NewFile(peer, "terminal")
		return nil
	})
	return far, err
}

// onDescriptor calls f with a file's number. Unlike File.Fd it leaves the file in the mode it is in.
func onDescriptor(file *os.File, f func(fd int) error) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}

func setSize(fd int, size Size) error {
	return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: size.Columns, Row: size.Rows})
}

// onTerminal is a process on a terminal of ours.
type onTerminal struct {
	Process
	near    *os.File
	showing sync.WaitGroup
}

var _ TerminalProcess = (*onTerminal)(nil)

// show copies what the terminal shows, to the end or until its writer gives up.
func (p *onTerminal) show(w io.Writer) {
	if w == nil {
		w = io.Discard
	}
	err := copyAll(w, p.near)
	if err != nil && !errors.Is(err, unix.EIO) && !errors.Is(err, os.ErrClosed) { // EIO: nobody sits at it any more
		io.Copy(io.Discard, p.near)
	}
}

// take types what r gives.
func (p *onTerminal) take(r io.Reader) {
	buf := make([]byte, 4<<10)
	for {
		n, err := r.Read(buf)
		if p.typed(buf[:n]) != nil || err != nil {
			return
		}
	}
}

// typed types text. Where one of its characters stands for a signal, and this machine's kernel knows
// nobody to send that to, it is we who do what the terminal would.
func (p *onTerminal) typed(text []byte) error {
	to, ours := p.Process.(ForegroundProcess)
	for len(text) > 0 {
		n, sig := len(text), unix.Signal(0)
		if ours {
			n, sig = p.upToSignal(text)
		}
		if _, err := p.near.Write(text[:n]); err != nil {
			return err
		}
		if sig != 0 {
			if err := errors.Join(p.acknowledge(text[n]), to.SignalForeground(sig)); err != nil {
				return err
			}
			n++
		}
		text = text[n:]
	}
	return nil
}

// upToSignal is how many characters of a text come before one that stands for a signal, and which;
// 0 for none.
func (p *onTerminal) upToSignal(text []byte) (int, unix.Signal) {
	mode, err := modeOf(p.near)
	if err != nil || mode.Lflag&unix.ISIG == 0 {
		return len(text), 0
	}
	for i, c := range text {
		switch {
		case c == 0: // a character that is switched off is 0
		case c == mode.Cc[unix.VINTR]:
			return i, unix.SIGINT
		case c == mode.Cc[unix.VQUIT]:
			return i, unix.SIGQUIT
		case c == mode.Cc[unix.VSUSP]:
			return i, unix.SIGTSTP
		}
	}
	return len(text), 0
}

func modeOf(terminal *os.File) (mode *unix.Termios, err error) {
	err = onDescriptor(terminal, func(fd int) (err error) {
		mode, err = unix.IoctlGetTermios(fd, unix.TCGETS)
		return err
	})
	return mode, err
}

// acknowledge shows a character that stands for a signal, and drops what was typed before it. The
// kernel would do that too, but when it comes to it: what the program then shows would be dropped as well.
func (p *onTerminal) acknowledge(c byte) error {
	mode, err := modeOf(p.near)
	if err != nil {
		return err
	}
	far, err := farEnd(p.near)
	if err != nil {
		return err
	}
	defer far.Close()
	if mode.Lflag&unix.ECHO != 0 && c < ' ' {
		far.Write([]byte{'^', c + '@'})
	}
	if mode.Lflag&unix.NOFLSH != 0 {
		return nil
	}
	return onDescriptor(far, func(fd int) error {
		unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0) // has the kernel take in what is on its way
		return unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCIFLUSH)
	})
}

// Resize implements [TerminalProcess].
func (p *onTerminal) Resize(size Size) error {
	if err := onDescriptor(p.near, func(fd int) error { return setSize(fd, size) }); err != nil {
		return err
	}
	if to, ours := p.Process.(ForegroundProcess); ours {
		return to.SignalForeground(unix.SIGWINCH)
	}
	return nil
}

// Wait returns once the process ended and what it showed was written.
func (p *onTerminal) Wait() (Exit, error) {
	exit, err := p.Process.Wait()
	p.near.SetReadDeadline(time.Now().Add(outputDelay))
	p.showing.Wait()
	p.near.Close()
	return exit, err
}
