package compat

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// gate is a provider of models that has the built-in one answer, and keeps whoever writes an article waiting until it is open.
type gate struct {
	url, key string // the server's own door in OpenAI's form
	mu       sync.Mutex
	way      chan struct{} // closed when open
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.way = make(chan struct{})
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.way:
	default:
		close(g.way)
	}
}

func (g *gate) passage() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.way
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/open" {
		g.open()
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if bytes.Contains(body, []byte("You are a journalist")) {
		select {
		case <-g.passage():
		case <-time.After(time.Minute):
			http.Error(w, "nobody read what the researcher had to tell", http.StatusBadRequest)
			return
		}
	}
	q, err := http.NewRequestWithContext(r.Context(), http.MethodPost, g.url+"/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		return
	}
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("Authorization", "Bearer "+g.key)
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer answer.Body.Close()
	w.WriteHeader(answer.StatusCode)
	io.Copy(w, answer.Body)
}

// TestNewsroom_tellsItsProgressWhileItWorks has the newsroom, in its sandbox, report by server-sent events. Nobody writes the article
// before the reader has read what the research found, so that events which were kept until the end would never come.
func TestNewsroom_tellsItsProgressWhileItWorks(t *testing.T) {
	s := shared(t)
	t.Setenv("GOWORK", "off") // the newsroom is a module of its own
	g := &gate{url: s.client.Endpoint, key: s.client.AccessKeyID + ":" + s.client.SecretAccessKey}
	g.shut()
	far := httptest.NewServer(g)
	t.Cleanup(far.Close)
	run := func(args ...string) string {
		t.Helper()
		out, err := s.cli(t.Context(), args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	undo := func(args ...string) {
		t.Cleanup(func() {
			if _, err := s.cli(context.Background(), args...); err != nil {
				t.Error(err)
			}
		})
	}
	undo("models", "remove", "gate")
	run("models", "add", "gate", "--kind", "openai", "--url", far.URL+"/v1")
	undo("models", "unroute", "gated")
	run("models", "route", "gated", "gate", "--model", "us.amazon.nova-pro-v1:0")
	documents, err := filepath.Abs("../examples/newsroom/knowledge")
	if err != nil {
		t.Fatal(err)
	}
	made := strings.Fields(run("kb", "create", "newsdesk", "--from", documents))
	undo("kb", "delete", "newsdesk")
	var deployed struct{ AgentRuntimeArn, AgentRuntimeID string }
	out := run("deploy", "../examples/newsroom", "--name", "newsdesk", "--json", "--env", "KNOWLEDGE_BASE_ID="+made[len(made)-1], "--env", "NEWSROOM_MODEL=gated")
	if err := json.Unmarshal([]byte(out), &deployed); err != nil {
		t.Fatal(err)
	}
	undo("destroy", "--name", "newsdesk")
	facts, err := os.ReadFile("../examples/newsroom/facts/mediscan.txt")
	if err != nil {
		t.Fatal(err)
	}
	t.Run("its first session is a clone", func(t *testing.T) {
		a := &agent{server: s, id: deployed.AgentRuntimeID, arn: deployed.AgentRuntimeArn}
		eventually(t, time.Minute, "the golden snapshot is made", func() bool { return a.golden(t) == "kept" })
		session := newSession(t)
		if out, err := s.cli(t.Context(), "invoke", "--name", "newsdesk", "--session", session, "--payload", "{}"); err == nil || !strings.Contains(err.Error(), "there are no facts") {
			t.Errorf("without facts it says %q, %v", out, err)
		}
		if by := s.startedBy(t, session); by != "restore" {
			t.Errorf("it started by %q", by)
		}
	})
	runChecksOn(t, s, "newsroom.py", map[string]any{"arn": deployed.AgentRuntimeArn, "gate": far.URL, "facts": string(facts)})
	session := newSession(t)
	t.Run("by the command", func(t *testing.T) {
		g.shut()
		s.readsProgress(t, g, session, string(facts))
	})
	known, err := s.sessions(t.Context(), session)
	if err != nil || len(known) != 1 {
		t.Fatalf("the server lists %+v, %v", known, err)
	}
	var call wholeTrace
	s.traceOf(t, known[0].ID, time.Minute, func(st sessionTrace) bool {
		call = st.called()
		return call.ModelCalls >= 6 && call.span("invoke_agent interface_supervisor").SpanID != ""
	})
	t.Run("its trajectory in a browser", func(t *testing.T) {
		findBrowser(t).run(t, s, "newsroom.test.mjs", map[string]string{"trace": call.TraceID})
	})
}

// readsProgress reads what invoke prints, line by line as it comes.
func (s *server) readsProgress(t *testing.T, g *gate, session, facts string) {
	payload, err := json.Marshal(map[string]any{"facts": facts, "stream": true})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), s.bin, "--dir", s.dir, "invoke", "--name", "newsdesk", "--session", session, "--payload", string(payload))
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	var last string
	for n := 0; lines.Scan(); n++ {
		if strings.Contains(lines.Text(), "discards Veridian Oncology Trust") {
			g.open()
		}
		if strings.TrimSpace(lines.Text()) != "" {
			last = lines.Text()
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	wantWords(t, last, "MediScan gives a radiologist a second pair of eyes", `"conflicts"`)
}
