package cgroup

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// fakeV2 makes a directory that looks like a cgroup2 mount. The kernel fills a new group with
// files; here the test does.
func fakeV2(t *testing.T, id string, files map[string]string) (root, group string) {
	t.Helper()
	root = t.TempDir()
	group = filepath.Join(root, "moorage/test", id)
	if err := os.MkdirAll(group, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "cgroup.controllers"), "cpu memory pids")
	write(t, filepath.Join(root, "cgroup.subtree_control"), "")
	for name, content := range files {
		write(t, filepath.Join(group, name), content)
	}
	return root, group
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func TestV2_setsLimitsAndReadsUsage(t *testing.T) {
	root, group := fakeV2(t, "a", map[string]string{
		"memory.max": "", "cpu.max": "", "pids.max": "", "memory.oom.group": "", "cgroup.procs": "",
		"memory.current": "5000\n", "memory.peak": "9000\n", "memory.stat": "anon 1\ninactive_file 1000\n",
		"cpu.stat": "usage_usec 2500\nuser_usec 1\n", "memory.events": "oom 1\noom_kill 1\n",
	})
	g := Open(root, "test").New("a", Limits{MemoryBytes: 1 << 20, MilliCPU: 1500, PIDs: 77})
	if len(g.Unenforced) != 0 {
		t.Fatal("not held:", g.Unenforced)
	}
	for file, want := range map[string]string{"memory.max": "1048576", "cpu.max": "150000 100000", "pids.max": "77", "memory.oom.group": "1"} {
		if got := read(t, filepath.Join(group, file)); got != want {
			t.Errorf("%s is %q, want %q", file, got, want)
		}
	}
	want := Usage{CPU: 2500 * time.Microsecond, MemoryBytes: 4000, PeakBytes: 9000}
	if got := g.Usage(); got != want {
		t.Errorf("usage %+v, want %+v", got, want)
	}
	if !g.OutOfMemory() {
		t.Error("the out-of-memory kill was not seen")
	}
}

func TestV2_namesTheControllersThatAreMissing(t *testing.T) {
	root, _ := fakeV2(t, "a", map[string]string{"memory.max": ""})
	g := Open(root, "test").New("a", Limits{MemoryBytes: 1, MilliCPU: 1, PIDs: 1})
	if !slices.Equal(g.Unenforced, []string{CPU, PIDs}) {
		t.Fatal(g.Unenforced)
	}
}

func TestNew_withoutAnyGroupSaysSo(t *testing.T) {
	g := Open(filepath.Join(t.TempDir(), "absent"), "test").New("a", Limits{MemoryBytes: 1, MilliCPU: 1, PIDs: 1})
	if !slices.Equal(g.Unenforced, []string{CPU, Memory, PIDs}) {
		t.Fatal(g.Unenforced)
	}
	if err := g.Add(os.Getpid()); err != nil {
		t.Fatal(err)
	}
	if err := g.Remove(); err != nil {
		t.Fatal(err)
	}
}

func TestHost_killsWhatOutgrowsItsMemory(t *testing.T) {
	tree := Open(Root, "cgrouptest")
	g := tree.New("one", Limits{MemoryBytes: 32 << 20, MilliCPU: 500, PIDs: 50})
	t.Cleanup(tree.Sweep)
	if len(g.Unenforced) > 0 {
		t.Skip("this machine's control groups cannot be written: ", g.Unenforced)
	}
	cmd := exec.Command("sh", "-c", "read x; head -c 200000000 /dev/zero | tail -c 200000000 >/dev/null")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if g.Holds(cmd.Process.Pid) {
		t.Error("the group holds a process that nobody moved there")
	}
	if err := g.Add(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if !g.Holds(cmd.Process.Pid) {
		t.Error("the group does not hold the process that was moved there")
	}
	stdin.Close()
	if err := cmd.Wait(); err == nil {
		t.Fatal("200 MB fitted into 32 MB")
	}
	if !g.OutOfMemory() {
		t.Error("the out-of-memory kill was not seen")
	}
	if u := g.Usage(); u.PeakBytes < 16<<20 || u.CPU == 0 {
		t.Errorf("usage %+v", u)
	}
	if err := g.Remove(); err != nil {
		t.Fatal(err)
	}
}
