// Command hello-go is an agent with a memory: every session is a process in a sandbox of its own,
// so a plain variable is the session's memory.
package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"

	"github.com/moorage-dev/moorage/agent"
)

type question struct {
	Prompt string `json:"prompt"`
}

type answer struct {
	Answer  string   `json:"answer"`
	Session string   `json:"session"`
	Turns   []string `json:"turns"`
	Host    string   `json:"host"`
	CPUs    int      `json:"cpus"`
}

var (
	mu    sync.Mutex
	turns []string
)

func reply(ctx context.Context, q question) (answer, error) {
	mu.Lock()
	defer mu.Unlock()
	turns = append(turns, q.Prompt)
	fmt.Printf("turn %d: %s\n", len(turns), q.Prompt)
	host, err := os.Hostname()
	return answer{
		Answer:  fmt.Sprintf("You said %q. That was turn %d of this session.", q.Prompt, len(turns)),
		Session: agent.RequestOf(ctx).SessionID, Turns: turns, Host: host, CPUs: runtime.NumCPU(),
	}, err
}

// Copies of this program have nothing that must differ, so its sessions may start from one.
func main() { (&agent.Server{Entrypoint: agent.Handle(reply), Clone: agent.NothingToRenew}).Main() }
