package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

var processAttempts = []attempt{
	{"proc-scan", "find the canary in /proc/*/environ and /proc/*/cmdline", scanProcesses},
	{"signal", "signal a process of the host", signalHost},
	{"ptrace", "trace a process of the host", traceHost},
	{"process-memory", "read a process of the host by process_vm_readv and /proc/PID/mem", readHostMemory},
	{"pidfd", "take a descriptor from a process of the host", stealDescriptor},
	{"priority", "see or change the priority of a process of the host", touchPriority},
	{"sysv-memory", "attach a System V segment of the host", attachSegment},
	{"keyring", "read a key of the host's keyring", readKey},
	{"limits", "raise hard resource limits", raiseLimits},
}

func scanProcesses(t *Targets) (string, bool) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err.Error(), false
	}
	seen := 0
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		seen++
		for _, file := range []string{"/environ", "/cmdline"} {
			data, _ := os.ReadFile("/proc/" + e.Name() + file)
			if t.holdsCanary(data) {
				return "found it in /proc/" + e.Name() + file, true
			}
		}
	}
	return fmt.Sprintf("%d processes, none of the host's", seen), false
}

func signalHost(t *Targets) (string, bool) {
	if err := unix.Kill(t.PID, 0); err != nil {
		return err.Error(), false
	}
	return fmt.Sprintf("process %d is there", t.PID), t.isHosts(t.PID)
}

// isHosts tells the host's process from one of the sandbox that happens to have its number.
func (t *Targets) isHosts(pid int) bool {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return t.holdsCanary(data)
}

func traceHost(t *Targets) (string, bool) {
	runtime.LockOSThread() // the tracer is a thread
	defer runtime.UnlockOSThread()
	if err := unix.PtraceSeize(t.PID); err != nil {
		return "PTRACE_SEIZE: " + err.Error(), false
	}
	defer func() {
		unix.PtraceInterrupt(t.PID)
		unix.Wait4(t.PID, nil, unix.WALL, nil)
		unix.PtraceDetach(t.PID)
	}()
	return fmt.Sprintf("traces process %d", t.PID), t.isHosts(t.PID)
}

func readHostMemory(t *Targets) (string, bool) {
	buf := make([]byte, 64)
	local := []unix.Iovec{{Base: &buf[0], Len: uint64(len(buf))}}
	remote := []unix.RemoteIovec{{Base: uintptr(t.Address), Len: len(buf)}}
	_, err := unix.ProcessVMReadv(t.PID, local, remote, 0)
	if err == nil && t.holdsCanary(buf) {
		return "read its memory", true
	}
	mem, err2 := os.Open(fmt.Sprintf("/proc/%d/mem", t.PID))
	if err2 != nil {
		return fmt.Sprintf("process_vm_readv: %v; %v", err, err2), false
	}
	defer mem.Close()
	mem.ReadAt(buf, int64(t.Address))
	return fmt.Sprintf("process_vm_readv: %v; opened /proc/%d/mem", err, t.PID), t.holdsCanary(buf)
}

func stealDescriptor(t *Targets) (string, bool) {
	pidfd, err := unix.PidfdOpen(t.PID, 0)
	if err != nil {
		return "pidfd_open: " + err.Error(), false
	}
	defer unix.Close(pidfd)
	fd, err := unix.PidfdGetfd(pidfd, 0, 0)
	if err != nil {
		return "pidfd_getfd: " + err.Error(), false
	}
	unix.Close(fd)
	return "took its standard input", true
}

func touchPriority(t *Targets) (string, bool) {
	nice, err := unix.Getpriority(unix.PRIO_PROCESS, t.PID)
	if err != nil {
		return err.Error(), false
	}
	err = unix.Setpriority(unix.PRIO_PROCESS, t.PID, 20-nice) // what it is already
	return fmt.Sprintf("priority %d, set: %v", nice, err), err == nil && t.isHosts(t.PID)
}

func attachSegment(t *Targets) (string, bool) {
	id, err := unix.SysvShmGet(t.SHM, 64, 0)
	if err != nil {
		return "shmget: " + err.Error(), false
	}
	data, err := unix.SysvShmAttach(id, 0, unix.SHM_RDONLY)
	if err != nil {
		return "shmat: " + err.Error(), false
	}
	defer unix.SysvShmDetach(data)
	return "attached it", t.holdsCanary(data)
}

func readKey(t *Targets) (string, bool) {
	id, err := unix.KeyctlSearch(unix.KEY_SPEC_USER_KEYRING, "user", t.Key, 0)
	if err != nil {
		return "keyctl search: " + err.Error(), false
	}
	buf := make([]byte, 256)
	n, err := unix.KeyctlBuffer(unix.KEYCTL_READ, id, buf, 0)
	if err != nil {
		return "keyctl read: " + err.Error(), false
	}
	return "read the key", t.holdsCanary(buf[:min(n, len(buf))])
}

func raiseLimits(*Targets) (string, bool) {
	return firstOf([]int{unix.RLIMIT_NPROC, unix.RLIMIT_CORE, unix.RLIMIT_RTPRIO, unix.RLIMIT_NICE}, raiseLimit)
}

func raiseLimit(which int) (string, bool) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(which, &limit); err != nil {
		return err.Error(), false
	}
	if limit.Max == unix.RLIM_INFINITY {
		return fmt.Sprintf("limit %d is none", which), false
	}
	raised := unix.Rlimit{Cur: limit.Cur, Max: limit.Max + 1}
	if err := unix.Prlimit(0, which, &raised, nil); err != nil {
		return fmt.Sprintf("limit %d above %d: %v", which, limit.Max, err), false
	}
	return fmt.Sprintf("raised limit %d from %d", which, limit.Max), true
}

// clockStep is a change of the clock's frequency to what it is already: it needs the right to set
// the clock and changes nothing.
func clockStep() error {
	var tx unix.Timex
	if _, err := unix.Adjtimex(&tx); err != nil {
		return err
	}
	const adjFrequency = 2
	tx.Modes = adjFrequency
	_, err := unix.Adjtimex(&tx)
	return err
}

// pointer is the address of a value for a raw system call.
func pointer[T any](v *T) uintptr { return uintptr(unsafe.Pointer(v)) }

// soon bounds calls that a sandbox might leave hanging.
const soon = 3 * time.Second
