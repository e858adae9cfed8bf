package gvisor

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/moorage-dev/moorage/internal/sandbox"
)

// cloned starts a clone of what sleeps, which ends with the test, and returns what it counts to next.
func (s *sleeper) cloned() string {
	s.t.Helper()
	box, err := s.d.Clone(s.t.Context(), s.dir, sandbox.CloneSpec{ID: sandbox.NewID(), LogDir: filepath.Join(s.t.TempDir(), "log")})
	if err != nil {
		s.t.Fatal("clone: ", err)
	}
	s.t.Cleanup(func() { box.Stop(context.Background(), 0) })
	return (&sleeper{t: s.t, box: box}).ask("/add")
}

// A clone is of what is there, not of what was in the same place before.
func TestClone_ofALaterSnapshotIsOfTheLaterMoment(t *testing.T) {
	s := newSleeper(t, sandbox.Network{})
	s.ask("/add")
	s.sleep()
	for range 2 {
		if got := s.cloned(); got != "2" {
			t.Errorf("a clone counts to %s", got)
		}
	}
	s.wake()
	s.ask("/add")
	s.sleep()
	if got := s.cloned(); got != "3" {
		t.Errorf("a clone of the later moment counts to %s", got)
	}
}
