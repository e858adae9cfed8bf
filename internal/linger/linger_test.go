package linger

import (
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// lines are two ends of a socket.
func lines(t *testing.T) (here, there net.Conn) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]net.Conn
	for i, fd := range fds {
		file := os.NewFile(uintptr(fd), "")
		if ends[i], err = net.FileConn(file); err != nil {
			t.Fatal(err)
		}
		file.Close()
		t.Cleanup(func() { ends[i].Close() })
	}
	return ends[0], ends[1]
}

func raw(t *testing.T, c net.Conn) syscall.RawConn {
	r, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// lingers reports whether a wait on a silent socket takes its time; once, and once more where it parked.
func lingers(t *testing.T) bool {
	here, _ := lines(t)
	began := time.Now()
	Wait(raw(t, here))
	Wait(raw(t, here))
	return time.Since(began) >= limit
}

func TestWait_onlyWhileOneCallIsUnderWay(t *testing.T) {
	defer Begin()()
	if !lingers(t) {
		t.Error("a call by itself did not linger")
	}
	defer Begin()()
	if lingers(t) {
		t.Error("lingered beside another call")
	}
}

func TestWait_takesNothing(t *testing.T) {
	here, there := lines(t)
	if _, err := there.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		Wait(raw(t, here))
	}
	b := make([]byte, 2)
	if n, err := here.Read(b); n != 1 || err != nil {
		t.Errorf("read %d bytes, %v", n, err)
	}
}

func TestWait_endsWithTheConnection(t *testing.T) {
	here, _ := lines(t)
	r := raw(t, here)
	here.Close()
	Wait(r)
	Wait(r)
	if _, err := here.Read(make([]byte, 1)); err == nil {
		t.Error("read from a closed connection")
	}
}
