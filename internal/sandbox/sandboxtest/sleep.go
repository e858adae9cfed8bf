package sandboxtest

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/journal"
)

// sleep holds drivers that can put a sandbox to sleep to what they promise then, and the others to
// saying that they cannot.
func (s suite) sleep(t *testing.T) {
	waker, ok := s.driver.(sandbox.Waker)
	if !ok {
		t.Skip("this driver puts nothing to sleep, and does not say that it does")
	}
	spec := s.spec(t)
	spec.Labels = map[string]string{"session": "one"}
	box := s.start(t, spec)
	a := awaitAgent(t, box)
	bed := filepath.Join(t.TempDir(), "asleep")
	if s.fixture.Shared {
		a.http.CloseIdleConnections()
		wantCode(t, box.(sandbox.Sleeper).Checkpoint(t.Context(), bed), moorage.Unsupported)
		a.must(t, "/ping")
		return
	}
	a.must(t, "/add")
	a.must(t, "/write", "path", "/kept", "bytes", "1000")
	a.must(t, "/write", "path", "/tmp/kept", "bytes", "1000")
	a.must(t, "/print", "text", "before")
	a.http.CloseIdleConnections()
	if err := box.(sandbox.Sleeper).Checkpoint(t.Context(), bed); err != nil {
		t.Fatal("sleep:", detail(err))
	}
	s.leftNothing(t, spec.ID)
	if exit := wait(t, box); exit.OutOfMemory {
		t.Errorf("exit %+v", exit)
	}
	woken, err := waker.Restore(t.Context(), bed)
	if err != nil {
		t.Fatal("wake:", detail(err))
	}
	t.Cleanup(func() { woken.Stop(t.Context(), 0) })
	b := awaitAgent(t, woken)
	if got := b.must(t, "/add"); got != "2" {
		t.Errorf("memory says %q", got)
	}
	if n := len(b.must(t, "/read", "path", "/kept")) + len(b.must(t, "/read", "path", "/tmp/kept")); n != 2000 {
		t.Errorf("the files hold %d bytes", n)
	}
	if info := woken.Info(); info.ID != spec.ID || !maps.Equal(info.Labels, spec.Labels) || info.LogDir != spec.LogDir {
		t.Errorf("woke as %+v", info)
	}
	b.must(t, "/print", "text", "after")
	eventually(t, "the journal goes on", func() bool {
		lines, err := journal.Last(spec.LogDir, 10, journal.Stdout)
		return err == nil && len(lines) == 2 && lines[0].Text == "before" && lines[1].Text == "after"
	})
	if _, err := os.Stat(bed); !os.IsNotExist(err) {
		t.Errorf("it could be woken again: %v", err)
	}
	if err := woken.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	s.leftNothing(t, spec.ID)
}
