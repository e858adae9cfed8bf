package machine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestExamine_everyFindingSaysWhatAndHowToMend(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "yet", "made")
	seen := map[string]bool{}
	for _, f := range Examine(t.Context(), dir) {
		if f.Check == "" || f.Found == "" || seen[f.Check] {
			t.Errorf("finding without a name of its own or without words: %+v", f)
		}
		seen[f.Check] = true
		if f.State != OK && f.Mend == "" {
			t.Errorf("%s is %s, and nothing says how to mend it", f.Check, f.State)
		}
	}
	for _, check := range []string{"gvisor", "user namespaces", "cgroups", "erofs", "python", "node", "disk"} {
		if !seen[check] {
			t.Errorf("nobody looked at %s", check)
		}
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("looking made the directory")
	}
}

func TestCgroups_saysWhichLimitsAreLost(t *testing.T) {
	v2 := t.TempDir()
	if err := os.WriteFile(filepath.Join(v2, "cgroup.controllers"), []byte("cpu pids\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if f := cgroups(v2); f.State != Limited || !strings.Contains(f.Found, "no limit on memory per session") {
		t.Errorf("version 2 without memory: %+v", f)
	}
	v1 := t.TempDir()
	for _, name := range []string{"memory", "cpu", "pids"} {
		if err := os.Mkdir(filepath.Join(v1, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if f := cgroups(v1); f.State != OK || !strings.Contains(f.Found, "version 1") {
		t.Errorf("version 1 with all: %+v", f)
	}
	if f := cgroups(filepath.Join(v1, "none")); f.State != Limited {
		t.Errorf("no cgroups at all: %+v", f)
	}
}

func TestKernelVersion(t *testing.T) {
	for release, want := range map[string][2]int{"6.18.44-fc": {6, 18}, "4.15.0-1": {4, 15}, "5.10": {5, 10}, "strange": {0, 0}} {
		if major, minor := kernelVersion(release); [2]int{major, minor} != want {
			t.Errorf("kernelVersion(%q) = %d.%d", release, major, minor)
		}
	}
}
