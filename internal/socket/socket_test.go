package socket

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const limit = 20 * time.Second // for what has to come

// kinds makes a connection of each type, and the other side of it.
var kinds = map[string]func(t *testing.T) (conn, other net.Conn){
	"Conn": func(t *testing.T) (net.Conn, net.Conn) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		raw, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		other, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conn := Quiet(raw)
		if _, ok := conn.(*Conn); !ok || Quiet(conn) != conn {
			t.Fatalf("Quiet made a %T", conn)
		}
		return conn, other
	},
	"Local": func(t *testing.T) (net.Conn, net.Conn) {
		conn, other := local(t)
		return conn, other
	},
}

func local(t *testing.T) (*Local, net.Conn) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
	defer ours.Close()
	defer theirs.Close()
	conn, err := Open(ours)
	if err != nil {
		t.Fatal(err)
	}
	other, err := net.FileConn(theirs)
	if err != nil {
		t.Fatal(err)
	}
	return conn, other
}

// each runs a test on both kinds.
func each(t *testing.T, test func(t *testing.T, conn, other net.Conn)) {
	for name, open := range kinds {
		t.Run(name, func(t *testing.T) {
			conn, other := open(t)
			t.Cleanup(func() { conn.Close(); other.Close() })
			other.SetDeadline(time.Now().Add(limit))
			test(t, conn, other)
		})
	}
}

func TestSocket_carriesMoreThanItHolds(t *testing.T) {
	each(t, func(t *testing.T, conn, other net.Conn) {
		sent := make([]byte, 20<<20)
		rand.Read(sent)
		wrote := make(chan error, 1)
		go func() {
			n, err := conn.Write(sent)
			if err == nil && n != len(sent) {
				err = io.ErrShortWrite
			}
			wrote <- err
		}()
		go io.Copy(other, io.LimitReader(other, int64(len(sent))))
		got := make([]byte, len(sent))
		if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, sent) {
			t.Errorf("what came back is not what was sent: %v", err)
		}
		if err := <-wrote; err != nil {
			t.Error(err)
		}
	})
}

func TestSocket_endsWhenTheOtherSideDoes(t *testing.T) {
	each(t, func(t *testing.T, conn, other net.Conn) {
		other.Write([]byte("last"))
		other.Close()
		got, err := io.ReadAll(conn)
		if string(got) != "last" || err != nil {
			t.Errorf("%q %v", got, err)
		}
		for range 3 { // the first write to a closed TCP socket is taken
			if _, err = conn.Write([]byte("more")); err != nil {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		if !errors.Is(err, unix.EPIPE) && !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("a write after the end: %v", err)
		}
	})
}

func TestSocket_closingWakesWhoWaits(t *testing.T) {
	each(t, func(t *testing.T, conn, other net.Conn) {
		ends := make(chan error, 2)
		go func() { _, err := conn.Read(make([]byte, 1)); ends <- err }()
		go func() { _, err := conn.Write(make([]byte, 64<<20)); ends <- err }()
		time.Sleep(50 * time.Millisecond)
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		for range 2 {
			if err := <-ends; !errors.Is(err, net.ErrClosed) {
				t.Errorf("who waited was told %v", err)
			}
		}
		if err := conn.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a second Close says %v", err)
		}
		if err := conn.SetDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("SetDeadline says %v", err)
		}
	})
}

func TestSocket_keepsDeadlines(t *testing.T) {
	each(t, func(t *testing.T, conn, other net.Conn) {
		conn.SetDeadline(time.Now().Add(30 * time.Millisecond))
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a read: %v", err)
		}
		if _, err := conn.Write([]byte("late")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a write that need not wait: %v", err)
		}
		much := make([]byte, 64<<20)
		conn.SetDeadline(time.Now().Add(300 * time.Millisecond))
		n, err := conn.Write(much)
		if !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 {
			t.Errorf("a write that waits: %d, %v", n, err)
		}
		go io.Copy(io.Discard, other)
		conn.SetDeadline(time.Time{})
		if _, err := conn.Write(make([]byte, 1<<20)); err != nil {
			t.Errorf("after the deadline was taken back: %v", err)
		}
	})
}

func TestSocket_knowsSilence(t *testing.T) {
	each(t, func(t *testing.T, conn, other net.Conn) {
		silent := conn.(interface{ Silent() bool }).Silent
		if !silent() {
			t.Error("nothing was said, and Silent denies it")
		}
		other.Write([]byte("x"))
		for deadline := time.Now().Add(limit); silent() && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		if silent() {
			t.Error("a word is silence")
		}
		if n, err := conn.Read(make([]byte, 2)); n != 1 || err != nil || !silent() {
			t.Errorf("Silent read the word, or hears it still: %d, %v", n, err)
		}
		other.Close()
		for deadline := time.Now().Add(limit); silent() && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		if silent() {
			t.Error("the end is silence")
		}
	})
}

func TestSocket_writesWhole(t *testing.T) {
	each(t, func(t *testing.T, conn, other net.Conn) {
		const size, writers = 1 << 20, 4
		for i := range writers {
			go conn.Write(bytes.Repeat([]byte{byte(i)}, size))
		}
		for range writers {
			got := make([]byte, size)
			if _, err := io.ReadFull(other, got); err != nil {
				t.Fatal(err)
			}
			if bytes.Count(got, got[:1]) != size {
				t.Fatal("two writes are mixed")
			}
		}
	})
}

// TestLocal_isNotWokenByRoom is what a Local is for.
func TestLocal_isNotWokenByRoom(t *testing.T) {
	conn, other := local(t)
	defer conn.Close()
	defer other.Close()
	if _, err := conn.Write([]byte("question")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(other, make([]byte, len("question"))); err != nil {
		t.Fatal(err)
	}
	if ready(t, conn) {
		t.Error("that the other side read wakes this one")
	}
	other.Write([]byte("answer"))
	if !ready(t, conn) {
		t.Error("an answer wakes nobody")
	}
	file, err := conn.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if got := make([]byte, 6); conn.Close() != nil {
		t.Error("it does not close")
	} else if n, err := file.Read(got); string(got[:n]) != "answer" || err != nil {
		t.Errorf("a second descriptor outlives the first: %q, %v", got[:n], err)
	}
}

func ready(t *testing.T, l *Local) (is bool) {
	t.Helper()
	if err := l.raw.Control(func(epoll uintptr) {
		fds := []unix.PollFd{{Fd: int32(epoll), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 0)
		is = n == 1 && err == nil
	}); err != nil {
		t.Fatal(err)
	}
	return is
}
