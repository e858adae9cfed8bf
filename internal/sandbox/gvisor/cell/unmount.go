package cell

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// startUnmounter starts the helper, which keeps the rights that this process is about to give up, and
// returns the descriptor through which the engine tells it to act. It is the engine's child, and reaped by it.
func startUnmounter() (door int, err error) {
	proc, err := unix.BytePtrFromString("/proc")
	if err != nil {
		return -1, err
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], 0); err != nil { // the door has to survive exec
		return -1, fail("open a pipe", err)
	}
	if errno := forkUnmounter(uintptr(pipe[0]), uintptr(pipe[1]), proc); errno != 0 {
		return -1, fail("start the helper that unmounts /proc", errno)
	}
	return pipe[1], fail("close a pipe", unix.Close(pipe[0]))
}

// forkUnmounter returns in the parent only. The child is the helper: it waits for a word and unmounts /proc. Without
// a word it leaves /proc alone: the engine is gone.
//
// The child is a copy of one thread of several, and starts no program of its own, which would first have to
// initialise itself: it makes system calls, and can nothing else.
//
//go:norace
//go:nosplit
//go:noinline
func forkUnmounter(word, door uintptr, proc *byte) unix.Errno {
	child, _, errno := unix.RawSyscall(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0)
	if errno != 0 || child != 0 {
		return errno
	}
	unix.RawSyscall(unix.SYS_CLOSE, door, 0, 0)
	var buf [1]byte
	status := uintptr(1)
	if n, _, _ := unix.RawSyscall(unix.SYS_READ, word, uintptr(unsafe.Pointer(&buf)), 1); n == 1 {
		if _, _, errno := unix.RawSyscall(unix.SYS_UMOUNT2, uintptr(unsafe.Pointer(proc)), unix.MNT_DETACH, 0); errno == 0 {
			status = 0
		}
	}
	for {
		unix.RawSyscall(unix.SYS_EXIT_GROUP, status, 0, 0)
	}
}
