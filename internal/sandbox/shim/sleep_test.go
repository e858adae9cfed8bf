package shim

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"golang.org/x/sys/unix"
)

func checkpoint(t *testing.T, box sandbox.Sandbox, dir string) {
	t.Helper()
	if err := box.(sandbox.Sleeper).Checkpoint(t.Context(), dir); err != nil {
		t.Fatal("sleep: ", err)
	}
}

func restore(t *testing.T, c *Client, dir string) sandbox.Sandbox {
	t.Helper()
	box, err := c.Restore(t.Context(), dir)
	if err != nil {
		t.Fatal("wake: ", err)
	}
	return box
}

func TestSleep_freesTheIdAndEveryProcess(t *testing.T) {
	dir := t.TempDir()
	c := openIn(t, dir)
	asked := spec(t)
	asked.Labels = map[string]string{"session": "s1"}
	box := create(t, c, asked)
	awaitAgent(t, box)
	bed := filepath.Join(dir, "sleep", "s1")
	checkpoint(t, box, bed)
	if left := processesOf(asked.ID); len(left) != 0 {
		t.Errorf("processes are left: %v", left)
	}
	if list, err := c.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("list %v, %v", list, err)
	}
	if exit := wait(t, box); exit.Cause == "" {
		t.Errorf("exit %+v", exit)
	}
	woken := restore(t, c, bed)
	if info := woken.Info(); info.ID != asked.ID || info.Labels["session"] != "s1" {
		t.Errorf("woke as %+v", info)
	}
	if err := ping(woken); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(bed); !os.IsNotExist(err) {
		t.Errorf("the snapshot is still there: %v", err)
	}
	if err := woken.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
}

func TestSleep_survivesTheShimAndTheServer(t *testing.T) {
	dir := t.TempDir()
	first := openIn(t, dir)
	box := create(t, first, spec(t))
	awaitAgent(t, box)
	bed := filepath.Join(dir, "sleep", "s1")
	checkpoint(t, box, bed)
	pid := shimPID(t, first.current)
	first.Close()
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the shim is gone", func() bool { return unix.Kill(pid, 0) == unix.ESRCH || isZombie(pid) })

	if err := ping(restore(t, openIn(t, dir), bed)); err != nil {
		t.Fatal(err)
	}
}

func TestUpgrade_wakesSleepersOnTheEngineThatFrozeThem(t *testing.T) {
	dir := t.TempDir()
	before := openIn(t, dir)
	box := create(t, before, spec(t))
	awaitAgent(t, box)
	engine := box.Info().Engine
	bed := filepath.Join(dir, "sleep", "s1")
	checkpoint(t, box, bed)
	pid := shimPID(t, before.current)
	before.Close()
	eventually(t, "the old shim left", func() bool { return unix.Kill(pid, 0) == unix.ESRCH || isZombie(pid) })

	after, err := Open(t.Context(), Options{Dir: dir, Executable: newBuild(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer after.Close()
	woken := restore(t, after, bed)
	if err := ping(woken); err != nil {
		t.Fatal(err)
	}
	if got := woken.Info().Engine; got != engine {
		t.Errorf("woke on %s, fell asleep on %s", got, engine)
	}
	checkpoint(t, woken, bed) // and sleeps again, on the same
	woken = restore(t, after, bed)
	if err := woken.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the old build is swept", func() bool { after.sweep(); _, err := os.Stat(before.current); return os.IsNotExist(err) })
}

func TestRestore_saysWhenTheEngineIsGone(t *testing.T) {
	dir := t.TempDir()
	before := openIn(t, dir)
	box := create(t, before, spec(t))
	awaitAgent(t, box)
	elsewhere := filepath.Join(t.TempDir(), "s1") // where no sweep looks
	checkpoint(t, box, elsewhere)
	pid := shimPID(t, before.current)
	before.Close()
	eventually(t, "the old shim left", func() bool { return unix.Kill(pid, 0) == unix.ESRCH || isZombie(pid) })

	after, err := Open(t.Context(), Options{Dir: dir, Executable: newBuild(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer after.Close()
	if _, err := after.Restore(t.Context(), elsewhere); moorage.CodeOf(err) != moorage.Conflict {
		t.Errorf("got %v", err)
	}
}

// A server that was killed while it woke a sandbox asks again, or finds it.
func TestRestore_twiceIsTheSameSandbox(t *testing.T) {
	dir := t.TempDir()
	c := openIn(t, dir)
	asked := spec(t)
	box := create(t, c, asked)
	awaitAgent(t, box)
	bed := filepath.Join(dir, "sleep", "s1")
	checkpoint(t, box, bed)
	request := request{Op: opWake, ID: asked.ID, Dir: bed}
	answers := make(chan error, 2)
	for range cap(answers) {
		go func() {
			_, err := c.onBuild(t.Context(), filepath.Base(c.current), request)
			answers <- err
		}()
	}
	for range cap(answers) {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	found, err := c.Lookup(t.Context(), asked.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := ping(found); err != nil {
		t.Error(err)
	}
	if list, err := c.List(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("list %v, %v", list, err)
	}
}
