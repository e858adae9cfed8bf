package sandboxtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/journal"
)

func (s suite) answersUntilStopped(t *testing.T) {
	spec := s.spec(t)
	spec.Labels = map[string]string{"session": "one"}
	box := s.start(t, spec)
	a := awaitAgent(t, box)

	r, err := a.http.Post("http://agent/invocations", "", strings.NewReader("echo"))
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(r.Body); string(b) != "echo" {
		t.Errorf("the agent said %q", b)
	}
	info := box.Info()
	if info.ID != spec.ID || info.Labels["session"] != "one" || info.LogDir != spec.LogDir || info.Engine == "" || info.CreatedAt.IsZero() {
		t.Errorf("info %+v", info)
	}
	if list, err := s.driver.List(t.Context()); err != nil || len(list) != 1 || list[0].Info().ID != spec.ID {
		t.Errorf("list %v, %v", list, err)
	}
	if err := box.Stop(t.Context(), patience); err != nil {
		t.Fatal(err)
	}
	if exit := wait(t, box); !exit.Stopped || exit.Code != 0 || exit.Signal != "" {
		t.Errorf("exit %+v", exit)
	}
	if got := lastLine(t, box, journal.Stdout); got != "goodbye" {
		t.Errorf("last line %q", got)
	}
	if err := box.Stop(t.Context(), 0); err != nil {
		t.Error("the second stop:", err)
	}
	if _, err := box.Dial(t.Context(), 8080); err == nil {
		t.Error("a stopped sandbox was dialled")
	}
	if _, err := box.Exec(t.Context(), sandbox.Command{Args: []string{s.fixture.Agent, "cat"}}); err == nil {
		t.Error("a command ran in a stopped sandbox")
	}
}

func (s suite) sameID(t *testing.T) {
	spec := s.spec(t)
	s.start(t, spec)
	_, err := s.driver.Create(t.Context(), spec)
	wantCode(t, err, moorage.Conflict)
}

func (s suite) badSpecs(t *testing.T) {
	for name, spoil := range map[string]func(*sandbox.Spec){
		"id":          func(s *sandbox.Spec) { s.ID = "../../etc" },
		"no command":  func(s *sandbox.Spec) { s.Process.Args = nil },
		"no root":     func(s *sandbox.Spec) { s.Root = sandbox.Root{} },
		"two roots":   func(s *sandbox.Spec) { s.Root = sandbox.Root{EROFS: "/a", Dir: "/b"} },
		"log dir":     func(s *sandbox.Spec) { s.LogDir = "log" },
		"environment": func(s *sandbox.Spec) { s.Process.Env = []string{"novalue"} },
		"user":        func(s *sandbox.Spec) { s.Process.User = "nobody" },
		"limit":       func(s *sandbox.Spec) { s.Limits.PIDs = -1 },
		"egress":      func(s *sandbox.Spec) { s.Network.Egress = "all" },
		"host":        func(s *sandbox.Spec) { s.Network.Hosts = []string{"not a host"} },
		"mount":       func(s *sandbox.Spec) { s.Mounts = []sandbox.Mount{{Source: "/tmp", Target: "/"}} },
	} {
		spec := s.spec(t)
		spoil(&spec)
		_, err := s.driver.Create(t.Context(), spec)
		if moorage.CodeOf(err) != moorage.Invalid {
			t.Errorf("%s: error %v, want one that is invalid", name, err)
		}
	}
}

func (s suite) exitCode(t *testing.T) {
	box := s.start(t, s.spec(t, "exit", "7"))
	exit := wait(t, box)
	if exit.Code != 7 || exit.Stopped || exit.Signal != "" || exit.Cause != "exited with status 7" {
		t.Errorf("exit %+v", exit)
	}
	if got := lastLine(t, box, journal.Stderr); got != "last words" {
		t.Errorf("last line of stderr %q", got)
	}
	if again := wait(t, box); again != exit {
		t.Errorf("the second Wait says %+v", again)
	}
	if _, err := box.Dial(t.Context(), 8080); err == nil {
		t.Error("an ended sandbox was dialled")
	}
}

func (s suite) signal(t *testing.T) {
	box := s.start(t, s.spec(t, "segv"))
	if exit := wait(t, box); exit.Signal != "SIGSEGV" || exit.Code != -1 {
		t.Errorf("exit %+v", exit)
	}
}

func (s suite) noCommand(t *testing.T) {
	spec := s.spec(t)
	spec.Process.Args = []string{"/no/such/program"}
	_, err := s.driver.Create(t.Context(), spec)
	wantCode(t, err, moorage.AgentFailed)
	if !strings.Contains(fmt.Sprint(err), "cannot be started") {
		t.Errorf("error %v", err)
	}
	s.leftNothing(t, spec.ID)
}

func (s suite) cancelledCreate(t *testing.T) {
	spec := s.spec(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.driver.Create(ctx, spec); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	s.leftNothing(t, spec.ID)
}

func (s suite) neverBinds(t *testing.T) {
	box := s.start(t, s.spec(t, "never-bind"))
	began := time.Now()
	_, err := box.Dial(t.Context(), 8080)
	wantCode(t, err, moorage.AgentFailed)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
}

func (s suite) ignoresTerm(t *testing.T) {
	box := s.start(t, s.spec(t, "ignore-term"))
	awaitAgent(t, box)
	const grace = 300 * time.Millisecond
	began := time.Now()
	if err := box.Stop(t.Context(), grace); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < grace || took > grace+5*time.Second {
		t.Errorf("it took %v", took)
	}
	if exit := wait(t, box); !exit.Stopped || exit.Signal != "SIGKILL" {
		t.Errorf("exit %+v", exit)
	}
}

func (s suite) noGrace(t *testing.T) {
	box := s.start(t, s.spec(t))
	awaitAgent(t, box)
	if err := box.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if got := lastLine(t, box, journal.Stdout); got == "goodbye" {
		t.Error("the agent was asked to go")
	}
}

func (s suite) waitContext(t *testing.T) {
	box := s.start(t, s.spec(t, "never-bind"))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := box.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

func (s suite) stats(t *testing.T) {
	box := s.start(t, s.spec(t))
	awaitAgent(t, box)
	stats, err := box.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if stats.MemoryBytes <= 0 {
		t.Errorf("stats %+v", stats)
	}
}

func (s suite) manyAtOnce(t *testing.T) {
	const n = 6
	type result struct {
		box sandbox.Sandbox
		err error
	}
	results := make(chan result, n)
	for range n {
		spec := s.spec(t)
		go func() {
			box, err := s.driver.Create(t.Context(), spec)
			results <- result{box, err}
		}()
	}
	var boxes []sandbox.Sandbox
	for range n {
		r := <-results
		if r.err != nil {
			t.Error(detail(r.err))
			continue
		}
		boxes = append(boxes, r.box)
		t.Cleanup(func() { r.box.Stop(context.Background(), 0) })
	}
	for i, box := range boxes {
		a := awaitAgent(t, box)
		a.must(t, "/print", "text", fmt.Sprint("sandbox ", i))
	}
	for i, box := range boxes {
		if err := box.Stop(t.Context(), patience); err != nil {
			t.Error(err)
		}
		lines, err := journal.Last(box.Info().LogDir, 100, journal.Stderr)
		if err != nil || len(lines) != 1 || lines[0].Text != fmt.Sprint("err sandbox ", i) {
			t.Errorf("sandbox %d wrote %v, %v", i, lines, err)
		}
		s.leftNothing(t, box.Info().ID)
	}
}
