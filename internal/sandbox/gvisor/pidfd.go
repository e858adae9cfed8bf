package gvisor

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openPidfd returns a descriptor of a process that never comes to mean another one, and that Go's
// poller can wait on.
func openPidfd(pid int) (*os.File, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("open process %d: %w", pid, err)
	}
	return os.NewFile(uintptr(fd), "pidfd"), nil
}

// awaitDeath blocks, without a thread, until the process behind the descriptor ended. It leaves the
// process to be reaped, so that its number cannot be taken by another until then.
func awaitDeath(pidfd *os.File) error {
	raw, err := pidfd.SyscallConn()
	if err != nil {
		return err
	}
	var waitErr error
	err = raw.Read(func(fd uintptr) bool {
		var info unix.Siginfo
		waitErr = unix.Waitid(unix.P_PIDFD, int(fd), &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
		return waitErr != unix.EAGAIN && (waitErr != nil || info.Signo != 0)
	})
	if err != nil {
		return err
	}
	return waitErr
}

// killProcess kills the process behind the descriptor; one that ended already is no error.
func killProcess(pidfd *os.File) error {
	raw, err := pidfd.SyscallConn()
	if err != nil {
		return err
	}
	var killErr error
	if err := raw.Control(func(fd uintptr) { killErr = unix.PidfdSendSignal(int(fd), unix.SIGKILL, nil, 0) }); err != nil {
		return err
	}
	if killErr == unix.ESRCH {
		return nil
	}
	return killErr
}
