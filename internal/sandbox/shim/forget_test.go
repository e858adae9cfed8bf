package shim

import (
	"log/slog"
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/moorage-dev/moorage/internal/sandbox"
)

// TestForget_keepsNothing holds a shim to its size: it lives for as long as there are sandboxes, and
// may have had thousands.
func TestForget_keepsNothing(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	d, err := openDrivers(t.TempDir(), "test", log)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	if d.isolation() == sandbox.None {
		t.Skip("needs root")
	}
	s := newServer(d, log)
	defer s.idle.Stop()
	forgotten := lived(t, s)
	for deadline := time.Now().Add(patience); forgotten.Value() != nil; runtime.GC() {
		if time.Now().After(deadline) {
			t.Fatal("a sandbox that ended and was forgotten is still in memory")
		}
	}
}

// lived runs a sandbox to its end, has it forgotten, and returns what was known of it.
func lived(t *testing.T, s *server) weak.Pointer[record] {
	t.Helper()
	asked := spec(t)
	if _, err := s.host(asked.ID, func() (hosted, error) { return s.drivers.create(t.Context(), asked) }); err != nil {
		t.Fatal(err)
	}
	r, err := s.record(asked.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.sandbox.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	<-r.ended
	s.forget(asked.ID)
	return weak.Make(r)
}
