package cell

import (
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// unmounter is the command line of the helper that unmounts /proc: the engine, which may not any more
// by then, lets it know when. The form is gVisor's.
var unmounter = []string{self, "umount", "--sync-fd=3", "/proc"}

func isUnmounter(args []string) bool { return slices.Equal(args, unmounter) }

// startUnmounter starts the helper, which keeps the rights that this process is about to give up, and
// returns the descriptor through which the engine tells it to act. It is the engine's child, and reaped by it.
func startUnmounter() (door int, err error) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return -1, fail("open a pipe", err)
	}
	files := []uintptr{0, 1, 2, uintptr(pipe[0])}
	if _, err := syscall.ForkExec(self, unmounter, &syscall.ProcAttr{Files: files}); err != nil {
		return -1, fail("start the helper that unmounts /proc", err)
	}
	unix.Close(pipe[0])
	_, err = unix.FcntlInt(uintptr(pipe[1]), unix.F_SETFD, 0) // it has to survive exec
	return pipe[1], fail("keep a pipe", err)
}

// unmountWhenTold is the helper. Without a word it leaves /proc alone: the engine is gone.
func unmountWhenTold() error {
	var word [1]byte
	n, err := unix.Read(3, word[:])
	if err != nil {
		return fail("wait for the engine", err)
	}
	if n == 0 {
		return os.ErrClosed
	}
	return fail("unmount /proc", unix.Unmount("/proc", unix.MNT_DETACH))
}
