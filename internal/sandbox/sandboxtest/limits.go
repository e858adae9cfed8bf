package sandboxtest

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moorage-dev/moorage/internal/sandbox/journal"
)

// neighbour is a sandbox beside one that misbehaves; it must go on answering.
func (s suite) neighbour(t *testing.T) agent {
	t.Helper()
	return awaitAgent(t, s.start(t, s.spec(t)))
}

func (s suite) outOfMemory(t *testing.T) {
	spec := s.spec(t, "allocate")
	spec.Limits.MemoryBytes = 128 << 20
	neighbour := s.neighbour(t)
	box := s.start(t, spec)
	if slices.Contains(box.Info().Unenforced, "memory") {
		box.Stop(t.Context(), 0)
		t.Skip("this machine's control groups for memory cannot be written")
	}
	if exit := wait(t, box); !exit.OutOfMemory || exit.Cause != "ran out of memory: the limit is 128 MiB" {
		t.Errorf("exit %+v", exit)
	}
	neighbour.must(t, "/ping")
}

func (s suite) forkBomb(t *testing.T) {
	spec := s.spec(t)
	spec.Limits.PIDs = 64
	neighbour := s.neighbour(t)
	box := s.start(t, spec)
	if slices.Contains(box.Info().Unenforced, "pids") {
		t.Skip("this machine's control groups for processes cannot be written")
	}
	out := awaitAgent(t, box).must(t, "/fork", "n", "500")
	count, why, _ := strings.Cut(out, " ")
	if n, _ := strconv.Atoi(count); n == 0 || n > 64 || why != "resource temporarily unavailable" {
		t.Errorf("%s processes started, then: %s", count, why)
	}
	neighbour.must(t, "/ping")
}

func (s suite) flood(t *testing.T) {
	spec := s.spec(t, "flood", "100")
	spec.Limits.JournalBytes = 1 << 20
	neighbour := s.neighbour(t)
	box := s.start(t, spec)
	var slowest time.Duration
	eventually(t, "the flood is over", func() bool {
		began := time.Now()
		neighbour.must(t, "/ping")
		slowest = max(slowest, time.Since(began))
		return lastLine(t, box, journal.Stdout) == "flood over"
	})
	t.Logf("the neighbour's slowest answer meanwhile took %v", slowest)
	if slowest > 2*time.Second {
		t.Errorf("the neighbour waited %v for an answer", slowest)
	}
	var size int64
	files, _ := os.ReadDir(spec.LogDir)
	for _, f := range files {
		if info, err := f.Info(); err == nil {
			size += info.Size()
		}
	}
	if size > spec.Limits.JournalBytes+journal.MaxLine {
		t.Errorf("the journal takes %d bytes, its bound is %d", size, spec.Limits.JournalBytes)
	}
}

func (s suite) fillsDisk(t *testing.T) {
	s.isolatedOnly(t)
	spec := s.spec(t)
	spec.Limits.OverlayBytes = 16 << 20
	a := awaitAgent(t, s.start(t, spec))
	for _, path := range []string{"/big", "/tmp/big", "/dev/shm/big"} {
		a.must(t, "/write", "path", path+".small", "bytes", "1000")
		if _, err := a.get("/write", "path", path, "bytes", strconv.Itoa(32<<20)); err == nil || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("%s: 32 MiB written into 16: %v", path, err)
		}
	}
	a.must(t, "/ping")
}
