package main

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

var kernelAttempts = []attempt{
	{"kernel-identity", "find that the kernel is the host's", compareKernel},
	{"kernel-log", "read the host's kernel log", readKernelLog},
	{"kernel-module", "load a kernel module", loadModule},
	{"kexec", "load another kernel, or restart the machine", loadKernel},
	{"bpf", "load a program into the kernel", useBPF},
	{"perf", "watch the host by performance counters", watchCounters},
	{"userfaultfd", "stop the kernel in page faults", userFault},
	{"io-uring", "reach the kernel by io_uring", ring},
	{"io-ports", "reach the machine's I/O ports", ioPorts},
	{"clock", "set the clock", func(*Targets) (string, bool) { return rightTo("adjtimex", clockStep()) }},
	{"hostname", "set the host's name", setHostName},
	{"fanotify", "watch file access of the whole system", watchFiles},
	{"accounting", "turn process accounting on", turnAccountingOn},
}

// rightTo judges a call that changes nothing where it succeeds.
func rightTo(call string, err error) (string, bool) {
	if err != nil {
		return call + ": " + err.Error(), false
	}
	return call + " succeeded", true
}

func compareKernel(t *Targets) (string, bool) {
	release, boot := kernel()
	if boot == t.BootID {
		return "the host's boot id", true
	}
	return fmt.Sprintf("release %q, the host has %q", release, t.Release), release == t.Release
}

func kernel() (release, boot string) {
	var name unix.Utsname
	unix.Uname(&name)
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return unix.ByteSliceToString(name.Release[:]), hash(id)
}

// onHostKernel tells device files and sockets of the host from those that a kernel of the
// sandbox's own makes up.
func (t *Targets) onHostKernel() bool {
	_, same := compareKernel(t)
	return same
}

func readKernelLog(t *Targets) (string, bool) {
	const readAll = 3
	buf := make([]byte, 4<<20)
	n, err := unix.Klogctl(readAll, buf)
	if err != nil {
		return err.Error(), false
	}
	return fmt.Sprintf("%d bytes", n), t.holdsCanary(buf[:n])
}

// refused reports whether a call was turned away before anybody looked at its arguments.
func refused(errno unix.Errno) bool {
	return errno == unix.EPERM || errno == unix.ENOSYS || errno == unix.EACCES || errno == unix.EOPNOTSUPP
}

// loadModule offers something that is no module: who has the right is told so.
func loadModule(*Targets) (string, bool) {
	image, params := []byte("not a module"), byte(0)
	_, _, errno := unix.Syscall(unix.SYS_INIT_MODULE, pointer(&image[0]), uintptr(len(image)), pointer(&params))
	return "init_module: " + errno.Error(), !refused(errno)
}

// loadKernel passes more segments than any kernel takes.
func loadKernel(*Targets) (string, bool) {
	_, _, errno := unix.Syscall6(unix.SYS_KEXEC_LOAD, 0, 1<<20, 0, 0, 0, 0)
	_, _, restart := unix.Syscall6(unix.SYS_REBOOT, unix.LINUX_REBOOT_MAGIC1, unix.LINUX_REBOOT_MAGIC2, 0xdeadbeef, 0, 0, 0)
	return fmt.Sprintf("kexec_load: %v; reboot: %v", errno, restart), !refused(errno) || !refused(restart)
}

func useBPF(*Targets) (string, bool) {
	const mapCreate = 0
	attr := struct{ kind, key, value, entries, flags uint32 }{2, 4, 4, 1, 0} // an array of one
	fd, _, errno := unix.Syscall(unix.SYS_BPF, mapCreate, pointer(&attr), 20)
	return descriptor("bpf", fd, errno)
}

func descriptor(call string, fd uintptr, errno unix.Errno) (string, bool) {
	if errno != 0 {
		return call + ": " + errno.Error(), false
	}
	unix.Close(int(fd))
	return call + " gave a descriptor", true
}

func watchCounters(*Targets) (string, bool) {
	attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Size: uint32(unix.PERF_ATTR_SIZE_VER1), Config: unix.PERF_COUNT_SW_CPU_CLOCK}
	fd, err := unix.PerfEventOpen(&attr, -1, 0, -1, unix.PERF_FLAG_FD_CLOEXEC) // everybody on the first processor
	if err != nil {
		return "perf_event_open: " + err.Error(), false
	}
	unix.Close(fd)
	return "watches a processor", true
}

func userFault(*Targets) (string, bool) {
	fd, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC, 0, 0)
	return descriptor("userfaultfd", fd, errno)
}

func ring(*Targets) (string, bool) {
	var params [120]byte // struct io_uring_params
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, pointer(&params), 0)
	return descriptor("io_uring_setup", fd, errno)
}

func ioPorts(*Targets) (string, bool) {
	if runtime.GOARCH != "amd64" {
		return "this architecture has none", false
	}
	runtime.LockOSThread() // never unlocked: the right would stay with the thread, which ends instead
	const ioperm = 173
	_, _, errno := unix.Syscall(ioperm, 0x80, 1, 1)
	return "ioperm: " + errno.Error(), errno == 0
}

// setHostName sets the name that is set.
func setHostName(*Targets) (string, bool) {
	name, err := os.Hostname()
	if err != nil {
		return err.Error(), false
	}
	return rightTo("sethostname", unix.Sethostname([]byte(name)))
}

func watchFiles(*Targets) (string, bool) {
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_CONTENT|unix.FAN_CLOEXEC, unix.O_RDONLY)
	if err != nil {
		return "fanotify_init: " + err.Error(), false
	}
	unix.Close(fd)
	return "watches", true
}

// turnAccountingOn names a directory: who has the right is told so.
func turnAccountingOn(*Targets) (string, bool) {
	name, err := unix.BytePtrFromString("/")
	if err != nil {
		return err.Error(), false
	}
	_, _, errno := unix.Syscall(unix.SYS_ACCT, pointer(name), 0, 0)
	return "acct: " + errno.Error(), !refused(errno)
}
