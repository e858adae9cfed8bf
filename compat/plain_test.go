package compat

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestPlain_runsWithoutIsolationAndSaysSo deploys the first example where nothing isolates sessions.
func TestPlain_runsWithoutIsolationAndSaysSo(t *testing.T) {
	s, err := newServer()
	if err != nil {
		t.Fatal(err)
	}
	s.args = []string{"--isolation", "process"}
	if err := s.start(); err != nil {
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
	code, err := os.ReadFile("../examples/hello-python/main.py")
	if err != nil {
		t.Fatal(err)
	}
	a, err := s.deploy(t.Context(), inline("plain", "import six\n"+string(code)).with("requirements.txt", "six==1.16.0\n"))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Turns  []string
		Kernel string
	}
	for range 2 {
		session := newSession(t)
		for range 2 {
			if err := a.call(t.Context(), session, map[string]any{"prompt": "hello"}, &got); err != nil {
				t.Fatal(err)
			}
		}
		if len(got.Turns) != 2 {
			t.Errorf("a session remembers %q", got.Turns)
		}
	}
	if host, err := os.ReadFile("/proc/sys/kernel/osrelease"); err != nil || got.Kernel != strings.TrimSpace(string(host)) {
		t.Errorf("the agent sees kernel %q, the host has %q (%v)", got.Kernel, host, err)
	}
	for _, command := range []string{"sessions", "doctor"} {
		out, err := exec.CommandContext(t.Context(), s.bin, command, "--dir", s.dir).CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("not isolated")) {
			t.Errorf("moorage %s does not say it: %v\n%s", command, err, out)
		}
	}
}

// with adds a file to what is deployed.
func (d deployment) with(name, text string) deployment {
	d.files[name] = text
	return d
}
