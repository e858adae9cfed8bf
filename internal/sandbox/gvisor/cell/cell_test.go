package cell

import (
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestEnter_saysWhatItMayNotDo starts this program as an engine is started, but without the rights.
func TestEnter_saysWhatItMayNotDo(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become nobody")
	}
	said, log, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	cmd := exec.Command(self, "--log-fd=3", "boot", setupRoot, "id")
	cmd.Args[0] = "runsc-sandbox"
	cmd.ExtraFiles = []*os.File{log}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	runErr := cmd.Run()
	log.Close()
	words, err := io.ReadAll(said)
	if err != nil || cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 128 {
		t.Errorf("%v, %v; want exit status 128", runErr, err)
	}
	if want := "keep mounts private: operation not permitted"; !strings.Contains(string(words), want) {
		t.Errorf("it said %q, want %q", words, want)
	}
}

func TestSecondLife_makesNoRoot(t *testing.T) {
	first := []string{"runsc-sandbox", "--root=/x", "boot", "--bundle=/b", setupRoot, "--attached", "id"}
	want := []string{"runsc-sandbox", "--root=/x", "boot", "--a=b", "--bundle=/b", "--attached", "id"}
	got := secondLife(first, []string{"--a=b"})
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if !isFirstLife(first) || isFirstLife(got) {
		t.Error("a first life must be told from a second")
	}
}

// TestUnmounter_endsWithAnEngineThatSaidNothing closes the door as the end of an engine does. It must never knock: the helper
// would unmount this machine's /proc.
func TestUnmounter_endsWithAnEngineThatSaidNothing(t *testing.T) {
	door, err := startUnmounter()
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Close(door); err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(-1, &status, 0, nil); err != nil || status.ExitStatus() != 1 {
		t.Errorf("the helper ended with %d, %v; want 1", status.ExitStatus(), err)
	}
}
