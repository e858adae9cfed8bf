package gvisor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/sandboxtest"
	"golang.org/x/sys/unix"
)

// TestEngine_holdsNothing looks at a running engine from outside: no thread of it has a right left, and
// nothing of the host is in its root.
func TestEngine_holdsNothing(t *testing.T) {
	image := sandboxtest.BuildImage(t)
	if image.EROFS == "" {
		t.Skip("needs mkfs.erofs")
	}
	d := open(t, Options{})
	created, err := d.Create(t.Context(), sandbox.Spec{
		ID: sandbox.NewID(), Root: sandbox.Root{EROFS: image.EROFS}, LogDir: t.TempDir(), Process: sandbox.ProcessSpec{Args: []string{"/agent"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { created.Stop(context.Background(), 0) })
	engine := fmt.Sprintf("/proc/%d", created.(*box).container.Sandbox.Getpid())
	threads, err := filepath.Glob(engine + "/task/*/status")
	if err != nil || len(threads) == 0 {
		t.Fatalf("the engine has %d threads, %v", len(threads), err)
	}
	for _, status := range threads {
		checkRights(t, status)
	}
	checkRoot(t, engine+"/root")
}

func checkRights(t *testing.T, status string) {
	t.Helper()
	text, err := os.ReadFile(status)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) { // the thread ended
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	const none = "0000000000000000"
	want := map[string]string{
		"Uid": "65534 65534 65534 65534", "Gid": "65534 65534 65534 65534", "NoNewPrivs": "1", "Seccomp": "2",
		"CapInh": none, "CapPrm": none, "CapEff": none, "CapBnd": none, "CapAmb": none,
	}
	got := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		if _, asked := want[name]; asked {
			got[name] = strings.Join(strings.Fields(value), " ")
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("%s says %v, want %v", status, got, want)
	}
}

func checkRoot(t *testing.T, root string) {
	t.Helper()
	var found []string
	for _, dir := range []string{root, root + "/etc", root + "/proc"} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			found = append(found, strings.TrimPrefix(filepath.Join(dir, e.Name()), root))
		}
	}
	if want := []string{"/etc", "/etc/localtime", "/proc"}; !slices.Equal(slices.Sorted(slices.Values(found)), want) {
		t.Errorf("the engine's root holds %q, want %q", found, want)
	}
	if err := os.Mkdir(root+"/new", 0o700); !errors.Is(err, unix.EROFS) {
		t.Errorf("making a directory in the engine's root: %v, want that it cannot be written", err)
	}
}
