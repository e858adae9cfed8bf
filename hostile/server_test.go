package hostile

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// server is the built binary, serving a directory of its own.
type server struct {
	bin, dir string
	process  *exec.Cmd
	exited   chan struct{}
	http     *http.Client

	Endpoint, Region, Account, AccessKeyID, SecretAccessKey string // of client.json
}

// memoryLimit keeps an agent that allocates without end short of the machine's memory.
const memoryLimit = "512M"

func builtBinary(t *testing.T) string {
	t.Helper()
	bin := os.Getenv("MOORAGE_BIN")
	if bin == "" {
		bin = "../bin/moorage"
	}
	bin, err := filepath.Abs(bin)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(bin); err != nil {
		t.Skip("needs the built binary: make build")
	}
	return bin
}

// startServer serves dir, or a fresh directory for "". What it leaves behind fails the test.
func startServer(t *testing.T, dir string) *server {
	t.Helper()
	bin := builtBinary(t)
	if dir == "" {
		parent, err := os.MkdirTemp("", "moorage-hostile-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(parent) })
		dir = filepath.Join(parent, "dir")
	}
	s := &server{bin: bin, dir: dir, exited: make(chan struct{})}
	s.http = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true, ExpectContinueTimeout: 5 * time.Second}, Timeout: 2 * time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	var log bytes.Buffer
	s.process = exec.Command(bin, "serve", "--dir", dir, "--listen", "127.0.0.1:0", "--memory-limit", memoryLimit, "--local-registries")
	s.process.Stdout, s.process.Stderr = &log, &log
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.process.Wait(); close(s.exited) }()
	t.Cleanup(func() {
		s.close(t)
		if t.Failed() {
			text := log.String()
			t.Log("the server's log:\n" + text[max(0, len(text)-8000):])
		}
	})
	s.awaitReady(t)
	return s
}

func (s *server) awaitReady(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		doc, err := os.ReadFile(filepath.Join(s.dir, "client.json"))
		if err == nil && json.Unmarshal(doc, s) == nil {
			return
		}
		select {
		case <-s.exited:
			t.Fatal("the server ended as it started")
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal("the server is not ready")
		}
	}
}

// close runs `moorage down` and looks for what is left.
func (s *server) close(t *testing.T) {
	t.Helper()
	s.http.CloseIdleConnections()
	groups := s.controlGroups()
	if out, err := exec.Command(s.bin, "down", "--dir", s.dir).CombinedOutput(); err != nil {
		t.Errorf("moorage down: %v\n%s", err, out)
	}
	s.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(20 * time.Second):
		t.Error("the server does not leave")
		s.process.Process.Kill()
		<-s.exited
	}
	// A shim that gave its directory back may still be on its way out.
	left := append(s.processes(), groups()...)
	for deadline := time.Now().Add(2 * time.Second); len(left) > 0 && time.Now().Before(deadline); left = append(s.processes(), groups()...) {
		<-time.After(5 * time.Millisecond)
	}
	for _, l := range left {
		t.Error("left behind:", l)
	}
}

// processes lists what runs of the server's directory, itself excepted.
func (s *server) processes() (found []string) {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range lines {
		line, _ := os.ReadFile(path)
		if bytes.Contains(line, []byte(s.dir)) && !strings.Contains(path, fmt.Sprintf("/%d/", s.process.Process.Pid)) {
			found = append(found, path+" "+string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	return found
}

// controlGroups notes the groups of the directory's engines, and returns a look at what is in them.
func (s *server) controlGroups() func() []string {
	var groups []string
	engines, _ := filepath.Glob(filepath.Join(s.dir, "engines", "*"))
	for _, engine := range engines {
		sum := sha256.Sum256([]byte(engine))
		for _, pattern := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
			found, _ := filepath.Glob(filepath.Join(pattern, "moorage", hex.EncodeToString(sum[:6])))
			groups = append(groups, found...)
		}
	}
	return func() (left []string) {
		for _, g := range groups {
			members, _ := filepath.Glob(filepath.Join(g, "*", "cgroup.procs"))
			left = append(left, members...)
		}
		return left
	}
}

// command runs the binary against this directory.
func (s *server) command(ctx context.Context, args ...string) (stdout, stderr string, err error) {
	cmd := exec.CommandContext(ctx, s.bin, append(args, "--dir", s.dir)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// deployWild deploys the wild agent with a MODE and returns its ARN, or what the command said.
func (s *server) deployWild(t *testing.T, name, mode string) (arn string, err error) {
	t.Helper()
	out, errs, err := s.command(t.Context(), "deploy", ".", "--name", name, "--entrypoint", "wild", "--env", "MODE="+mode, "--json")
	if err != nil {
		return "", fmt.Errorf("%w: %s%s", err, out, errs)
	}
	var answer struct{ AgentRuntimeArn string }
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		t.Fatalf("deploy said %q", out)
	}
	return answer.AgentRuntimeArn, nil
}

func newSession() string { return "hostile-" + newCanary() }

const sessionHeader = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"

// request makes a signed request.
func (s *server) request(ctx context.Context, method, path, session, body string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.Endpoint+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if session != "" {
		req.Header.Set(sessionHeader, session)
	}
	return req, s.sign(req, hashOf([]byte(body)))
}

func (s *server) sign(req *http.Request, bodyHash string) error {
	key := aws.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey}
	return v4.NewSigner().SignHTTP(req.Context(), key, req, bodyHash, "bedrock-agentcore", s.Region, time.Now())
}

func invokePath(arn string) string { return "/runtimes/" + url.QueryEscape(arn) + "/invocations" }

// answer is what came back; err says that it did not come whole.
type answer struct {
	status int
	kind   string // x-amzn-ErrorType
	header http.Header
	body   string
	err    error
	took   time.Duration
}

func (a answer) String() string {
	return fmt.Sprintf("status %d %s, %d bytes %.300q, %v, in %s", a.status, a.kind, len(a.body), a.body, a.err, a.took)
}

func (s *server) do(req *http.Request, err error) (a answer) {
	began := time.Now()
	defer func() { a.took = time.Since(began) }()
	if err != nil {
		return answer{err: err}
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{status: resp.StatusCode, kind: resp.Header.Get("X-Amzn-Errortype"), header: resp.Header, body: string(body), err: err}
}

// tell gives a session of an agent an order.
func (s *server) tell(ctx context.Context, arn, session string, order map[string]any) answer {
	body, err := json.Marshal(order)
	if err != nil {
		return answer{err: err}
	}
	return s.do(s.request(ctx, "POST", invokePath(arn), session, string(body)))
}

func (s *server) stopSession(ctx context.Context, arn, session string) answer {
	return s.do(s.request(ctx, "POST", "/runtimes/"+url.QueryEscape(arn)+"/stopruntimesession", session, "{}"))
}

// wantFault checks that the caller got one coded error, with its words.
func wantFault(t *testing.T, a answer, status int, exception string, words ...string) {
	t.Helper()
	if a.err != nil || a.status != status || !strings.HasPrefix(a.kind, exception) {
		t.Errorf("want %d %s, got %s", status, exception, a)
	}
	for _, w := range words {
		if !strings.Contains(strings.ToLower(a.body), strings.ToLower(w)) {
			t.Errorf("the message does not hold %q: %s", w, a)
		}
	}
}

// neighbour is a session that is called all the while.
type neighbour struct {
	s       *server
	arn     string
	session string

	mu    sync.Mutex
	calls []time.Duration
	fails []string
}

// neighbourPatience is what nobody may take from another session's caller.
const neighbourPatience = 2 * time.Second

func (s *server) newNeighbour(t *testing.T) *neighbour {
	t.Helper()
	arn, err := s.deployWild(t, "neighbour", "")
	if err != nil {
		t.Fatal(err)
	}
	n := &neighbour{s: s, arn: arn, session: newSession()}
	if a := s.tell(t.Context(), arn, n.session, map[string]any{}); a.status != 200 {
		t.Fatal("the neighbour does not answer:", a)
	}
	return n
}

// watch calls the neighbour until the returned function is called, which reports: no call may fail
// or take too long.
func (n *neighbour) watch(t *testing.T) (report func()) {
	t.Helper()
	n.measure(t.Context(), 500*time.Millisecond)
	calm := n.take()
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() { n.measure(ctx, time.Hour) })
	return func() {
		t.Helper()
		cancel()
		work.Wait()
		during := n.take()
		t.Logf("neighbour: p50 %s p99 %s of %d calls, before %s %s", quantile(during, 50), quantile(during, 99), len(during), quantile(calm, 50), quantile(calm, 99))
		if worst := quantile(during, 100); worst > neighbourPatience {
			t.Errorf("the neighbour waited %s", worst)
		}
		for _, f := range n.fails {
			t.Error("the neighbour failed:", f)
		}
		n.fails = nil
	}
}

func (n *neighbour) measure(ctx context.Context, d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end) && ctx.Err() == nil; {
		a := n.s.tell(context.WithoutCancel(ctx), n.arn, n.session, map[string]any{})
		n.mu.Lock()
		n.calls = append(n.calls, a.took)
		if a.status != 200 || a.err != nil {
			n.fails = append(n.fails, a.String())
		}
		n.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (n *neighbour) take() []time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	calls := n.calls
	n.calls = nil
	return calls
}

func quantile(took []time.Duration, q int) time.Duration {
	sorted := slices.Sorted(slices.Values(took))
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, len(sorted)*q/100)].Round(10 * time.Microsecond)
}
