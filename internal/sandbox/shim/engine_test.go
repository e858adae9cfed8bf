package shim

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/engine"
)

// TestShim_isTheEngineThatIsCarried packs a program with an engine, here the same one twice, and looks
// at what runs for a sandbox, one with a proxy for its mounts.
func TestShim_isTheEngineThatIsCarried(t *testing.T) {
	const self = "/proc/self/exe"
	packed := filepath.Join(t.TempDir(), "moorage")
	if err := engine.Pack(packed, self, self); err != nil {
		t.Fatal(err)
	}
	c := openWith(t, Options{Dir: t.TempDir(), Executable: packed})
	asked := spec(t)
	asked.Mounts = []sandbox.Mount{{Source: t.TempDir(), Target: "/mnt"}}
	box := create(t, c, asked)
	pinned := filepath.Join(c.current, exeName)
	processes := append(shimsOf(c.current), shimsOf(box.Info().ID)...) // those that name them
	if len(processes) < 2 {
		t.Fatalf("%d processes run for a shim and a sandbox", len(processes))
	}
	if named, err := os.Readlink("/proc/" + processes[0] + "/exe"); err != nil || !strings.Contains(named, pinned) {
		t.Errorf("nobody sees whose program %q is, %v", named, err)
	}
	shared := stat(t, "/proc/"+processes[0]+"/exe")
	for _, pid := range processes {
		if program := stat(t, "/proc/"+pid+"/exe"); !os.SameFile(program, shared) || program.Size() != size(t, pinned) {
			t.Errorf("process %s runs a program of its own, or not the pinned one: %d bytes", pid, program.Size())
		}
	}
	if got, want := size(t, pinned), size(t, self); got != want {
		t.Errorf("what is pinned has %d bytes, the engine %d", got, want)
	}
}

func size(t *testing.T, path string) int64 { t.Helper(); return stat(t, path).Size() }

func stat(t *testing.T, path string) os.FileInfo {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}
