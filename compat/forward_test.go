package compat

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// receiver builds the OpenTelemetry Collector's OTLP receiver, a module of its own.
func receiver(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "receiver")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, ".")
	build.Dir = "receiver"
	build.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Skipf("the Collector's receiver cannot be built here: %v\n%s", err, out)
	}
	return bin
}

type received struct{ Kind, Name, Trace, Runtime, Session string }

// receive runs the receiver and gives what it takes.
func receive(t *testing.T, bin, address string) (<-chan received, *exec.Cmd) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), bin, address)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := make(chan received, 1000)
	go func() { // ends with the process
		defer close(lines)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			var r received
			if json.Unmarshal(scan.Bytes(), &r) == nil {
				lines <- r
			}
		}
	}()
	return lines, cmd
}

// A backend that is away, and a server that is killed meanwhile, cost nothing: it all comes.
func TestForward_whatTheBackendMissedComesWhenItIsBack(t *testing.T) {
	bin := receiver(t)
	address, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	s, err := newServer()
	if err != nil {
		t.Fatal(err)
	}
	s.args = []string{"--forward-otlp", "http://" + address}
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.down(); err != nil {
			t.Error(err)
		}
		s.remove()
	})
	a := s.deployed(t, probe)
	first := newSession(t)
	a.state(t, first)
	s.traceOf(t, first, 20*time.Second, func(found sessionTrace) bool { return len(found.Traces) > 0 })
	s.kill()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	lines, cmd := receive(t, bin, address)
	defer cmd.Wait()
	defer cmd.Process.Signal(os.Interrupt)
	second := newSession(t)
	a.state(t, second)
	missing := map[string]bool{first: true, second: true}
	for r := range lines {
		if r.Kind != "span" || r.Name != "InvokeAgentRuntime" {
			continue
		}
		if !strings.HasPrefix(r.Runtime, probe.name) {
			t.Errorf("a span names the runtime %q", r.Runtime)
		}
		if delete(missing, r.Session); len(missing) == 0 {
			return
		}
	}
	t.Errorf("the receiver ended, and the calls of %v did not come", missing)
}
