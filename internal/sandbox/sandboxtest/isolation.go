package sandboxtest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moorage-dev/moorage/internal/sandbox"
)

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

func (s suite) isolatedOnly(t *testing.T) {
	t.Helper()
	if s.fixture.Shared {
		t.Skip("this driver isolates nothing")
	}
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
