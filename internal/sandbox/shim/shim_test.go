package shim

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/sandboxtest"
)

func TestMain(m *testing.M) {
	Enter()
	code := m.Run()
	sandboxtest.Cleanup()
	os.Exit(code)
}

// openIn opens a client on a directory whose shims end with the test.
func openIn(t *testing.T, dir string) *Client {
	t.Helper()
	return openWith(t, Options{Dir: dir})
}

func openWith(t *testing.T, opts Options) *Client {
	t.Helper()
	c, err := Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := Shutdown(ctx, opts.Dir); err != nil {
			t.Error("shut down:", err)
		}
	})
	return c
}

func TestConformance(t *testing.T) {
	image := sandboxtest.BuildImage(t)
	if image.EROFS == "" {
		t.Skip("needs mkfs.erofs")
	}
	dir := t.TempDir()
	sandboxtest.Run(t, openIn(t, dir), sandboxtest.Fixture{
		Root: sandbox.Root{EROFS: image.EROFS}, Agent: "/agent", StateDir: filepath.Join(dir, "engines"),
	})
}

func TestShutdown_waitsForTheProcess(t *testing.T) {
	for range 10 {
		dir := t.TempDir()
		c := openIn(t, dir)
		if _, err := c.List(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(shimsOf(dir)) == 0 {
			t.Fatal("no shim runs")
		}
		if err := Shutdown(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		for _, pid := range shimsOf(dir) {
			t.Error("still there: process", pid)
		}
	}
}

// shimsOf lists the processes whose command line names the directory.
func shimsOf(dir string) (pids []string) {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range lines {
		if line, err := os.ReadFile(path); err == nil && bytes.Contains(line, []byte(dir)) {
			pids = append(pids, filepath.Base(filepath.Dir(path)))
		}
	}
	return pids
}
