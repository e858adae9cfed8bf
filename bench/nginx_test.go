package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/shim"
)

func TestMain(m *testing.M) {
	shim.Enter()
	if len(os.Args) > 3 && os.Args[1] == launchCommand {
		fmt.Fprintln(os.Stderr, launch(os.Args[2:]))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// nginx must reach the sandbox over connections of its own, with nothing in between.
func TestNginx_holdsConnectionsIntoTheSandbox(t *testing.T) {
	if err := have("nginx"); err != nil {
		t.Skip(err)
	}
	box := startAgent(t)
	proxy, err := startNginx(t.Context(), t.TempDir(), box)
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.stop()
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 20 {
				if got := post(t, "http://"+proxy.address+"/invocations"); !strings.Contains(got, "hello") {
					t.Errorf("the agent says %q", got)
				}
			}
		})
	}
	wait.Wait()
}

func startAgent(t *testing.T) sandbox.Sandbox {
	t.Helper()
	dir, root := t.TempDir(), t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(root, "agent"), "./agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	driver, err := shim.Open(t.Context(), shim.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		driver.Close()
		if err := shim.Shutdown(context.Background(), dir); err != nil {
			t.Error(err)
		}
	})
	box, err := driver.Create(t.Context(), sandbox.Spec{ID: sandbox.NewID(), Root: sandbox.Root{Dir: root}, Process: sandbox.ProcessSpec{Args: []string{"/agent"}}, LogDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		conn, err := box.Dial(t.Context(), 8080)
		if err == nil {
			conn.Close()
			return box
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		<-time.After(2 * time.Millisecond)
	}
}

func post(t *testing.T, url string) string {
	resp, err := http.Post(url, "application/json", strings.NewReader(payload))
	if err != nil {
		t.Error(err)
		return ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return string(body)
}
