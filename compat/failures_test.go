package compat

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// server of the standard library that some of the failing agents start.
const serve = `
import http.server, sys, time
class Agent(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.answer(b'{"status":"Healthy"}')
    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.answer(b'{"text":"here"}')
    def answer(self, data):
        self.send_response(200); self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data))); self.end_headers(); self.wfile.write(data)
    def log_message(self, *args): pass
`

func inline(name, code string) deployment {
	return deployment{name: name, entry: "main.py", files: map[string]string{"main.py": code}}
}

func TestFailing_createTellsWhy(t *testing.T) {
	s := shared(t)
	for _, c := range []struct {
		agent deployment
		words []string
	}{
		{inline("exits", "import sys\nprint('no key for the model', file=sys.stderr)\nsys.exit(3)\n"), []string{"3", "no key for the model", "GET /ping"}},
		{inline("import_error", "import langchain_of_yesterday\n"), []string{"Traceback", "ModuleNotFoundError: No module named 'langchain_of_yesterday'"}},
		{inline("killed", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"), []string{"SIGKILL"}},
		{inline("never_binds", "import sys, time\nprint('loading a model', file=sys.stderr, flush=True)\ntime.sleep(3600)\n"),
			[]string{"Runtime initialization time exceeded. Please make sure that initialization completes in 30s.", "loading a model", "8080"}},
		{inline("unhealthy", serve+"Agent.do_GET = lambda self: self.send_error(500)\nhttp.server.HTTPServer(('0.0.0.0', 8080), Agent).serve_forever()\n"),
			[]string{"Runtime initialization time exceeded", "500"}},
		{deployment{name: "no_entry", entry: "absent.py", files: map[string]string{"main.py": serve}}, []string{"absent.py"}},
		{deployment{name: "bad_requirement", entry: "main.py", files: map[string]string{"main.py": serve, "requirements.txt": "six==0.0.0.0.1\n"}}, []string{"six==0.0.0.0.1"}},
	} {
		t.Run(c.agent.name, func(t *testing.T) {
			t.Parallel()
			_, err := s.deploy(t.Context(), c.agent)
			var failed *deployError
			if !errors.As(err, &failed) {
				t.Fatalf("want a failed deployment, got %v", err)
			}
			if failed.status != "CREATE_FAILED" {
				t.Errorf("status %s", failed.status)
			}
			wantWords(t, failed.reason, c.words...)
		})
	}
}

func TestFailing_lateOrOnLoopbackIsGoodEnough(t *testing.T) {
	s := shared(t)
	for _, d := range []deployment{
		inline("binds_late", serve+"time.sleep(3)\nhttp.server.ThreadingHTTPServer(('0.0.0.0', 8080), Agent).serve_forever()\n"),
		inline("loopback", serve+"http.server.ThreadingHTTPServer(('127.0.0.1', 8080), Agent).serve_forever()\n"),
	} {
		t.Run(d.name, func(t *testing.T) {
			a, err := s.deploy(t.Context(), d)
			if err != nil {
				t.Fatal(err)
			}
			var got state
			if err := a.call(t.Context(), newSession(t), nil, &got); err != nil || got.Text == nil || *got.Text != "here" {
				t.Errorf("answered %+v, %v", got, err)
			}
		})
	}
}

// A marker in the session's storage lets the trial start pass and the session's own start fail.
func TestFailing_sessionThatDoesNotStartTellsTheCaller(t *testing.T) {
	a := shared(t).deployed(t, keeper)
	session := newSession(t)
	if err := a.call(t.Context(), session, map[string]any{"op": "write", "path": "/mnt/data/refuse-to-start", "text": "yes"}, nil); err != nil {
		t.Fatal(err)
	}
	if err := a.stopSession(t.Context(), session); err != nil {
		t.Fatal(err)
	}
	message := wantError(t, a.call(t.Context(), session, map[string]any{"op": "state"}, nil), "RuntimeClientError")
	wantWords(t, message, "7", "the storage is cursed")
	known, err := a.server.sessions(t.Context(), session)
	if err != nil || len(known) != 2 || !strings.Contains(known[0].EndReason+known[1].EndReason, "7") {
		t.Errorf("the record says %+v (%v)", known, err)
	}
}

func TestFailing_agentThatDiesInACall(t *testing.T) {
	a := shared(t).deployed(t, probe)
	session := newSession(t)
	before := a.state(t, session)
	message := wantError(t, a.call(t.Context(), session, map[string]any{"op": "leave", "code": 9, "words": "out of luck"}, nil), "RuntimeClientError")
	wantWords(t, message, "9", "out of luck")
	if after := a.state(t, session); after.Boot == before.Boot || after.Count != 1 {
		t.Errorf("the session came back as %+v, was %+v", after, before)
	}
}

func TestFailing_agentThatIgnoresSIGTERMIsStoppedAllTheSame(t *testing.T) {
	a := shared(t).deployed(t, probe)
	session := newSession(t)
	if err := a.call(t.Context(), session, map[string]any{"op": "ignore_sigterm"}, nil); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := a.stopSession(t.Context(), session); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("the stop took %s", took)
	}
	wantError(t, a.stopSession(t.Context(), session), "ResourceNotFoundException")
	if s := a.state(t, session); s.Count != 1 {
		t.Errorf("the session came back counting %d", s.Count)
	}
}

func TestFailing_updateLeavesTheOldVersionServing(t *testing.T) {
	s := shared(t)
	good := inline("half_good", serve+"http.server.ThreadingHTTPServer(('0.0.0.0', 8080), Agent).serve_forever()\n")
	a, err := s.deploy(t.Context(), good)
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.update(t.Context(), inline("half_good", "raise SystemExit('second thoughts')\n"))
	var failed *deployError
	if !errors.As(err, &failed) || failed.status != "UPDATE_FAILED" {
		t.Fatalf("the update: %v", err)
	}
	wantWords(t, failed.reason, "second thoughts")
	var got state
	if err := a.call(t.Context(), newSession(t), nil, &got); err != nil || got.Text == nil {
		t.Errorf("the old version answers %+v, %v", got, err)
	}
	if _, err := a.update(t.Context(), good); err != nil {
		t.Errorf("an update after a failed one: %v", err)
	}
}
