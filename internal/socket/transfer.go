package socket

import (
	"io"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// atOnce is how many bytes one system call moves at most: copying them is what the scheduler is not told of.
const atOnce = 128 << 10

// ownDescriptor says that a [syscall.RawConn] is the socket's own.
const ownDescriptor = -1

// transfer is one direction of a connection.
type transfer struct {
	fd  int
	try func(fd uintptr) bool // as [syscall.RawConn] has it: false to wait and be called again

	mu    sync.Mutex // held for a whole read or write
	left  []byte     // that is to be filled or sent
	moved int        // bytes
	errno syscall.Errno
}

// receiving waits until something comes.
func receiving(fd int) *transfer {
	t := &transfer{fd: fd}
	t.try = t.receive
	return t
}

// sending waits until everything is sent.
func sending(fd int) *transfer {
	t := &transfer{fd: fd}
	t.try = t.send
	return t
}

// offering sends what there is room for.
func offering(fd int) *transfer {
	t := &transfer{fd: fd}
	t.try = func(fd uintptr) bool { t.send(fd); return true }
	return t
}

// read waits at raw.
func (t *transfer) read(raw syscall.RawConn, p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	err := t.run(raw.Read, p)
	if err == nil && t.moved == 0 {
		err = io.EOF
	}
	return t.moved, named("read", err)
}

// write waits at raw, if it does.
func (t *transfer) write(raw syscall.RawConn, p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	err := t.run(raw.Write, p)
	return t.moved, named("write", err)
}

func (t *transfer) run(wait func(func(uintptr) bool) error, p []byte) error {
	t.left, t.moved, t.errno = p, 0, 0
	err := wait(t.try)
	t.left = nil
	if err == nil && t.errno != 0 {
		return t.errno
	}
	return err
}

func named(call string, err error) error {
	if errno, ok := err.(syscall.Errno); ok {
		return os.NewSyscallError(call, errno)
	}
	return err
}

// receive reads what is here, and reports false where nothing is.
func (t *transfer) receive(fd uintptr) bool {
	n, again := t.call(syscall.SYS_READ, fd)
	t.moved = n
	return !again
}

// send writes as much as there is room for, and reports false where more is left.
func (t *transfer) send(fd uintptr) bool {
	for len(t.left) > 0 {
		n, again := t.call(syscall.SYS_WRITE, fd)
		if again {
			return false
		}
		if t.errno != 0 {
			return true
		}
		t.moved, t.left = t.moved+n, t.left[n:]
	}
	return true
}

// call reads or writes once. Again says that it would have waited.
func (t *transfer) call(number, fd uintptr) (n int, again bool) {
	if t.fd != ownDescriptor {
		fd = uintptr(t.fd)
	}
	some := t.left[:min(len(t.left), atOnce)]
	for {
		got, _, errno := syscall.RawSyscall(number, fd, uintptr(unsafe.Pointer(unsafe.SliceData(some))), uintptr(len(some)))
		switch errno {
		case 0:
			return int(got), false
		case syscall.EAGAIN:
			return 0, true
		case syscall.EINTR:
		default:
			t.errno = errno
			return 0, false
		}
	}
}

func silent(raw syscall.RawConn, own int) (is bool) {
	err := raw.Control(func(fd uintptr) {
		if own != ownDescriptor {
			fd = uintptr(own)
		}
		var next [1]byte
		_, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&next)), 1, unix.MSG_PEEK|unix.MSG_DONTWAIT, 0, 0)
		is = errno == syscall.EAGAIN
	})
	return err == nil && is
}
