package sandboxtest

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
)

func (s suite) exec(t *testing.T) {
	spec := s.spec(t, "never-bind")
	spec.Process.Env = []string{"FROM_AGENT=1"}
	box := s.start(t, spec)
	var stdout, stderr bytes.Buffer
	run := func(cmd sandbox.Command) sandbox.Exit {
		t.Helper()
		stdout.Reset()
		stderr.Reset()
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		p, err := box.Exec(t.Context(), cmd)
		if err != nil {
			t.Fatal(detail(err))
		}
		exit, err := p.Wait()
		if err != nil {
			t.Fatal(err)
		}
		return exit
	}
	long := strings.Repeat("0123456789abcdef", 1<<16)
	exit := run(sandbox.Command{Args: []string{s.fixture.Agent, "cat"}, Stdin: strings.NewReader(long)})
	if exit.Code != 0 || stdout.String() != long || stderr.String() != "done" {
		t.Errorf("exit %+v, %d bytes of stdout, stderr %q", exit, stdout.Len(), stderr.String())
	}
	if exit := run(sandbox.Command{Args: []string{s.fixture.Agent, "exit", "9"}}); exit.Code != 9 || stderr.String() != "last words\n" {
		t.Errorf("exit %+v, stderr %q", exit, stderr.String())
	}
	run(sandbox.Command{Args: []string{s.fixture.Agent, "env"}, Env: []string{"FROM_COMMAND=2"}})
	if env := stdout.String(); !strings.Contains(env, "FROM_AGENT=1\n") || !strings.Contains(env, "FROM_COMMAND=2\n") {
		t.Errorf("environment %q", env)
	}
	_, err := box.Exec(t.Context(), sandbox.Command{Args: []string{"/no/such/program"}})
	wantCode(t, err, moorage.AgentFailed)
	_, err = box.Exec(t.Context(), sandbox.Command{})
	wantCode(t, err, moorage.Invalid)
}

// execSlowReader has a command end while most of its output is in the pipe, and takes it much later.
func (s suite) execSlowReader(t *testing.T) {
	box := s.start(t, s.spec(t, "never-bind"))
	sent := strings.Repeat("0123456789abcdef", 5<<10) // what a pipe and one read hold
	slow := &slowWriter{firstTakes: 1500 * time.Millisecond}
	p, err := box.Exec(t.Context(), sandbox.Command{Args: []string{s.fixture.Agent, "cat"}, Stdin: strings.NewReader(sent), Stdout: slow})
	if err != nil {
		t.Fatal(detail(err))
	}
	if exit, err := p.Wait(); err != nil || exit.Code != 0 {
		t.Errorf("exit %+v, %v", exit, err)
	}
	if got := slow.taken.String(); got != sent {
		t.Errorf("%d bytes of %d came", len(got), len(sent))
	}
}

// slowWriter is a client on a slow line.
type slowWriter struct {
	taken      bytes.Buffer
	firstTakes time.Duration
}

func (w *slowWriter) Write(p []byte) (int, error) {
	<-time.After(w.firstTakes)
	w.firstTakes = 0
	return w.taken.Write(p)
}

func (s suite) execKill(t *testing.T) {
	box := s.start(t, s.spec(t, "never-bind"))
	p, err := box.Exec(t.Context(), sandbox.Command{Args: []string{s.fixture.Agent, "sleep", "60s"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if exit, err := p.Wait(); err != nil || exit.Signal != "SIGKILL" {
		t.Errorf("exit %+v, %v", exit, err)
	}
	if err := p.Kill(); err != nil {
		t.Error("kill after the end:", err)
	}
}
