package agent_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/moorage-dev/moorage/agent"
)

// platform asks this process, as the platform would, whether it can be cloned.
type platform struct {
	t *testing.T
	net.Listener
}

func newPlatform(t *testing.T) platform {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	t.Setenv("MOORAGE_RESEED", l.Addr().String())
	return platform{t, l}
}

// hear signals until an answer comes: nobody listens for signals at first.
func (p platform) hear(epoch string) string {
	p.t.Helper()
	said := make(chan string, 1)
	go func() {
		conn, err := p.Accept()
		if err != nil {
			said <- err.Error()
			return
		}
		defer conn.Close()
		io.WriteString(conn, epoch+"\n")
		line, _ := bufio.NewReader(conn).ReadString('\n')
		said <- line
	}()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for deadline := time.After(10 * time.Second); ; {
		if err := syscall.Kill(os.Getpid(), syscall.SIGWINCH); err != nil {
			p.t.Fatal(err)
		}
		select {
		case line := <-said:
			return line
		case <-again.C:
		case <-deadline:
			p.t.Fatal("no answer")
		}
	}
}

func TestConfirmClones_answersForTheHook(t *testing.T) {
	for name, test := range map[string]struct {
		hook func(context.Context) error
		want string
	}{
		"nothing":  {agent.NothingToRenew, "ok"},
		"an error": {func(context.Context) error { return errors.New("no\nentropy") }, "no no entropy"},
		"a panic":  {func(context.Context) error { panic("dice lost") }, "no panic: dice lost"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlatform(t)
			server, done := &agent.Server{Clone: test.hook}, make(chan error, 1)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			go func() { done <- server.Serve(ctx, l) }()
			if got, want := p.hear("EPOCH"), fmt.Sprintf("EPOCH %d %s\n", os.Getpid(), test.want); got != want {
				t.Errorf("the platform heard %q, want %q", got, want)
			}
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// TestConfirmClones_runsTheHookInTheClone is about an epoch that is late: what was drawn before it may
// be shared.
func TestConfirmClones_runsTheHookInTheClone(t *testing.T) {
	p := newPlatform(t)
	drawn := make(chan bool, 100)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		agent.ConfirmClones(ctx, func(context.Context) error { drawn <- true; return nil })
	}()
	accepted := make(chan net.Conn, 1)
	go func() {
		conn, _ := p.Accept()
		accepted <- conn
	}()
	var conn net.Conn
	for conn == nil {
		if err := syscall.Kill(os.Getpid(), syscall.SIGWINCH); err != nil {
			t.Fatal(err)
		}
		select {
		case conn = <-accepted:
		case <-time.After(10 * time.Millisecond):
		}
	}
	if len(drawn) != 0 {
		t.Error("the hook ran before the epoch was known")
	}
	conn.Close() // the platform went away: nothing is to be drawn for nobody
	p.Close()
	stop()
	<-ended
	if len(drawn) != 0 {
		t.Error("the hook ran without an epoch")
	}
}

func TestConfirmClones_elsewhereReturnsAtOnce(t *testing.T) {
	t.Setenv("MOORAGE_RESEED", "")
	agent.ConfirmClones(t.Context(), func(context.Context) error { panic("nobody asked") })
}
