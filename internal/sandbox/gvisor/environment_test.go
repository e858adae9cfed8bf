package gvisor

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/sandboxtest"
)

// An agent has its environment, and no file of the engine's has it, while the agent runs and after it ended.
func TestEnvironment_isOnNoDisk(t *testing.T) {
	image := sandboxtest.BuildImage(t)
	if image.EROFS == "" {
		t.Skip("needs mkfs.erofs")
	}
	const canary = "sk-canary-of-the-environment"
	d := open(t, Options{})
	logs := t.TempDir()
	box, err := d.Create(t.Context(), sandbox.Spec{
		ID: sandbox.NewID(), Root: sandbox.Root{EROFS: image.EROFS}, LogDir: logs, Process: sandbox.ProcessSpec{Args: []string{"/agent"}, Env: []string{"API_KEY=" + canary}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { box.Stop(context.Background(), 0) })
	client := http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return box.Dial(ctx, 8080) },
	}}
	answer, err := client.Get("http://agent/env")
	for ; err != nil && t.Context().Err() == nil; answer, err = client.Get("http://agent/env") {
	}
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if env, err := io.ReadAll(answer.Body); err != nil || !strings.Contains(string(env), "API_KEY="+canary) {
		t.Fatalf("the agent has %q, %v", env, err)
	}
	look := func(when string) {
		t.Helper()
		files := 0
		err := filepath.WalkDir(d.opts.Dir, func(name string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return nil // what goes meanwhile
			}
			files++
			if text, err := os.ReadFile(name); err == nil && bytes.Contains(text, []byte(canary)) {
				t.Errorf("%s %s holds the environment", when, name)
			}
			return nil
		})
		if err != nil || files == 0 && when == "while it runs" {
			t.Errorf("%s there are %d files, %v", when, files, err)
		}
	}
	look("while it runs")
	if err := box.Stop(t.Context(), time.Second); err != nil {
		t.Fatal(err)
	}
	look("once it ended")
}
