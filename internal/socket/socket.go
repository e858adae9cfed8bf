// Package socket reads and writes the connections that calls go over, with less for Go's scheduler to do.
//
// A call alone on an idle machine is made of waiting: for the caller, for the sandbox. What package net does
// around each wait is right for connections of any kind, and for these costs more than the call itself:
//
//   - Before a system call the scheduler is told that it may last. That wakes its monitor, a thread that looks
//     again every 20 µs for as long as there is work. The calls here last for microseconds and never wait, for
//     the sockets do not block; so nobody is told.
//   - A socket is watched for room to write as well. Between processes of one machine every read by the other
//     side makes room, and wakes the server once more per call, to do nothing. [Local] watches for what comes,
//     and for room only once there is none.
//
// Linux only.
package socket

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// Conn is a connection of package net's, read and written as this package does. Like any [net.Conn] it may be used by
// several goroutines at once.
type Conn struct {
	net.Conn
	raw     syscall.RawConn
	in, out *transfer
}

// Quiet returns c itself where it is of this package or is no socket.
func Quiet(c net.Conn) net.Conn {
	switch s := c.(type) {
	case *Conn, *Local:
		return c
	case syscall.Conn:
		if raw, err := s.SyscallConn(); err == nil {
			q := &Conn{Conn: c, raw: raw}
			q.in, q.out = receiving(ownDescriptor), sending(ownDescriptor)
			return q
		}
	}
	return c
}

// Read implements [net.Conn].
func (c *Conn) Read(p []byte) (int, error) { return c.in.read(c.raw, p) }

// Write implements [net.Conn].
func (c *Conn) Write(p []byte) (int, error) { return c.out.write(c.raw, p) }

// Silent reports whether the other side holds the connection and has said nothing that is not read yet. It does not wait.
func (c *Conn) Silent() bool { return silent(c.raw, ownDescriptor) }

// Local is a connection to a process of this machine.
type Local struct {
	fd      int             // of the socket, which only epoll watches
	epoll   *os.File        // can be read when fd can; its own reference count guards fd
	raw     syscall.RawConn // of epoll
	in, out *transfer
	room    room
	writing sync.Mutex // held until all of a Write is gone
	gone    atomic.Bool
}

// Open makes a connection of the socket behind f, which stays the caller's.
func Open(f *os.File) (*Local, error) {
	fd, err := duplicate(f)
	if err != nil {
		return nil, err
	}
	l := &Local{fd: fd, in: receiving(fd), out: offering(fd)}
	if l.epoll, err = watch(fd); err == nil {
		l.raw, err = l.epoll.SyscallConn()
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return l, nil
}

// duplicate returns a second descriptor, which does not block.
func duplicate(f *os.File) (fd int, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return -1, err
	}
	if e := raw.Control(func(from uintptr) { fd, err = unix.FcntlInt(from, unix.F_DUPFD_CLOEXEC, 0) }); e != nil || err != nil {
		return -1, errors.Join(e, err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// watch returns a file that can be read when a socket can.
func watch(fd int) (*os.File, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP}
	if err := errors.Join(unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &event), unix.SetNonblock(epoll, true)); err != nil {
		unix.Close(epoll)
		return nil, err
	}
	return os.NewFile(uintptr(epoll), "epoll"), nil
}

// Read implements [net.Conn].
func (l *Local) Read(p []byte) (int, error) {
	n, err := l.in.read(l.raw, p)
	return n, l.closed(err)
}

// Write implements [net.Conn].
func (l *Local) Write(p []byte) (int, error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	n, err := l.out.write(l.raw, p)
	if err != nil || n == len(p) {
		return n, l.closed(err)
	}
	room, err := l.room.open(l)
	if err != nil {
		return n, l.closed(err)
	}
	more, err := room.Write(p[n:])
	return n + more, l.closed(err)
}

// Silent is [Conn.Silent].
func (l *Local) Silent() bool { return silent(l.raw, l.fd) }

// File returns a second descriptor of the socket.
func (l *Local) File() (f *os.File, err error) {
	if e := l.raw.Control(func(uintptr) {
		var fd int
		if fd, err = unix.FcntlInt(uintptr(l.fd), unix.F_DUPFD_CLOEXEC, 0); err == nil {
			f = os.NewFile(uintptr(fd), "socket")
		}
	}); e != nil {
		return nil, l.closed(e)
	}
	return f, err
}

// Close implements [net.Conn]. Reads and writes that wait return.
func (l *Local) Close() error {
	if l.gone.Swap(true) {
		return net.ErrClosed
	}
	err := l.epoll.Close() // returns when nobody is left who uses fd
	return errors.Join(err, l.room.close(), unix.Close(l.fd))
}

// closed gives what a file says of its end the name that a connection's end has.
func (l *Local) closed(err error) error {
	if err != nil && l.gone.Load() {
		return net.ErrClosed
	}
	return err
}

// LocalAddr implements [net.Conn]. Nothing names these sockets.
func (l *Local) LocalAddr() net.Addr { return &net.UnixAddr{Net: "unix"} }

// RemoteAddr implements [net.Conn].
func (l *Local) RemoteAddr() net.Addr { return &net.UnixAddr{Net: "unix"} }
