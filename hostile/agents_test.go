package hostile

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// slowTests asks for full sizes.
var slowTests = os.Getenv("MOORAGE_SLOW") != ""

// misbehaviours of an agent in a call. Each gets a session of its own, and must leave the neighbour alone.
var misbehaviours = []struct {
	name  string
	order map[string]any
	check func(t *testing.T, s *server, a answer)
}{
	{"fork bomb", map[string]any{"op": "fork"}, func(t *testing.T, _ *server, a answer) {
		var said struct {
			Started int
			Error   string
		}
		if json.Unmarshal([]byte(a.body), &said); a.status == 200 && (said.Started < 100 || said.Started > 1100 || said.Error == "") {
			t.Errorf("%d processes started: %s", said.Started, a)
		} else if a.status != 200 {
			wantFault(t, a, 424, "RuntimeClientError")
		}
	}},
	{"allocation without end", map[string]any{"op": "allocate"}, func(t *testing.T, _ *server, a answer) {
		wantFault(t, a, 424, "RuntimeClientError", "out of memory")
	}},
	{"full tmp", map[string]any{"op": "fill", "text": "/tmp/filler", "bytes": 4 << 30}, noSpace},
	{"full shared memory", map[string]any{"op": "fill", "text": "/dev/shm/filler", "bytes": 4 << 30}, noSpace},
	{"flood of logs", map[string]any{"op": "log", "bytes": logFlood()}, func(t *testing.T, s *server, a answer) {
		if a.status != 200 {
			t.Error(a)
		}
		if size := sizeOf(filepath.Join(s.dir, "logs")); size > 64<<20 {
			t.Errorf("the logs take %d MB of disk", size>>20)
		}
	}},
	{"all processors", map[string]any{"op": "spin", "bytes": 3000}, func(t *testing.T, _ *server, a answer) {
		if a.status != 200 {
			t.Error(a)
		}
	}},
	{"exit in a call", map[string]any{"op": "leave", "text": "9"}, func(t *testing.T, _ *server, a answer) {
		wantFault(t, a, 424, "RuntimeClientError", "9")
	}},
	{"huge headers", map[string]any{"op": "large-headers", "bytes": 32 << 20}, func(t *testing.T, _ *server, a answer) {
		wantFault(t, a, 424, "RuntimeClientError")
	}},
	{"answer over the limit", map[string]any{"op": "large-answer", "bytes": 105_000_000}, func(t *testing.T, _ *server, a answer) {
		if a.status == 200 && a.err == nil || len(a.body) > 101_000_000 {
			t.Errorf("a cut answer looks whole: status %d, %d bytes", a.status, len(a.body))
		}
	}},
	{"answer at the limit", map[string]any{"op": "large-answer", "bytes": 100_000_000}, func(t *testing.T, _ *server, a answer) {
		if a.status != 200 || a.err != nil || len(a.body) != 100_000_000 {
			t.Errorf("status %d, %d bytes, %v", a.status, len(a.body), a.err)
		}
	}},
	{"dribble", map[string]any{"op": "slow", "bytes": 20}, func(t *testing.T, _ *server, a answer) {
		if a.status != 200 || len(a.body) != 20 {
			t.Error(a)
		}
	}},
	{"not HTTP", map[string]any{"op": "raw", "text": "SSH-2.0-OpenSSH_9.2\r\n"}, agentFault},
	{"no answer", map[string]any{"op": "raw", "text": ""}, agentFault},
	{"broken status", map[string]any{"op": "raw", "text": "HTTP/1.1 banana split\r\n\r\n"}, agentFault},
	{"status 99999", map[string]any{"op": "raw", "text": "HTTP/1.1 99999 No\r\nContent-Length: 0\r\n\r\n"}, agentFault},
	{"switched protocols", map[string]any{"op": "raw", "text": "HTTP/1.1 101 Switching Protocols\r\nUpgrade: none\r\nConnection: Upgrade\r\n\r\nwhat"}, agentFault},
	{"redirect", map[string]any{"op": "raw", "text": "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"}, agentFault},
	{"two lengths", map[string]any{"op": "raw", "text": "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 5\r\n\r\nhello"}, agentFault},
	{"negative length", map[string]any{"op": "raw", "text": "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello"}, agentFault},
	{"endless headers", map[string]any{"op": "raw", "text": "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-Filler: "+strings.Repeat("f", 1000)+"\r\n", 60_000)}, agentFault},
	{"broken chunks", map[string]any{"op": "raw", "text": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\nhello"}, notWhole},
	{"short answer", map[string]any{"op": "raw", "text": "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello"}, notWhole},
	{"forged headers", map[string]any{"op": "headers"}, func(t *testing.T, _ *server, a answer) {
		if a.status != 200 {
			t.Error(a)
		}
		for name, values := range a.header {
			if strings.Contains(strings.Join(values, ""), "forged") {
				t.Errorf("the agent set %s", name)
			}
		}
	}},
}

func logFlood() int64 {
	if slowTests {
		return 1 << 30
	}
	return 100 << 20
}

func noSpace(t *testing.T, _ *server, a answer) {
	var said struct {
		Written int64
		Error   string
	}
	json.Unmarshal([]byte(a.body), &said)
	switch {
	case a.status == 424:
		wantFault(t, a, 424, "RuntimeClientError", "out of memory") // the overlay is memory, and counts as the session's
	case a.status != 200 || !strings.Contains(said.Error, "no space left") || said.Written > 1100<<20:
		t.Error(a)
	}
}

func agentFault(t *testing.T, _ *server, a answer) { wantFault(t, a, 424, "RuntimeClientError") }

// notWhole is for an answer that broke after it began: the caller must be able to tell.
func notWhole(t *testing.T, _ *server, a answer) {
	if a.status == 200 && a.err == nil {
		t.Errorf("a broken answer looks whole: %s", a)
	}
}

func sizeOf(dir string) (size int64) {
	filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				size += info.Size()
			}
		}
		return nil
	})
	return size
}

func TestAgents_misbehaviourIsTheirOwn(t *testing.T) {
	s := startServer(t, "")
	n := s.newNeighbour(t)
	wild, err := s.deployWild(t, "wild", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range misbehaviours {
		t.Run(m.name, func(t *testing.T) {
			report := n.watch(t)
			defer report()
			session := newSession()
			a := s.tell(t.Context(), wild, session, m.order)
			t.Logf("answered %s", a)
			m.check(t, s, a)
			if a := s.stopSession(t.Context(), wild, session); a.status != 200 && a.status != 404 {
				t.Error("stop:", a)
			}
		})
	}
}

func TestAgents_hundredHeldCalls(t *testing.T) {
	s := startServer(t, "")
	n := s.newNeighbour(t)
	wild, err := s.deployWild(t, "wild", "")
	if err != nil {
		t.Fatal(err)
	}
	session := newSession()
	s.tell(t.Context(), wild, session, map[string]any{})
	report := n.watch(t)
	defer report()
	ctx, cancel := context.WithCancel(t.Context())
	var held sync.WaitGroup
	for range 100 {
		held.Go(func() { s.tell(ctx, wild, session, map[string]any{"op": "hang"}) })
	}
	for range 20 { // the session goes on answering
		if a := s.tell(t.Context(), wild, session, map[string]any{}); a.status != 200 {
			t.Error(a)
		}
	}
	cancel()
	held.Wait()
	if a := s.tell(t.Context(), wild, session, map[string]any{}); a.status != 200 {
		t.Error("after they left:", a)
	}
}

func TestAgents_ignoringSIGTERM(t *testing.T) {
	s := startServer(t, "")
	n := s.newNeighbour(t)
	wild, err := s.deployWild(t, "wild", "")
	if err != nil {
		t.Fatal(err)
	}
	report := n.watch(t)
	defer report()
	session := newSession()
	if a := s.tell(t.Context(), wild, session, map[string]any{"op": "ignore"}); a.status != 200 {
		t.Fatal(a)
	}
	a := s.stopSession(t.Context(), wild, session)
	if a.status != 200 || a.took > 15*time.Second {
		t.Error("stop:", a)
	}
	t.Log("stopped in", a.took)
}

// A large answer meets full buffers all the way, and must come whole every time. It is slow, and it
// has found calls that hang for ever: the last bytes stayed in the sandbox.
func TestAgents_largeAnswersComeWhole(t *testing.T) {
	if !slowTests {
		t.Skip("MOORAGE_SLOW is not set")
	}
	s := startServer(t, "")
	wild, err := s.deployWild(t, "wild", "")
	if err != nil {
		t.Fatal(err)
	}
	session := newSession()
	const size, calls = 100_000_000, 100
	for i := range calls {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		a := s.tell(ctx, wild, session, map[string]any{"op": "large-answer", "bytes": size})
		cancel()
		if a.err != nil || len(a.body) != size {
			t.Errorf("call %d: %d of %d bytes: %v", i, len(a.body), size, a.err)
		}
	}
}

// What an agent does as it starts is told by the deployment.
func TestAgents_badStarts(t *testing.T) {
	s := startServer(t, "")
	n := s.newNeighbour(t)
	for _, c := range []struct {
		mode  string
		fails []string // words of the error; nil when the agent is good enough
	}{
		{"exit", []string{"7", "wild: exit"}},
		{"never-bind", []string{"Runtime initialization time exceeded", "8080", "wild: never-bind"}},
		{"bind-late", nil},
		{"large-ping", nil},
		{"garbled-ping", nil},
	} {
		t.Run(c.mode, func(t *testing.T) {
			report := n.watch(t)
			defer report()
			arn, err := s.deployWild(t, "start_"+strings.ReplaceAll(c.mode, "-", "_"), c.mode)
			if c.fails == nil {
				if err != nil {
					t.Fatal(err)
				}
				if a := s.tell(t.Context(), arn, newSession(), map[string]any{}); a.status != 200 {
					t.Error(a)
				}
				return
			}
			if err == nil {
				t.Fatal("it was deployed")
			}
			for _, word := range c.fails {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q is not in: %v", word, err)
				}
			}
		})
	}
}
