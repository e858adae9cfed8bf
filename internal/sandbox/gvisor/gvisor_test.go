package gvisor

import (
	"os"
	"testing"

	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/sandboxtest"
)

func TestMain(m *testing.M) {
	if IsEngine(os.Args) {
		Main()
	}
	code := m.Run()
	sandboxtest.Cleanup()
	os.Exit(code)
}

func open(t *testing.T, opts Options) *Driver {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: an engine in this process cannot enter a user namespace")
	}
	if opts.Dir == "" {
		opts.Dir = t.TempDir()
	}
	d, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestConformance_EROFS(t *testing.T) {
	image := sandboxtest.BuildImage(t)
	if image.EROFS == "" {
		t.Skip("needs mkfs.erofs")
	}
	d := open(t, Options{})
	sandboxtest.Run(t, d, sandboxtest.Fixture{Root: sandbox.Root{EROFS: image.EROFS}, Agent: "/agent", StateDir: d.opts.Dir})
}

func TestConformance_directory(t *testing.T) {
	image := sandboxtest.BuildImage(t)
	d := open(t, Options{})
	sandboxtest.Run(t, d, sandboxtest.Fixture{Root: sandbox.Root{Dir: image.Dir}, Agent: "/agent", StateDir: d.opts.Dir})
}
