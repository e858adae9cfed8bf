package shim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/moorage-dev/moorage/internal/sandbox/peer"
	"golang.org/x/sys/unix"
)

var (
	errNoShim  = errors.New("the shim does not answer")
	errGarbled = errors.New("the shim's reply makes no sense")
)

// connect opens a connection to the shim of an engine directory. errNoShim is in the error's chain
// when there is none.
func connect(ctx context.Context, engineDir string) (*net.UnixConn, error) {
	conn, err := peer.Dial(ctx, filepath.Join(engineDir, socketName))
	switch {
	case err == nil:
		return conn, nil
	case errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED):
		return nil, fmt.Errorf("%w: %w", errNoShim, err)
	}
	return nil, err
}

// ask sends a request on a connection of its own, which the caller closes.
func ask(ctx context.Context, engineDir string, req request, files ...*os.File) (*net.UnixConn, error) {
	conn, err := connect(ctx, engineDir)
	if err != nil {
		return nil, err
	}
	req.Protocol = protocol
	if err := send(conn, req, files...); err != nil {
		conn.Close()
		return nil, lost(err)
	}
	return conn, nil
}

// answer reads a reply for as long as ctx allows.
func answer(ctx context.Context, conn *net.UnixConn) (reply, error) {
	r, files, err := answerWithFiles(ctx, conn)
	closeAll(files)
	return r, err
}

func answerWithFiles(ctx context.Context, conn *net.UnixConn) (reply, []*os.File, error) {
	stop := context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var r reply
	files, err := receive(conn, &r)
	if err != nil {
		if ctx.Err() != nil {
			return r, nil, ctx.Err()
		}
		return r, nil, lost(err)
	}
	if err := r.Error.err(); err != nil {
		closeAll(files)
		return r, nil, err
	}
	return r, files, nil
}

// lost marks the errors of a connection whose other end was killed.
func lost(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE) {
		return fmt.Errorf("%w: %w", errNoShim, err)
	}
	return err
}

// call is one request and its reply. The caller closes the files.
func call(ctx context.Context, engineDir string, req request) (reply, []*os.File, error) {
	conn, err := ask(ctx, engineDir, req)
	if err != nil {
		return reply{}, nil, err
	}
	defer conn.Close()
	return answerWithFiles(ctx, conn)
}

// end asks a shim to end, and returns once its process did: it lets go of its directory a moment before.
func end(ctx context.Context, engineDir string) error {
	conn, err := ask(ctx, engineDir, request{Op: opShutdown, Grace: terminationGrace})
	if err != nil {
		return err
	}
	defer conn.Close()
	process, err := openPeer(conn)
	if err != nil {
		return err
	}
	defer process.Close()
	_, err = answer(ctx, conn)
	return errors.Join(err, awaitProcess(ctx, process))
}

// openPeer returns a descriptor of the process at the other end, which never comes to mean another one.
func openPeer(conn *net.UnixConn) (*os.File, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var peer *unix.Ucred
	if ctlErr := raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil || ctlErr != nil {
		return nil, errors.Join(ctlErr, err)
	}
	fd, err := unix.PidfdOpen(int(peer.Pid), unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("%w: process %d: %w", errNoShim, peer.Pid, err)
	}
	return os.NewFile(uintptr(fd), "shim"), nil
}

// awaitProcess returns once the process behind the descriptor ended, reaped or not.
func awaitProcess(ctx context.Context, process *os.File) error {
	defer context.AfterFunc(ctx, func() { process.SetReadDeadline(time.Unix(1, 0)) })()
	raw, err := process.SyscallConn()
	if err != nil {
		return err
	}
	err = raw.Read(func(fd uintptr) bool {
		ended, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return ended > 0
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// removeDead removes an engine directory unless a process holds its lock.
func removeDead(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR, 0)
	if err == nil {
		defer f.Close()
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	return os.RemoveAll(dir)
}

// awaitGone returns once no process holds the directory's lock.
func awaitGone(ctx context.Context, dir string) error {
	for {
		f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR, 0)
		if os.IsNotExist(err) {
			return nil
		}
		if err != nil {
			return err
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		f.Close()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}
