package process

import (
	"os"
	"testing"

	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/sandboxtest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	sandboxtest.Cleanup()
	os.Exit(code)
}

func TestConformance(t *testing.T) {
	image := sandboxtest.BuildImage(t)
	sandboxtest.Run(t, New(Options{Instance: "processtest"}), sandboxtest.Fixture{
		Root: sandbox.Root{Host: image.Dir}, Agent: image.Agent, Shared: true, StateDir: t.TempDir(),
	})
}
