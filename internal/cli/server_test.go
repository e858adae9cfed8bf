package cli_test

import (
	"bufio"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestServer runs testdata/server against the built program: a real server, real sandboxes.
func TestServer(t *testing.T) {
	binary, err := filepath.Abs("../../bin/moorage")
	if err != nil {
		t.Fatal(err)
	}
	if other := os.Getenv("MOORAGE_BIN"); other != "" {
		binary = other
	}
	if _, err := os.Stat(binary); err != nil {
		t.Skip("needs bin/moorage: make build")
	}
	dir := serve(t, binary)
	testscript.Run(t, testscript.Params{
		Dir:  "testdata/server",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
		Setup: func(e *testscript.Env) error {
			for name, value := range map[string]string{"HOME": e.WorkDir, "MOORAGE_DIR": dir, "GOCACHE": goEnv(t, "GOCACHE"), "GOFLAGS": "-mod=mod", "GOPROXY": "off"} {
				e.Setenv(name, value)
			}
			return nil
		},
	})
}

// serve starts a server in a directory of its own, and ends it and all its sandboxes with the test.
func serve(t *testing.T, binary string) (dir string) {
	dir = t.TempDir()
	cmd := exec.Command(binary, "serve", "--dir", dir, "--listen", "127.0.0.1:0")
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if said, err := exec.CommandContext(ctx, binary, "down", "--dir", dir).CombinedOutput(); err != nil {
			t.Errorf("moorage down: %v\n%s", err, said)
		}
		if err := cmd.Wait(); err != nil {
			t.Logf("moorage serve: %v", err)
		}
	})
	awaitReady(t, bufio.NewScanner(out))
	return dir
}

// awaitReady reads the server's output up to the line that says where it is, and asks it there.
func awaitReady(t *testing.T, out *bufio.Scanner) {
	for out.Scan() {
		_, url, ok := strings.Cut(out.Text(), "ready at ")
		if !ok {
			continue
		}
		resp, err := http.Get(url + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("GET /healthz: %s", resp.Status)
		}
		return
	}
	t.Fatalf("the server ended before it was ready: %v", out.Err())
}

func goEnv(t *testing.T, name string) string {
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
