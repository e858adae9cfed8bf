package image

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestDirectory_isTheSameRoot(t *testing.T) {
	s, host := serveStore(t, Limits{})
	push(t, host+"/x/y:1", imageOf(t, nil, tarOf(t,
		directory("etc"), file("agent", "x"), hardlink("same", "agent"), symlink("out", "/etc"), file("out/inside", "i"), symlink("gone", "/no/where"))))
	a, err := s.Image(t.Context(), host+"/x/y:1", Credentials{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := s.Directory(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"agent": "x", "same": "x", "etc/inside": "i", "etc/resolv.conf": "nameserver 10.0.2.2\n"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
	for name, want := range map[string]string{"out": "/etc", "gone": "/no/where"} {
		if got, err := os.Readlink(filepath.Join(dir, name)); err != nil || got != want {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
	if again, err := s.Directory(t.Context(), a); err != nil || again != dir {
		t.Errorf("again: %s %v", again, err)
	}
}

func TestBase_ofNode(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "node", "-p", "process.versions.node.split('.')[0]").Output()
	if err != nil {
		t.Skip("Node.js: not installed")
	}
	major := strings.TrimSpace(string(out))
	s := openStore(t, Options{})
	l := language{"Node.js " + major, "node", major} // the contract knows 22 only
	base, err := s.bakedBase(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	zip := writeZip(t, map[string]string{"index.js": "console.log('ok', require('os').tmpdir(), typeof fetch, require('crypto').randomUUID().length)"})
	p := &project{store: s, code: Code{Zip: zip}, base: base, language: l, args: []string{"node", "index.js"}}
	a, err := p.build(t.Context(), &stopwatch{})
	if err != nil {
		t.Fatal(err)
	}
	if got := runInRoot(t, a); got != "ok /tmp function 36\n" {
		t.Errorf("it printed %q", got)
	}
}

func TestCode_saysWhichNodeIsMissing(t *testing.T) {
	s := openStore(t, Options{})
	if _, err := s.probes.findNode(t.Context(), "22"); err == nil {
		t.Skip("this machine has Node.js 22")
	}
	zip := writeZip(t, map[string]string{"index.js": ""})
	_, err := s.Code(t.Context(), Code{Zip: zip, Runtime: "NODE_22", EntryPoint: []string{"index.js"}}, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "no Node.js 22") {
		t.Errorf("got %v", err)
	}
	t.Log(err)
}
