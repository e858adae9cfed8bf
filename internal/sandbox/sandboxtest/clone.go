package sandboxtest

import (
	"context"
	"maps"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/journal"
)

// frozen puts a sandbox to sleep which counted to one, wrote /kept, and holds a connection outward.
func (s suite) frozen(t *testing.T, d sandbox.Cloner, mounts ...sandbox.Mount) (spec sandbox.Spec, dir string) {
	t.Helper()
	if s.fixture.Shared {
		t.Skip("what this driver runs cannot be frozen; WhatSleepsWakesAsItWas holds it to saying so")
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	spec, dir = s.spec(t), filepath.Join(t.TempDir(), "frozen")
	spec.Labels, spec.Mounts = map[string]string{"session": "original"}, mounts
	spec.Network.Allow = []string{"127.0.0.1:" + port}
	box := s.start(t, spec)
	a := awaitAgent(t, box)
	a.must(t, "/add")
	a.must(t, "/write", "path", "/kept", "bytes", "1000")
	a.must(t, "/print", "text", "before")
	a.must(t, "/hold", "addr", "10.0.2.2:"+port)
	a.http.CloseIdleConnections()
	if err := box.(sandbox.Sleeper).Checkpoint(t.Context(), dir); err != nil {
		t.Fatal("freeze:", detail(err))
	}
	return spec, dir
}

// cloneSpec is what a clone of its own needs.
func cloneSpec(t *testing.T, name string) sandbox.CloneSpec {
	return sandbox.CloneSpec{ID: sandbox.NewID(), Labels: map[string]string{"session": name}, LogDir: filepath.Join(t.TempDir(), name)}
}

func (s suite) cloner(t *testing.T) sandbox.Cloner {
	t.Helper()
	d, ok := s.driver.(sandbox.Cloner)
	if !ok {
		t.Skip("this driver clones nothing, and does not say that it does")
	}
	return d
}

// clone starts a clone that is stopped, and proved to have left nothing, when the test ends.
func (s suite) clone(t *testing.T, dir string, as sandbox.CloneSpec) sandbox.Sandbox {
	t.Helper()
	box, err := s.cloner(t).Clone(t.Context(), dir, as)
	if err != nil {
		t.Fatal("clone:", detail(err))
	}
	t.Cleanup(func() {
		if err := box.Stop(context.Background(), 0); err != nil {
			t.Error("stop:", err)
		}
		s.leftNothing(t, as.ID)
	})
	return box
}

func (s suite) clonesAreApart(t *testing.T) {
	d := s.cloner(t)
	original, dir := s.frozen(t, d)
	all := map[string]sandbox.Sandbox{}
	logs := map[string]string{"original": original.LogDir}
	for _, name := range []string{"one", "two"} {
		as := cloneSpec(t, name)
		box := s.clone(t, dir, as)
		if info := box.Info(); info.ID != as.ID || !maps.Equal(info.Labels, as.Labels) || info.LogDir != as.LogDir {
			t.Errorf("the clone %s is %+v", name, info)
		}
		all[name], logs[name] = box, as.LogDir
	}
	woken, err := d.Restore(t.Context(), dir)
	if err != nil {
		t.Fatal("wake the original:", detail(err))
	}
	t.Cleanup(func() { woken.Stop(context.Background(), 0) })
	if info := woken.Info(); info.ID != original.ID || !maps.Equal(info.Labels, original.Labels) {
		t.Errorf("the original woke as %+v", info)
	}
	all["original"] = woken
	for name, box := range all {
		a := awaitAgent(t, box)
		if got := a.must(t, "/add"); got != "2" {
			t.Errorf("%s: memory says %q", name, got)
		}
		if got := a.must(t, "/held"); got == "<nil>" { // a connection that hangs would not answer at all
			t.Errorf("%s: the dead connection brought something", name)
		}
		if n := len(a.must(t, "/read", "path", "/kept")); n != 1000 {
			t.Errorf("%s: the file holds %d bytes", name, n)
		}
		a.must(t, "/write", "path", "/kept", "bytes", "1")
		a.must(t, "/print", "text", "of "+name)
	}
	for name, want := range map[string][]string{"one": {"of one"}, "two": {"of two"}, "original": {"before", "of original"}} {
		eventually(t, "each has a journal of its own", func() bool {
			lines, err := journal.Last(logs[name], 10, journal.Stdout)
			if err != nil || len(lines) != len(want) {
				return false
			}
			for i, l := range lines {
				if l.Text != want[i] {
					t.Fatalf("the journal of %s holds %q", name, l.Text)
				}
			}
			return true
		})
	}
}

func (s suite) clonesOfADamagedSnapshot(t *testing.T) {
	d := s.cloner(t)
	_, dir := s.frozen(t, d)
	image := filepath.Join(dir, "image")
	whole, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	changed := append([]byte{}, whole...)
	changed[len(changed)/2] ^= 1
	for name, content := range map[string][]byte{"changed": changed, "cut": whole[:len(whole)/2], "empty": nil} {
		if err := os.WriteFile(image, content, 0o600); err != nil {
			t.Fatal(err)
		}
		as := cloneSpec(t, name)
		if _, err := d.Clone(t.Context(), dir, as); moorage.CodeOf(err) != moorage.Conflict {
			t.Errorf("%s: got %s", name, detail(err))
		}
		s.leftNothing(t, as.ID)
	}
	if err := os.WriteFile(image, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	awaitAgent(t, s.clone(t, dir, cloneSpec(t, "whole")))
	_, err = d.Clone(t.Context(), filepath.Join(dir, "nothing"), cloneSpec(t, "nothing"))
	wantCode(t, err, moorage.NotFound)
}

func (s suite) clonesShareNoMount(t *testing.T) {
	d := s.cloner(t)
	theirs, ours := t.TempDir(), t.TempDir()
	for _, dir := range []string{theirs, ours} {
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	_, dir := s.frozen(t, d, sandbox.Mount{Source: theirs, Target: "/mnt/storage"})
	as := cloneSpec(t, "shared")
	_, err := d.Clone(t.Context(), dir, as)
	wantCode(t, err, moorage.Unsupported)
	as.Mounts = []sandbox.Mount{{Source: ours, Target: "/mnt/elsewhere"}}
	_, err = d.Clone(t.Context(), dir, as)
	wantCode(t, err, moorage.Invalid)
	as.Mounts[0].Target = "/mnt/storage"
	awaitAgent(t, s.clone(t, dir, as)).must(t, "/write", "path", "/mnt/storage/new", "bytes", "5")
	if b, err := os.ReadFile(filepath.Join(ours, "new")); err != nil || len(b) != 5 {
		t.Errorf("the clone's own directory holds %q, %v", b, err)
	}
	if left, _ := os.ReadDir(theirs); len(left) > 0 {
		t.Errorf("the original's directory holds %v", left)
	}
}

func (s suite) preparedBecomesAClone(t *testing.T) {
	d, ok := s.cloner(t).(sandbox.Preparer)
	if !ok {
		t.Skip("this driver prepares nothing, and does not say that it does")
	}
	_, dir := s.frozen(t, d)
	prepare := func(name string) sandbox.Prepared {
		as := cloneSpec(t, name)
		box, err := d.Prepare(t.Context(), dir, as)
		if err != nil {
			t.Fatal("prepare:", detail(err))
		}
		t.Cleanup(func() {
			if err := box.Stop(context.Background(), 0); err != nil {
				t.Error("stop:", err)
			}
			s.leftNothing(t, as.ID)
		})
		return box
	}
	prepare("never loaded")
	one := prepare("one")
	if c, err := one.Dial(t.Context(), 8080); err == nil {
		c.Close()
		t.Error("something answers in a sandbox that is empty")
	}
	if err := one.Load(t.Context()); err != nil {
		t.Fatal("load:", detail(err))
	}
	a := awaitAgent(t, one)
	if got := a.must(t, "/add"); got != "2" {
		t.Errorf("memory says %q", got)
	}
	wantCode(t, one.Load(t.Context()), moorage.Conflict)
	ended := prepare("ended")
	if err := ended.Stop(t.Context(), 0); err != nil {
		t.Error("stop:", detail(err))
	}
	if err := ended.Load(t.Context()); err == nil {
		t.Error("a sandbox that ended was loaded")
	}
	if err := os.Truncate(filepath.Join(dir, "image"), 10); err != nil {
		t.Fatal(err)
	}
	damaged := prepare("damaged")
	wantCode(t, damaged.Load(t.Context()), moorage.Conflict)
	if _, err := damaged.Wait(t.Context()); err != nil {
		t.Error("it stayed:", detail(err))
	}
}
