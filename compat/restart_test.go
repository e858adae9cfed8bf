package compat

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestRestart_killedServerLosesNothing(t *testing.T) {
	s := shared(t)
	a := s.deployed(t, probe)
	session := newSession(t)
	before := a.state(t, session)
	for range 2 {
		s.kill()
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
	}
	if after := a.state(t, session); after.Boot != before.Boot || after.Count != before.Count+1 {
		t.Errorf("the session went from %+v to %+v", before, after)
	}
	known, err := s.sessions(t.Context(), session)
	if err != nil || len(known) != 1 || known[0].State == "stopped" {
		t.Errorf("the record says %+v (%v)", known, err)
	}
	if err := a.stopSession(t.Context(), session); err != nil {
		t.Errorf("stop a recovered session: %v", err)
	}
}

func TestRestart_stoppedServerLeavesSessionsToTheShim(t *testing.T) {
	s := shared(t)
	a := s.deployed(t, probe)
	session := newSession(t)
	before := a.state(t, session)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	if after := a.state(t, session); after.Boot != before.Boot || after.Count != before.Count+1 {
		t.Errorf("the session went from %+v to %+v", before, after)
	}
}

// A deployment that the crash cut off is taken up by the next server.
func TestRestart_killedServerFinishesItsBuilds(t *testing.T) {
	s := shared(t)
	d := inline("cut_off", serve+"http.server.ThreadingHTTPServer(('0.0.0.0', 8080), Agent).serve_forever()\n")
	a, err := s.create(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	s.kill()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	if err := a.awaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.call(t.Context(), newSession(t), nil, nil); err != nil {
		t.Error(err)
	}
}

func TestRestart_killedShimEndsItsSessionsWithAReason(t *testing.T) {
	s := shared(t)
	a := s.deployed(t, probe)
	session := newSession(t)
	before := a.state(t, session)
	shims := s.shims()
	if len(shims) == 0 {
		t.Fatal("no shim runs")
	}
	for _, p := range shims {
		if err := syscall.Kill(p.pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, 15*time.Second, "the session is recorded as ended", func() bool { return s.ended(t, session) })
	known, err := s.sessions(t.Context(), session)
	if err != nil || len(known) != 1 || !strings.Contains(known[0].EndReason, "the engine process ended") {
		t.Errorf("the record does not say that the engine died: %+v (%v)", known, err)
	}
	if after := a.state(t, session); after.Boot == before.Boot || after.Count != 1 {
		t.Errorf("the session came back as %+v, was %+v", after, before)
	}
}

func TestRestart_upgradeKeepsLiveSessionsOnTheirEngine(t *testing.T) {
	s := shared(t)
	a := s.deployed(t, probe)
	session := newSession(t)
	before := a.state(t, session)
	old := s.shims()

	upgraded := filepath.Join(filepath.Dir(s.dir), "moorage-next")
	if err := anotherBuild(s.bin, upgraded); err != nil {
		t.Fatal(err)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s.bin = upgraded
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	if after := a.state(t, session); after.Boot != before.Boot || after.Count != before.Count+1 {
		t.Errorf("the session went from %+v to %+v", before, after)
	}
	fresh := newSession(t) + "-new"
	a.state(t, fresh)
	if now := s.shims(); len(now) != len(old)+1 {
		t.Errorf("the engines were %v and are %v; want one more", old, now)
	}
	for _, x := range []string{session, fresh} {
		if err := a.stopSession(t.Context(), x); err != nil {
			t.Errorf("stop %s: %v", x, err)
		}
	}
}

// anotherBuild copies a program with one byte more: the same code under another build id.
func anotherBuild(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o700)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err == nil {
		_, err = out.Write([]byte{0})
	}
	if closed := out.Close(); err == nil {
		err = closed
	}
	return err
}

func TestRestart_logsOutliveServerAndSession(t *testing.T) {
	s := shared(t)
	a := s.deployed(t, probe)
	session := newSession(t)
	boot := a.state(t, session).Boot
	s.kill()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	if err := a.call(t.Context(), session, map[string]any{"op": "status", "code": 500, "words": "said after the crash"}, nil); err == nil {
		t.Fatal("the agent's 500 went unnoticed")
	}
	if err := a.stopSession(t.Context(), session); err != nil {
		t.Fatal(err)
	}
	known, err := s.sessions(t.Context(), session)
	if err != nil || len(known) != 1 {
		t.Fatalf("the server lists %+v (%v)", known, err)
	}
	lines, err := s.ask(t.Context(), "GET", "/v1/sessions/"+known[0].ID+"/logs")
	if err != nil {
		t.Fatal(err)
	}
	wantWords(t, string(lines), "probe "+boot+" listens", "said after the crash")
}

func TestDown_endsEverySessionAndShim(t *testing.T) {
	s := own(t)
	a := s.deployed(t, probe)
	a.state(t, newSession(t)+"-1")
	a.state(t, newSession(t)+"-2")
	if left, err := s.traces().left(); err != nil || len(left) == 0 {
		t.Fatalf("with two live sessions the search finds nothing (%v): it could not find what down leaves", err)
	}
	// own's clean-up runs down, and fails the test for whatever is left.
}

// Where the server is dead already, down still ends the shims that it left.
func TestDown_afterTheServerCrashed(t *testing.T) {
	s := own(t)
	a := s.deployed(t, probe)
	a.state(t, newSession(t))
	s.kill()
	if len(s.shims()) == 0 {
		t.Fatal("the shim ended with its server")
	}
}

// Sessions live on while servers come and go: what one server wrote down of what they used, the next does not write again.
func TestRestart_whatIsMeteredIsMeteredOnce(t *testing.T) {
	s := shared(t)
	d := inline("metered_once", serve+"sum(range(60_000_000))\nhttp.server.ThreadingHTTPServer(('0.0.0.0', 8080), Agent).serve_forever()\n")
	d.tags = map[string]string{"moorage:pool": "off"}
	a, err := s.deploy(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	var said map[string]string
	session := newSession(t)
	if err := a.call(t.Context(), session, map[string]string{}, &said); err != nil {
		t.Fatal(err)
	}
	before, strip := a.metered(t, 0), s.strip(t, session)
	s.kill()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	if after := s.strip(t, session); strip == 0 || after < strip {
		t.Errorf("its strip had %d samples, and has %d after the server was killed", strip, after)
	}
	if after := a.metered(t, before); after > before*1.5 {
		t.Errorf("the processor time metered went from %.6f to %.6f hours while nobody called", before, after)
	}
}

// metered is the processor time of an agent that is written down, in hours, once more was written than there was.
func (a *agent) metered(t *testing.T, than float64) (hours float64) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); hours <= than && time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		answer, err := a.server.ask(t.Context(), "GET", "/v1/metrics?name=moorage.usage.vcpu_hours&runtime="+a.name())
		if err != nil {
			t.Fatal(err)
		}
		var series struct {
			Series []struct{ Points []struct{ Sum float64 } }
		}
		if err := json.Unmarshal(answer, &series); err != nil {
			t.Fatalf("%v: %s", err, answer)
		}
		hours = 0
		for _, one := range series.Series {
			for _, p := range one.Points {
				hours += p.Sum
			}
		}
	}
	return hours
}

// strip is how many samples there are of what a session took while it worked.
func (s *server) strip(t *testing.T, session string) int {
	t.Helper()
	known, err := s.sessions(t.Context(), session)
	if err != nil || len(known) != 1 {
		t.Fatalf("the server lists %+v (%v)", known, err)
	}
	var page struct{ Samples []struct{ CPU float64 } }
	doc, err := s.ask(t.Context(), "GET", "/v1/sessions/"+known[0].ID+"/usage")
	if err == nil {
		err = json.Unmarshal(doc, &page)
	}
	if err != nil {
		t.Fatal(err)
	}
	return len(page.Samples)
}
