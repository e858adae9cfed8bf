// Package sandboxtest is the conformance suite of sandbox drivers: each promise of package
// sandbox, kept by a real agent in a real sandbox.
package sandboxtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
)

// patience is how long anything may take on a machine that is busy with other tests.
const patience = 20 * time.Second

// Fixture says what the driver under test runs.
type Fixture struct {
	Root  sandbox.Root
	Agent string // path of the test agent as the sandbox sees it

	// Shared marks a driver that isolates nothing: what only isolation can hold is not asked of it.
	Shared bool

	// StateDir is where the driver keeps state; nothing of a sandbox may be left in it.
	StateDir string
}

// Run holds a driver to its promises. The driver must have no sandboxes yet; Run closes it.
func Run(t *testing.T, d sandbox.Driver, f Fixture) {
	s := suite{driver: d, fixture: f}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error("close the driver:", err)
		}
	})
	for _, test := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"AnswersUntilItIsStopped", s.answersUntilStopped},
		{"TheSameIDTwiceIsAConflict", s.sameID},
		{"RefusesSpecsThatMakeNoSense", s.badSpecs},
		{"ExitCodeAndLastWordsAreKept", s.exitCode},
		{"ASignalIsNamed", s.signal},
		{"ACommandThatIsNotThereFailsCreate", s.noCommand},
		{"ACancelledCreateLeavesNothing", s.cancelledCreate},
		{"DialFailsAtOnceWhereNothingListens", s.neverBinds},
		{"StopKillsWhoIgnoresSIGTERM", s.ignoresTerm},
		{"StopWithoutGraceKillsAtOnce", s.noGrace},
		{"WaitGivesUpWithItsContext", s.waitContext},
		{"ExecCarriesAllThreeStreams", s.exec},
		{"ExecIsKilled", s.execKill},
		{"ExecOnATerminal", s.execTerminal},
		{"ExecWaitsForASlowReader", s.execSlowReader},
		{"EnvironmentIsTheSpecsAlone", s.environment},
		{"OutOfMemoryIsToldAndNeighboursLive", s.outOfMemory},
		{"AForkBombIsBounded", s.forkBomb},
		{"AFloodOfOutputIsBounded", s.flood},
		{"WritesAreBounded", s.fillsDisk},
		{"TheUserIsWhoTheSpecSays", s.user},
		{"NothingOfTheHostIsInside", s.isolation},
		{"MountsReachTheHostAndOnlyAsAllowed", s.mounts},
		{"StatsCount", s.stats},
		{"ManyAtOnce", s.manyAtOnce},
		{"LabelsAreReplaced", s.relabel},
		{"APausedSandboxUsesNoProcessorAndKeepsItsMemory", s.pause},
		{"APausedSandboxTakesNoConnectionAndNoCommand", s.pausedRefuses},
		{"AnOpenConnectionOutlivesAPause", s.pauseHoldsConnections},
		{"StopEndsAPausedSandbox", s.stopPaused},
		{"PausesAndResumesAtOnceDoNotMix", s.pauseRaces},
		{"WhatSleepsWakesAsItWas", s.sleep},
		{"ClonesOfOneMomentAreApart", s.clonesAreApart},
		{"APreparedSandboxBecomesAClone", s.preparedBecomesAClone},
		{"ADamagedSnapshotMakesNoClone", s.clonesOfADamagedSnapshot},
		{"ClonesShareNoMount", s.clonesShareNoMount},
	} {
		t.Run(test.name, test.run)
	}
	if left, err := d.List(t.Context()); err != nil || len(left) > 0 {
		t.Errorf("%d sandboxes are left, %v", len(left), err)
	}
}

type suite struct {
	driver  sandbox.Driver
	fixture Fixture
}

// spec is a sandbox of the test agent in a mode.
func (s suite) spec(t *testing.T, args ...string) sandbox.Spec {
	return sandbox.Spec{
		ID:      sandbox.NewID(),
		Root:    s.fixture.Root,
		Process: sandbox.ProcessSpec{Args: append([]string{s.fixture.Agent}, args...)},
		LogDir:  filepath.Join(t.TempDir(), "log"),
	}
}

// start creates a sandbox that is stopped, and proved to have left nothing, when the test ends.
func (s suite) start(t *testing.T, spec sandbox.Spec) sandbox.Sandbox {
	t.Helper()
	box, err := s.driver.Create(t.Context(), spec)
	if err != nil {
		t.Fatal("create:", detail(err))
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := box.Stop(ctx, 0); err != nil {
			t.Error("stop:", err)
		}
		s.leftNothing(t, spec.ID)
	})
	return box
}

// detail prints an error with the cause that callers are not shown.
func detail(err error) string {
	var coded *moorage.Error
	if errors.As(err, &coded) && coded.Err != nil {
		return fmt.Sprintf("%v (cause: %v)", err, coded.Err)
	}
	return fmt.Sprint(err)
}

// leftNothing looks for a sandbox's id, which is unlike anything else, in all that it could leave.
func (s suite) leftNothing(t *testing.T, id string) {
	t.Helper()
	processes, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range processes {
		if b, _ := os.ReadFile(path); bytes.Contains(b, []byte(id)) {
			t.Errorf("a process is left: %q", b)
		}
	}
	if b, _ := os.ReadFile("/proc/self/mountinfo"); bytes.Contains(b, []byte(id)) {
		t.Error("a mount is left")
	}
	for _, pattern := range []string{"/sys/fs/cgroup/moorage/*/", "/sys/fs/cgroup/*/moorage/*/"} {
		if groups, _ := filepath.Glob(pattern + id); len(groups) > 0 {
			t.Errorf("control groups are left: %v", groups)
		}
	}
	filepath.WalkDir(s.fixture.StateDir, func(path string, _ fs.DirEntry, _ error) error {
		if strings.Contains(filepath.Base(path), id) {
			t.Errorf("a file is left: %s", path)
		}
		return nil
	})
}
