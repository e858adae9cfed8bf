package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"golang.org/x/sys/unix"

	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/shim"
)

// server is a moorage on a directory of its own, with both agents deployed when they are asked for.
type server struct {
	bin, work, dir string
	process        *exec.Cmd
	shim           *shim.Client
	agents         map[string]string // name to ARN

	Endpoint, Region, AccessKeyID, SecretAccessKey string // of client.json
}

// startServer starts a server with further flags.
func startServer(ctx context.Context, bin string, flags ...string) (*server, error) {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return nil, err
	}
	work, err := os.MkdirTemp("", "moorage-bench-")
	if err != nil {
		return nil, err
	}
	s := &server{bin: bin, work: work, dir: filepath.Join(work, "dir"), agents: map[string]string{}}
	log, err := os.Create(filepath.Join(work, "server.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s.process = exec.Command(bin, append([]string{"serve", "--dir", s.dir, "--listen", "127.0.0.1:0"}, flags...)...)
	s.process.Stderr, s.process.Stdout = log, log
	if err := s.process.Start(); err != nil {
		return nil, err
	}
	if err := s.awaitReady(ctx); err != nil {
		text, _ := os.ReadFile(log.Name())
		return nil, errors.Join(err, errors.New(string(text)), s.down())
	}
	s.shim, err = shim.Open(ctx, shim.Options{Dir: s.dir, Executable: bin})
	return s, err
}

func (s *server) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		doc, err := os.ReadFile(filepath.Join(s.dir, "client.json"))
		if err == nil && json.Unmarshal(doc, s) == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.New("the server did not start")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// down ends server, sessions and shim, and removes the directory.
func (s *server) down() error {
	if s.shim != nil {
		s.shim.Close()
	}
	out, err := exec.Command(s.bin, "down", "--dir", s.dir).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("moorage down: %w: %s", err, out)
	}
	s.process.Process.Signal(syscall.SIGTERM)
	s.process.Wait()
	return errors.Join(err, os.RemoveAll(s.work))
}

func (s *server) command(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, s.bin, append(args, "--dir", s.dir)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("moorage %s: %w: %s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return out, err
}

// kind is an agent that is measured.
type kind struct {
	name, label, dir, entry string
	// jwt is the address of the metadata of the provider whose tokens callers send; empty where they sign.
	jwt string
	// pool is its tag moorage:pool; empty for off, so that every session starts cold.
	pool string
	// perGiB is how many live idle sessions have to fit.
	perGiB float64
	// timesFaster is how much a session from the pool has to beat the bare process by; 0 for no goal.
	timesFaster float64
	// asleep and awake are how long a session may take to fall asleep, and to answer the call that wakes it, in ms.
	asleep, awake float64
	bare          func(ctx context.Context, work string) (*exec.Cmd, error) // as a process of the host; PORT is set by the caller
}

const erofs = "EROFS, overlay in memory"

var goAgent = kind{name: "bench_go", label: "static Go", dir: "bench/agent", entry: ".", perGiB: 50, asleep: 120, awake: 150, bare: func(ctx context.Context, work string) (*exec.Cmd, error) {
	path := filepath.Join(work, "agent")
	if _, err := os.Stat(path); err != nil {
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "./bench/agent")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build the agent: %w: %s", err, out)
		}
	}
	return exec.CommandContext(ctx, path), nil
}}

var pythonAgent = kind{name: "bench_python", label: "light Python (standard library)", dir: "examples/hello-python", entry: "main.py", perGiB: 20, timesFaster: 8, asleep: 120, awake: 150, bare: func(ctx context.Context, _ string) (*exec.Cmd, error) {
	python, err := realPython()
	return exec.CommandContext(ctx, python, "-u", "examples/hello-python/main.py"), err
}}

// realPython is the interpreter behind version managers' shims, which would be measured as well.
func realPython() (string, error) {
	out, err := exec.Command("python3", "-c", "import sys; print(sys.executable)").Output()
	return strings.TrimSpace(string(out)), err
}

// deploy returns the ARN of an agent, deploying it the first time.
func (s *server) deploy(ctx context.Context, k kind) (string, error) {
	if arn := s.agents[k.name]; arn != "" {
		return arn, nil
	}
	args := []string{"deploy", k.dir, "--name", k.name, "--entrypoint", k.entry, "--tag", "moorage:pool=" + cmp.Or(k.pool, "off"), "--json"}
	if k.jwt != "" {
		args = append(args, "--discovery-url", k.jwt, "--allowed-client", "app")
	}
	out, err := s.command(ctx, args...)
	if err != nil {
		return "", err
	}
	var answer struct{ AgentRuntimeArn string }
	if err := json.Unmarshal(out, &answer); err != nil {
		return "", fmt.Errorf("deploy said %q: %w", out, err)
	}
	s.agents[k.name] = answer.AgentRuntimeArn
	return answer.AgentRuntimeArn, nil
}

const payload = `{"prompt":"hello"}`

func newSession() string {
	b := make([]byte, 20)
	rand.Read(b)
	return hex.EncodeToString(b)
}

const sessionHeader = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"

// invoke makes a signed InvokeAgentRuntime.
func (s *server) invoke(ctx context.Context, arn, session string) (*http.Request, error) {
	return s.signed(ctx, "/runtimes/"+url.QueryEscape(arn)+"/invocations?qualifier=DEFAULT", session, payload)
}

// stop makes a signed StopRuntimeSession.
func (s *server) stop(ctx context.Context, arn, session string) (*http.Request, error) {
	return s.signed(ctx, "/runtimes/"+url.QueryEscape(arn)+"/stopruntimesession?qualifier=DEFAULT", session, "{}")
}

func (s *server) signed(ctx context.Context, path, session, body string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, "POST", s.Endpoint+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(sessionHeader, session)
	req.Header.Set("User-Agent", "bench")
	key := aws.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey}
	return req, v4.NewSigner().SignHTTP(ctx, key, req, hash(body), "bedrock-agentcore", s.Region, time.Now())
}

// cpu is how much processor time the server has used.
func (s *server) cpu() time.Duration { return cpuOf(s.process.Process.Pid) }

// cpuOfAll is how much processor time the server, its shim and its sandboxes have used, but for those
// processes that ended while their parent did not wait for them.
func (s *server) cpuOfAll() (all time.Duration) {
	parents := processes()
	for pid := range parents {
		for at := pid; at > 1; at = parents[at] {
			if at == s.process.Process.Pid {
				all += cpuOf(pid) + cpuOfEnded(pid)
				break
			}
		}
	}
	return all
}

// cpuOf is how much processor time a process has used, none if it ended.
func cpuOf(pid int) time.Duration {
	const scheduled = 2 // which clock of a process; source: Linux, include/linux/posix-timers.h
	var used unix.Timespec
	if unix.ClockGettime(int32(^pid<<3|scheduled), &used) != nil {
		return 0
	}
	return time.Duration(used.Nano())
}

// cpuOfEnded is how much its children used that ended, in ticks of 10 ms.
func cpuOfEnded(pid int) time.Duration {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)) // none of a process that ended
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 15 {
		return 0
	}
	user, _ := strconv.Atoi(fields[13])
	system, _ := strconv.Atoi(fields[14])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// switches is how often its threads began to wait.
func (s *server) switches() (n int64) {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", s.process.Process.Pid))
	for _, path := range threads {
		status, _ := os.ReadFile(path) // none of a thread that ended
		if _, rest, ok := strings.Cut(string(status), "\nvoluntary_ctxt_switches:"); ok {
			each, _ := strconv.ParseInt(strings.TrimSpace(strings.SplitN(rest, "\n", 2)[0]), 10, 64)
			n += each
		}
	}
	return n
}

// dial opens a kept connection to the server.
func (s *server) dial(ctx context.Context) (net.Conn, error) {
	u, err := url.Parse(s.Endpoint)
	if err != nil {
		return nil, err
	}
	return new(net.Dialer).DialContext(ctx, "tcp", u.Host)
}

// sandboxes returns what runs for a session that the caller named, or all sandboxes for "".
func (s *server) sandboxes(ctx context.Context, session string) ([]sandbox.Sandbox, error) {
	all, err := s.shim.List(ctx)
	if err != nil || session == "" {
		return all, err
	}
	out, err := s.command(ctx, "sessions", "show", session, "--json")
	if err != nil {
		return nil, err
	}
	var found []sandbox.Sandbox
	for _, box := range all {
		if bytes.Contains(out, []byte(box.Info().ID)) {
			found = append(found, box)
		}
		for _, label := range box.Info().Labels {
			if label != "" && bytes.Contains(out, []byte(`"id":"`+label+`"`)) || bytes.Contains(out, []byte(`"id": "`+label+`"`)) {
				found = append(found, box)
				break
			}
		}
	}
	return found, nil
}
