package invoke_test

import (
	"strings"
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/invoke"
)

// run runs a command and returns what it wrote and how it ended.
func (d *door) run(t *testing.T, text string, timeout time.Duration) (stdout, stderr string, result *invoke.CommandResult, err error) {
	t.Helper()
	c, err := d.Command(t.Context(), address(), text, timeout)
	if err != nil {
		t.Fatal(err)
	}
	started := false
	for e, failure := range c.Run(t.Context()) {
		started = started || e.Started
		stdout, stderr, result, err = stdout+e.Stdout, stderr+e.Stderr, e.Result, failure
	}
	if !started {
		t.Error("the command did not say that it started")
	}
	return stdout, stderr, result, err
}

func TestCommand_streamsApartAndTheExitCode(t *testing.T) {
	d := newDoor(t)
	stdout, stderr, result, err := d.run(t, "echo 'out 漢'; echo err >&2; printf '\\xe6'; exit 3", 0)
	if err != nil || result == nil || result.Code != 3 || result.TimedOut {
		t.Fatalf("ended with %+v, %v", result, err)
	}
	if !strings.HasPrefix(stdout, "out 漢\n") || len(stdout) != len("out 漢\n")+1 || stderr != "err\n" {
		t.Errorf("stdout %q, stderr %q", stdout, stderr)
	}
	d.idle(t)
}

func TestCommand_outOfTime(t *testing.T) {
	d := newDoor(t)
	stdout, _, result, err := d.run(t, "echo begun; while :; do :; done", time.Second)
	if err != nil || result == nil || !result.TimedOut || stdout != "begun\n" {
		t.Errorf("%q and %+v, %v", stdout, result, err)
	}
}

func TestCommand_largeOutputComesWhole(t *testing.T) {
	d := newDoor(t)
	stdout, _, result, err := d.run(t, "for i in {1..20000}; do echo 0123456789; done", 0)
	if err != nil || result == nil || result.Code != 0 || len(stdout) != 220_000 {
		t.Errorf("%d bytes, %+v, %v", len(stdout), result, err)
	}
}

func TestCommand_callerWhoLeavesKillsIt(t *testing.T) {
	d := newDoor(t)
	c, err := d.Command(t.Context(), address(), "echo begun; while :; do :; done", 0)
	if err != nil {
		t.Fatal(err)
	}
	for e := range c.Run(t.Context()) {
		if e.Stdout != "" {
			break
		}
	}
	d.idle(t)
}

func TestCommand_inASessionThatIsStopped(t *testing.T) {
	d := newDoor(t)
	c, err := d.Command(t.Context(), address(), "echo begun; while :; do :; done", 0)
	if err != nil {
		t.Fatal(err)
	}
	var last error
	for e, err := range c.Run(t.Context()) {
		last = err
		if e.Stdout != "" {
			if err := d.Stop(t.Context(), address()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if moorage.CodeOf(last) != moorage.AgentFailed || !strings.Contains(last.Error(), "stopped") {
		t.Errorf("the command ends with %v", last)
	}
}
