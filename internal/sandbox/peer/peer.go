// Package peer is how processes of one product directory talk: over sockets in it that only processes
// of the same user may use. A socket's path may be as long as any path; an address in the kernel's
// form holds 107 bytes.
package peer

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/moorage-dev/moorage"
	"golang.org/x/sys/unix"
)

// Listener is an open socket. Closing it removes its file.
type Listener struct {
	*net.UnixListener
	path string
}

// Listen opens a socket at path. One that is there already is a dead process's: the caller makes sure
// of that, by a lock.
func Listen(path string) (*Listener, error) {
	os.Remove(path)
	var l *net.UnixListener
	err := shortened(path, func(short string) (err error) {
		l, err = net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
		return err
	})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // by the short name, which means something else by then
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return &Listener{l, path}, nil
}

// Close stops listening. Connections that were accepted stay.
func (l *Listener) Close() error {
	os.Remove(l.path)
	return l.UnixListener.Close()
}

// Dial connects to the socket at path. The error is os.ErrNotExist or unix.ECONNREFUSED when nobody listens.
func Dial(ctx context.Context, path string) (conn *net.UnixConn, err error) {
	err = shortened(path, func(short string) error {
		c, err := new(net.Dialer).DialContext(ctx, "unix", short)
		if err == nil {
			conn = c.(*net.UnixConn)
		}
		return err
	})
	return conn, err
}

// shortened calls f with a short path for the same file.
func shortened(path string, f func(short string) error) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return f(fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)))
}

// Check refuses the other end of a connection when it is another user's. Inside a user namespace both
// ends see their own number.
func Check(c *net.UnixConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) { cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return err
	}
	if credErr != nil {
		return credErr
	}
	if cred.Uid != uint32(os.Getuid()) {
		return moorage.Errorf(moorage.Denied, "user %d does not own this socket", cred.Uid)
	}
	return nil
}
