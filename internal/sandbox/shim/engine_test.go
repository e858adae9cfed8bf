package shim

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/moorage-dev/moorage/internal/sandbox/engine"
)

// TestShim_startsTheEngineThatItCarries packs a program with an engine, here the same one twice, and
// looks at what runs for a sandbox.
func TestShim_startsTheEngineThatItCarries(t *testing.T) {
	const self = "/proc/self/exe"
	packed := filepath.Join(t.TempDir(), "moorage")
	if err := engine.Pack(packed, self, self); err != nil {
		t.Fatal(err)
	}
	c := openWith(t, Options{Dir: t.TempDir(), Executable: packed})
	box := create(t, c, spec(t))
	engines := shimsOf(box.Info().ID) // the processes that name it
	if len(engines) == 0 {
		t.Fatal("no process runs for the sandbox")
	}
	for _, pid := range engines {
		if program, err := os.Readlink("/proc/" + pid + "/exe"); err != nil || program != filepath.Join(c.current, engineName) {
			t.Errorf("process %s of the sandbox runs %s, %v", pid, program, err)
		}
	}
}
