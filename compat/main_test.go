package compat

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"
)

var (
	soak  = flag.Bool("soak", false, "run TestSoak at its full size")
	lives = flag.Duration("lives", 15*time.Second, "how long TestSoak_lives goes on")
)

// house is the server that most tests share. Deploying is what costs time, so agents stay.
var house struct {
	sync.Mutex
	server *server
	err    error
}

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if s := house.server; s != nil {
		if err := s.down(); err != nil {
			fmt.Fprintf(os.Stderr, "--- FAIL: at the end of all tests: %v\n", err)
			code = 1
		}
		if err := s.remove(); err != nil {
			fmt.Fprintf(os.Stderr, "--- FAIL: remove the directory: %v\n", err)
			code = 1
		}
	}
	os.Exit(code)
}

// shared returns the shared server, running. A test before this one may have left it dead.
func shared(t *testing.T) *server {
	t.Helper()
	house.Lock()
	defer house.Unlock()
	if house.server == nil && house.err == nil {
		house.server, house.err = newServer()
	}
	if house.err != nil {
		t.Fatal(house.err)
	}
	if !house.server.running() {
		if err := house.server.start(); err != nil {
			t.Fatal(err)
		}
	}
	house.server.watch(t)
	return house.server
}

// own returns a running server that is this test's alone; it is taken down at the end, and nothing
// may be left of it.
func own(t *testing.T) *server {
	t.Helper()
	s, err := newServer()
	if err == nil {
		err = s.start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.down(); err != nil {
			t.Error(err)
		}
		if err := s.remove(); err != nil {
			t.Error(err)
		}
	})
	s.watch(t)
	return s
}

// Agents that tests share.
var (
	probe = deployment{
		name: "probe", source: "probe", entry: "main.py", env: map[string]string{"PROBE_VERSION": "one"},
		headers: []string{"X-Amzn-Bedrock-AgentCore-Runtime-Custom-Tenant", "X-Note"},
	}
	keeper   = deployment{name: "keeper", source: "probe", entry: "main.py", storage: "/mnt/data"}
	sdkAgent = deployment{name: "sdk_agent", source: "sdkagent", entry: "agent.py"}

	tracedAgent = deployment{name: "traced_agent", source: "tracedagent", entry: "opentelemetry-instrument agent.py"}
	guestAgent  = deployment{name: "guest_agent", source: "guestagent", entry: "agent.py"}
)

// deployed returns an agent on the server, deploying it when no test did so before.
func (s *server) deployed(t *testing.T, d deployment) *agent {
	t.Helper()
	if a := s.agents[d.name]; a != nil {
		return a
	}
	a, err := s.deploy(context.Background(), d)
	if err != nil {
		t.Fatalf("deploy %s: %v", d.name, err)
	}
	s.agents[d.name] = a
	return a
}
