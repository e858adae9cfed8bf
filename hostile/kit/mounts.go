package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

var mountAttempts = []attempt{
	{"mount", "mount a file system", mountDirectly},
	{"mount-api", "mount by fsopen, open_tree and move_mount", mountByDescriptor},
	{"pivot-root", "exchange the root directory", pivotRoot},
	{"user-namespace", "mount /proc, /sys, devices and disks as root of a user namespace, and look for the host", mountAsOwnRoot},
	{"join-namespace", "join namespaces of process 1 and of the host's process", joinNamespaces},
	{"cgroup-release", "let the host run a program by a control group's release_agent", openReleaseAgent},
	{"cgroup-write", "change a control group", writeControlGroup},
	{"sys-write", "open settings of the host's kernel in /sys for writing", writeSys},
	{"core-pattern", "open the host's core_pattern, modprobe path and others in /proc/sys for writing", writeProcSys},
	{"swap", "add swap space, or set quotas", addSwap},
}

func mountDirectly(*Targets) (string, bool) {
	dir, err := os.MkdirTemp("", "mount")
	if err != nil {
		return err.Error(), false
	}
	defer os.Remove(dir)
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
		return "mount: " + err.Error(), false
	}
	unix.Unmount(dir, unix.MNT_DETACH)
	return "mounted a tmpfs", true
}

func mountByDescriptor(*Targets) (string, bool) {
	fd, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err == nil {
		unix.Close(fd)
		return "fsopen gave a descriptor", true
	}
	tree, errTree := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if errTree == nil {
		unix.Close(tree)
		return "open_tree cloned a mount", true
	}
	return fmt.Sprintf("fsopen: %v; open_tree: %v", err, errTree), false
}

// pivotRoot names a directory that is no mount: who has the right is told EINVAL, who has not EPERM.
func pivotRoot(*Targets) (string, bool) {
	err := unix.PivotRoot(os.TempDir(), os.TempDir())
	return "pivot_root: " + err.Error(), err != unix.EPERM && err != unix.ENOSYS && err != unix.EACCES
}

func mountAsOwnRoot(t *Targets) (string, bool) {
	return runWithin(t, syscall.CLONE_NEWUSER|syscall.CLONE_NEWNS, "mounts")
}

// runWithin runs one attempt in a child process with namespaces of its own.
func runWithin(t *Targets, namespaces uintptr, name string) (string, bool) {
	targets, err := json.Marshal(t)
	if err != nil {
		return err.Error(), false
	}
	cmd := exec.Command("/proc/self/exe", "within", name)
	cmd.Stdin = bytes.NewReader(targets)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces}
	if namespaces&syscall.CLONE_NEWUSER != 0 {
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.Output()
	if err != nil {
		return "namespaces: " + err.Error(), false
	}
	var f Finding
	if err := json.Unmarshal(out, &f); err != nil {
		return "no answer: " + err.Error(), false
	}
	return f.Evidence, f.Outcome == escaped
}

// within is the child of runWithin.
func within(name string) {
	var t Targets
	json.NewDecoder(os.Stdin).Decode(&t)
	try := map[string]func(*Targets) (string, bool){"mounts": mountEverything, "chroot": chrootOut}[name]
	json.NewEncoder(os.Stdout).Encode(attempt{name: name, try: try}.finding(&t))
}

// mountEverything looks for the host in all that a kernel lets root of a user namespace mount.
// Mounts of the sandbox's own kernel are no escape; what they show could be.
func mountEverything(t *Targets) (string, bool) {
	unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") // nothing of this goes back
	dir, err := os.MkdirTemp("", "own")
	if err != nil {
		return err.Error(), false
	}
	var seen []string
	for _, kind := range []string{"proc", "sysfs", "devtmpfs", "cgroup", "cgroup2", "tmpfs", "overlay", "fuse", "9p", "bind"} {
		evidence, out := t.mountKind(kind, dir)
		if out {
			return evidence, true
		}
		seen = append(seen, evidence)
	}
	disk := filepath.Join(dir, "disk")
	if err := unix.Mknod(disk, unix.S_IFBLK|0o600, int(unix.Mkdev(uint32(t.Disk[0]), uint32(t.Disk[1])))); err != nil {
		return strings.Join(append(seen, "mknod: "+err.Error()), ", "), false
	}
	evidence, out := readSome(disk)
	return strings.Join(append(seen, evidence), ", "), out
}

func (t *Targets) mountKind(kind, dir string) (string, bool) {
	point := filepath.Join(dir, kind)
	os.Mkdir(point, 0o755)
	var err error
	if kind == "bind" {
		err = unix.Mount("/", point, "", unix.MS_BIND|unix.MS_REC, "")
	} else {
		err = unix.Mount(kind, point, kind, 0, "")
	}
	if err != nil {
		return kind + ": " + err.Error(), false
	}
	if evidence, out := firstOf(t.Files, func(path string) (string, bool) { return t.readCanary(point + path) }); out {
		return kind + ": " + evidence, true
	}
	for _, file := range []string{"/cmdline", "/environ"} {
		data, _ := os.ReadFile(fmt.Sprintf("%s/%d%s", point, t.PID, file))
		if t.holdsCanary(data) {
			return kind + " shows the host's processes", true
		}
	}
	if agents, _ := filepath.Glob(point + "/release_agent"); len(agents) > 0 && openForWriting(agents[0]) == nil {
		return kind + ": release_agent can be written", true
	}
	return kind + " mounted, nothing of the host", false
}

func openForWriting(path string) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return unix.Close(fd)
}

func joinNamespaces(t *Targets) (string, bool) {
	var paths []string
	for _, kind := range []string{"mnt", "net", "pid", "uts", "ipc", "cgroup"} {
		paths = append(paths, fmt.Sprintf("/proc/%d/ns/%s", t.PID, kind))
	}
	return firstOf(paths, func(path string) (string, bool) {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err.Error(), false
		}
		defer unix.Close(fd)
		return "holds " + path, t.isHosts(t.PID)
	})
}

func openReleaseAgent(*Targets) (string, bool) {
	return openOneOf("/sys/fs/cgroup/release_agent", "/sys/fs/cgroup/*/release_agent")
}

func writeControlGroup(*Targets) (string, bool) {
	return openOneOf("/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/*/cgroup.procs", "/sys/fs/cgroup/*/tasks", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
}

func writeSys(*Targets) (string, bool) {
	return openOneOf("/sys/kernel/uevent_helper", "/sys/power/state", "/sys/kernel/mm/*/*", "/sys/module/*/parameters/*", "/sys/fs/*/*", "/sys/class/net/*/*", "/sys/block/*/queue/*")
}

// writeProcSys counts only settings of the host's kernel: one of the sandbox's own has some too.
func writeProcSys(t *Targets) (string, bool) {
	evidence, opened := openOneOf("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/poweroff_cmd",
		"/proc/sys/kernel/randomize_va_space", "/proc/sys/kernel/yama/ptrace_scope", "/proc/sys/vm/*", "/proc/sys/fs/binfmt_misc/register", "/proc/irq/*/smp_affinity", "/proc/sysrq-trigger")
	return evidence, opened && t.onHostKernel()
}

// openOneOf opens files for writing, and writes nothing.
func openOneOf(patterns ...string) (string, bool) {
	return firstOf(patterns, func(pattern string) (string, bool) {
		paths, _ := filepath.Glob(pattern)
		if len(paths) == 0 {
			return pattern + ": none", false
		}
		return firstOf(paths, func(path string) (string, bool) {
			if err := openForWriting(path); err != nil {
				return err.Error(), false
			}
			return "opened " + path + " for writing", true
		})
	})
}

// addSwap names a file that is no swap space: who has the right is told so, who has not EPERM.
func addSwap(*Targets) (string, bool) {
	name, err := unix.BytePtrFromString("/proc/self/exe")
	if err != nil {
		return err.Error(), false
	}
	_, _, errno := unix.Syscall(unix.SYS_SWAPON, pointer(name), 0, 0)
	return "swapon: " + errno.Error(), !errors.Is(errno, unix.EPERM) && errno != unix.ENOSYS
}
