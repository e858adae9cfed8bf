package gvisor

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/sandboxtest"
)

func TestMain(m *testing.M) {
	if IsEngine(os.Args) {
		Main()
	}
	code := m.Run()
	sandboxtest.Cleanup()
	for _, f := range afterTests {
		f()
	}
	os.Exit(code)
}

// afterTests undo what is made once for all tests.
var afterTests []func()

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

// TestDial_losesNothing sends more than every buffer on the way holds to an agent that reads late, and
// as much back to a caller that does.
func TestDial_losesNothing(t *testing.T) {
	image := sandboxtest.BuildImage(t)
	if image.EROFS == "" {
		t.Skip("needs mkfs.erofs")
	}
	d := open(t, Options{})
	box, err := d.Create(t.Context(), sandbox.Spec{
		ID: sandbox.NewID(), Root: sandbox.Root{EROFS: image.EROFS}, LogDir: t.TempDir(), Process: sandbox.ProcessSpec{Args: []string{"/agent"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { box.Stop(context.Background(), 0) })
	client := http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return box.Dial(ctx, 8080) },
	}}
	for r, err := client.Get("http://agent/ping"); err != nil || r.Body.Close() != nil; r, err = client.Get("http://agent/ping") {
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
	body := make([]byte, 20<<20)
	rand.Read(body)
	sum := sha256.Sum256(body)
	for round := range 3 {
		if got, want := post(t, client, "/digest", body), fmt.Sprintf("%d %x <nil>", len(body), sum); string(got) != want {
			t.Errorf("round %d: the agent read %q, want %q; is this the engine that make builds?", round, got, want)
		}
		if got := post(t, client, "/invocations", body); !bytes.Equal(got, body) {
			t.Errorf("round %d: %d bytes came back, and not those that were sent", round, len(got))
		}
	}
}

func post(t *testing.T, client http.Client, path string, body []byte) []byte {
	t.Helper()
	r, err := client.Post("http://agent"+path, "application/octet-stream", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	out, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatalf("%s after %d bytes: %v", path, len(out), err)
	}
	return out
}

// TestExit_isKnownHoweverFast starts agents that are gone, their engines with them, before anybody
// could ask how they ended.
func TestExit_isKnownHoweverFast(t *testing.T) {
	image := sandboxtest.BuildImage(t)
	if image.EROFS == "" {
		t.Skip("needs mkfs.erofs")
	}
	d := open(t, Options{})
	var agents sync.WaitGroup
	for range 8 {
		agents.Go(func() {
			for range 5 {
				box, err := d.Create(t.Context(), sandbox.Spec{
					ID: sandbox.NewID(), Root: sandbox.Root{EROFS: image.EROFS}, LogDir: t.TempDir(),
					Process: sandbox.ProcessSpec{Args: []string{"/agent", "exit", "3"}}, Network: sandbox.Network{Egress: sandbox.EgressPublic},
				})
				if err != nil {
					t.Error(err)
					return
				}
				if exit, err := box.Wait(t.Context()); err != nil || exit.Code != 3 || exit.Cause != "exited with status 3" {
					t.Errorf("%+v, %v", exit, err)
				}
			}
		})
	}
	agents.Wait()
}
