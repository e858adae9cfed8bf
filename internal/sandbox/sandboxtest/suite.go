// Package sandboxtest is the conformance suite of sandbox drivers: each promise of package
// sandbox, kept by a real agent in a real sandbox.
package sandboxtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/journal"
)

// patience is how long anything may take on a machine that is busy with other tests.
const patience = 20 * time.Second

// Fixture says what the driver under test runs.
type Fixture struct {
	Root  sandbox.Root
	Agent string // path of the test agent as the sandbox sees it

	// Shared marks a driver that isolates nothing: what only isolation can hold is not asked of it.
	Shared bool

	// StateDir is where the driver keeps state; nothing of a sandbox may be left in it.
	StateDir string
}

// Run holds a driver to its promises. The driver must have no sandboxes yet; Run closes it.
func Run(t *testing.T, d sandbox.Driver, f Fixture) {
	s := suite{driver: d, fixture: f}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error("close the driver:", err)
		}
	})
	for _, test := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"AnswersUntilItIsStopped", s.answersUntilStopped},
		{"TheSameIDTwiceIsAConflict", s.sameID},
		{"RefusesSpecsThatMakeNoSense", s.badSpecs},
		{"ExitCodeAndLastWordsAreKept", s.exitCode},
		{"ASignalIsNamed", s.signal},
		{"ACommandThatIsNotThereFailsCreate", s.noCommand},
		{"ACancelledCreateLeavesNothing", s.cancelledCreate},
		{"DialFailsAtOnceWhereNothingListens", s.neverBinds},
		{"StopKillsWhoIgnoresSIGTERM", s.ignoresTerm},
		{"StopWithoutGraceKillsAtOnce", s.noGrace},
		{"WaitGivesUpWithItsContext", s.waitContext},
		{"ExecCarriesAllThreeStreams", s.exec},
		{"ExecIsKilled", s.execKill},
		{"ExecOnATerminal", s.execTerminal},
		{"ExecWaitsForASlowReader", s.execSlowReader},
		{"EnvironmentIsTheSpecsAlone", s.environment},
		{"OutOfMemoryIsToldAndNeighboursLive", s.outOfMemory},
		{"AForkBombIsBounded", s.forkBomb},
		{"AFloodOfOutputIsBounded", s.flood},
		{"WritesAreBounded", s.fillsDisk},
		{"TheUserIsWhoTheSpecSays", s.user},
		{"NothingOfTheHostIsInside", s.isolation},
		{"MountsReachTheHostAndOnlyAsAllowed", s.mounts},
		{"StatsCount", s.stats},
		{"ManyAtOnce", s.manyAtOnce},
		{"LabelsAreReplaced", s.relabel},
		{"APausedSandboxUsesNoProcessorAndKeepsItsMemory", s.pause},
		{"APausedSandboxTakesNoConnectionAndNoCommand", s.pausedRefuses},
		{"AnOpenConnectionOutlivesAPause", s.pauseHoldsConnections},
		{"StopEndsAPausedSandbox", s.stopPaused},
		{"PausesAndResumesAtOnceDoNotMix", s.pauseRaces},
		{"WhatSleepsWakesAsItWas", s.sleep},
		{"ClonesOfOneMomentAreApart", s.clonesAreApart},
		{"ADamagedSnapshotMakesNoClone", s.clonesOfADamagedSnapshot},
		{"ClonesShareNoMount", s.clonesShareNoMount},
	} {
		t.Run(test.name, test.run)
	}
	if left, err := d.List(t.Context()); err != nil || len(left) > 0 {
		t.Errorf("%d sandboxes are left, %v", len(left), err)
	}
}

type suite struct {
	driver  sandbox.Driver
	fixture Fixture
}

// spec is a sandbox of the test agent in a mode.
func (s suite) spec(t *testing.T, args ...string) sandbox.Spec {
	return sandbox.Spec{
		ID:      sandbox.NewID(),
		Root:    s.fixture.Root,
		Process: sandbox.ProcessSpec{Args: append([]string{s.fixture.Agent}, args...)},
		LogDir:  filepath.Join(t.TempDir(), "log"),
	}
}

// start creates a sandbox that is stopped, and proved to have left nothing, when the test ends.
func (s suite) start(t *testing.T, spec sandbox.Spec) sandbox.Sandbox {
	t.Helper()
	box, err := s.driver.Create(t.Context(), spec)
	if err != nil {
		t.Fatal("create:", detail(err))
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := box.Stop(ctx, 0); err != nil {
			t.Error("stop:", err)
		}
		s.leftNothing(t, spec.ID)
	})
	return box
}

// detail prints an error with the cause that callers are not shown.
func detail(err error) string {
	var coded *moorage.Error
	if errors.As(err, &coded) && coded.Err != nil {
		return fmt.Sprintf("%v (cause: %v)", err, coded.Err)
	}
	return fmt.Sprint(err)
}

// leftNothing looks for a sandbox's id, which is unlike anything else, in all that it could leave.
func (s suite) leftNothing(t *testing.T, id string) {
	t.Helper()
	processes, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range processes {
		if b, _ := os.ReadFile(path); bytes.Contains(b, []byte(id)) {
			t.Errorf("a process is left: %q", b)
		}
	}
	if b, _ := os.ReadFile("/proc/self/mountinfo"); bytes.Contains(b, []byte(id)) {
		t.Error("a mount is left")
	}
	for _, pattern := range []string{"/sys/fs/cgroup/moorage/*/", "/sys/fs/cgroup/*/moorage/*/"} {
		if groups, _ := filepath.Glob(pattern + id); len(groups) > 0 {
			t.Errorf("control groups are left: %v", groups)
		}
	}
	filepath.WalkDir(s.fixture.StateDir, func(path string, _ fs.DirEntry, _ error) error {
		if strings.Contains(filepath.Base(path), id) {
			t.Errorf("a file is left: %s", path)
		}
		return nil
	})
}

// agent talks to the test agent in a sandbox.
type agent struct {
	http *http.Client
}

func talk(t *testing.T, box sandbox.Sandbox) agent {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return box.Dial(ctx, 8080) }}
	t.Cleanup(transport.CloseIdleConnections)
	return agent{&http.Client{Transport: transport, Timeout: patience}}
}

// awaitAgent returns once the agent answers.
func awaitAgent(t *testing.T, box sandbox.Sandbox) agent {
	t.Helper()
	a := talk(t, box)
	var last error
	eventually(t, "the agent answers", func() bool {
		_, last = a.get("/ping")
		return last == nil
	})
	return a
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			t.Fatal("it never happened that", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// get asks the agent; a status that is not 200 is an error with its body.
func (a agent) get(path string, query ...string) (string, error) {
	values := url.Values{}
	for i := 0; i+1 < len(query); i += 2 {
		values.Set(query[i], query[i+1])
	}
	r, err := a.http.Get("http://agent" + path + "?" + values.Encode())
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != 200 {
		err = errors.New(strings.TrimSpace(string(b)))
	}
	return string(b), err
}

func (a agent) must(t *testing.T, path string, query ...string) string {
	t.Helper()
	out, err := a.get(path, query...)
	if err != nil {
		t.Fatalf("%s %v: %v", path, query, err)
	}
	return out
}

// wait returns the exit within our patience.
func wait(t *testing.T, box sandbox.Sandbox) sandbox.Exit {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	exit, err := box.Wait(ctx)
	if err != nil {
		t.Fatal("wait:", err)
	}
	if exit.Cause == "" || exit.At.IsZero() {
		t.Errorf("the exit tells too little: %+v", exit)
	}
	return exit
}

func lastLine(t *testing.T, box sandbox.Sandbox, stream string) string {
	t.Helper()
	lines, err := journal.Last(box.Info().LogDir, 1, stream)
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) == 0 {
		return ""
	}
	return lines[0].Text
}

func wantCode(t *testing.T, err error, code moorage.Code) {
	t.Helper()
	if moorage.CodeOf(err) != code {
		t.Errorf("error %v has the code %q, want %q", err, moorage.CodeOf(err), code)
	}
}

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

func (s suite) environment(t *testing.T) {
	t.Setenv("HOST_SECRET", "hunter2")
	spec := s.spec(t)
	spec.Process.Env = []string{"GIVEN=yes", "PATH=/p", "HOME=/h"}
	env := strings.Fields(awaitAgent(t, s.start(t, spec)).must(t, "/env"))
	slices.Sort(env)
	if s.fixture.Shared {
		env = slices.DeleteFunc(env, func(kv string) bool { return strings.HasPrefix(kv, "PORT=") })
	}
	if !slices.Equal(env, []string{"GIVEN=yes", "HOME=/h", "PATH=/p"}) {
		t.Errorf("environment %q", env)
	}
}

// neighbour is a sandbox beside one that misbehaves; it must go on answering.
func (s suite) neighbour(t *testing.T) agent {
	t.Helper()
	return awaitAgent(t, s.start(t, s.spec(t)))
}

func (s suite) outOfMemory(t *testing.T) {
	spec := s.spec(t, "allocate")
	spec.Limits.MemoryBytes = 128 << 20
	neighbour := s.neighbour(t)
	box := s.start(t, spec)
	if slices.Contains(box.Info().Unenforced, "memory") {
		box.Stop(t.Context(), 0)
		t.Skip("this machine's control groups for memory cannot be written")
	}
	if exit := wait(t, box); !exit.OutOfMemory || exit.Cause != "ran out of memory: the limit is 128 MiB" {
		t.Errorf("exit %+v", exit)
	}
	neighbour.must(t, "/ping")
}

func (s suite) forkBomb(t *testing.T) {
	spec := s.spec(t)
	spec.Limits.PIDs = 64
	neighbour := s.neighbour(t)
	box := s.start(t, spec)
	if slices.Contains(box.Info().Unenforced, "pids") {
		t.Skip("this machine's control groups for processes cannot be written")
	}
	out := awaitAgent(t, box).must(t, "/fork", "n", "500")
	count, why, _ := strings.Cut(out, " ")
	if n, _ := strconv.Atoi(count); n == 0 || n > 64 || why != "resource temporarily unavailable" {
		t.Errorf("%s processes started, then: %s", count, why)
	}
	neighbour.must(t, "/ping")
}

func (s suite) flood(t *testing.T) {
	spec := s.spec(t, "flood", "100")
	spec.Limits.JournalBytes = 1 << 20
	neighbour := s.neighbour(t)
	box := s.start(t, spec)
	var slowest time.Duration
	eventually(t, "the flood is over", func() bool {
		began := time.Now()
		neighbour.must(t, "/ping")
		slowest = max(slowest, time.Since(began))
		return lastLine(t, box, journal.Stdout) == "flood over"
	})
	t.Logf("the neighbour's slowest answer meanwhile took %v", slowest)
	if slowest > 2*time.Second {
		t.Errorf("the neighbour waited %v for an answer", slowest)
	}
	var size int64
	files, _ := os.ReadDir(spec.LogDir)
	for _, f := range files {
		if info, err := f.Info(); err == nil {
			size += info.Size()
		}
	}
	if size > spec.Limits.JournalBytes+journal.MaxLine {
		t.Errorf("the journal takes %d bytes, its bound is %d", size, spec.Limits.JournalBytes)
	}
}

func (s suite) isolatedOnly(t *testing.T) {
	t.Helper()
	if s.fixture.Shared {
		t.Skip("this driver isolates nothing")
	}
}

func (s suite) fillsDisk(t *testing.T) {
	s.isolatedOnly(t)
	spec := s.spec(t)
	spec.Limits.OverlayBytes = 16 << 20
	a := awaitAgent(t, s.start(t, spec))
	for _, path := range []string{"/big", "/tmp/big", "/dev/shm/big"} {
		a.must(t, "/write", "path", path+".small", "bytes", "1000")
		if _, err := a.get("/write", "path", path, "bytes", strconv.Itoa(32<<20)); err == nil || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("%s: 32 MiB written into 16: %v", path, err)
		}
	}
	a.must(t, "/ping")
}

func (s suite) user(t *testing.T) {
	if s.fixture.Shared && os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	spec := s.spec(t)
	spec.Process.User = "1234:5678"
	out := awaitAgent(t, s.start(t, spec)).must(t, "/proc")
	if f := strings.Fields(out); len(f) != 3 || f[1] != "1234" || f[2] != "5678" {
		t.Errorf("the agent is %q", out)
	}
}

func (s suite) isolation(t *testing.T) {
	s.isolatedOnly(t)
	spec := s.spec(t)
	spec.Limits.MemoryBytes = 256 << 20
	spec.Limits.MilliCPU = 1000
	a := awaitAgent(t, s.start(t, spec))
	if out := a.must(t, "/count"); out != "1" {
		t.Errorf("the agent sees %s processes", out)
	}
	root := strings.Fields(a.must(t, "/list", "path", "/"))
	for _, name := range root {
		if !slices.Contains([]string{"agent", "dev", "etc", "proc", "sys", "tmp"}, name) {
			t.Errorf("the agent sees /%s", name)
		}
	}
	if out := a.must(t, "/syscall"); !strings.Contains(out, "not permitted") {
		t.Errorf("the agent mounted: %s", out)
	}
	if out := a.must(t, "/proc"); !strings.HasPrefix(out, "1 ") {
		t.Errorf("the agent of one processor sees %q", out)
	}
	if out := a.must(t, "/read", "path", "/proc/meminfo"); !strings.Contains(out, "MemTotal:         262144 kB") {
		t.Errorf("the agent of 256 MiB sees %q", strings.SplitN(out, "\n", 2)[0])
	}
	hostKernel, _ := os.ReadFile("/proc/version")
	if out := a.must(t, "/read", "path", "/proc/version"); out == string(hostKernel) {
		t.Error("the agent runs on the host's kernel")
	}
}

func (s suite) mounts(t *testing.T) {
	s.isolatedOnly(t)
	rw, ro := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(ro, "given"), []byte("by the host"), 0o644); err != nil {
		t.Fatal(err)
	}
	spec := s.spec(t)
	spec.Mounts = []sandbox.Mount{{Source: rw, Target: "/mnt/data"}, {Source: ro, Target: "/mnt/given", ReadOnly: true}}
	a := awaitAgent(t, s.start(t, spec))
	if out := a.must(t, "/read", "path", "/mnt/given/given"); out != "by the host" {
		t.Errorf("read %q", out)
	}
	if _, err := a.get("/write", "path", "/mnt/given/mine", "bytes", "1"); err == nil {
		t.Error("a read-only mount was written")
	}
	a.must(t, "/write", "path", "/mnt/data/mine", "bytes", "5")
	if b, err := os.ReadFile(filepath.Join(rw, "mine")); err != nil || string(b) != "wwwww" {
		t.Errorf("the host reads %q, %v", b, err)
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
