package cell

import (
	"os"

	"golang.org/x/sys/unix"
)

// root is where the new root is put together: over a directory that every host has, in the process's
// own mount namespace.
const root = "/tmp"

const lockedDown = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// makeRoot replaces the process's root by an empty one that cannot be written. The engine reads /proc
// while it boots, and the time zone.
func makeRoot() error {
	for _, step := range []func() error{isolateMounts, makeEtc, makeProc, makeKernelFiles, enterRoot} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// isolateMounts keeps what is mounted from now on to this process, and begins the root.
func isolateMounts() error {
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fail("keep mounts private", err)
	}
	return fail("mount the engine's root", unix.Mount("runsc-root", root, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""))
}

func makeEtc() error {
	if err := os.Mkdir(root+"/etc", 0o755); err != nil {
		return err
	}
	copyFile("/etc/localtime") // without it the engine logs in UTC
	return nil
}

// makeProc mounts a /proc with this process's own view. Where the host hides parts of its own, the kernel
// refuses a new one, and the host's is bound instead.
func makeProc() error {
	const proc = root + "/proc"
	if err := os.Mkdir(proc, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("runsc-proc", proc, "tmpfs", lockedDown, ""); err != nil {
		return fail("mount /proc", err)
	}
	real, err := mountProc(proc)
	if err != nil {
		return err
	}
	for _, name := range []string{"self", "cpuinfo"} {
		if err := os.Symlink(real+"/"+name, proc+"/"+name); err != nil {
			return err
		}
	}
	return nil
}

// mountProc returns the name below proc under which the kernel's files are.
func mountProc(proc string) (name string, err error) {
	const own, hosts = "sandbox-proc", "host-proc"
	if err := os.Mkdir(proc+"/"+own, 0o755); err != nil {
		return "", err
	}
	if unix.Mount("proc", proc+"/"+own, "proc", lockedDown|unix.MS_RDONLY, "") == nil {
		return own, nil
	}
	if err := os.Mkdir(proc+"/"+hosts, 0o755); err != nil {
		return "", err
	}
	err = unix.Mount("/proc", proc+"/"+hosts, "", unix.MS_BIND|unix.MS_REC|lockedDown|unix.MS_RDONLY, "")
	return hosts, fail("bind /proc", err)
}

// makeKernelFiles copies the two settings of the kernel that the engine asks for, and closes /proc to listing.
func makeKernelFiles() error {
	for _, dir := range []string{"/proc/sys", "/proc/sys/kernel", "/proc/sys/vm"} {
		if err := os.Mkdir(root+dir, 0o755); err != nil {
			return err
		}
	}
	for _, file := range []string{"/proc/sys/vm/mmap_min_addr", "/proc/sys/kernel/cap_last_cap"} {
		if err := copyFile(file); err != nil {
			return err
		}
	}
	return os.Chmod(root+"/proc", 0o111)
}

// copyFile copies a file of the host to the same place in the root.
func copyFile(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(root+path, content, 0o644)
}

// enterRoot makes the root read-only and moves into it; the host's is out of reach from then on.
func enterRoot() error {
	if err := unix.Mount("", root, "", unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_BIND, ""); err != nil {
		return fail("make the engine's root read-only", err)
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	// With both names the same, the old root comes to lie above the new one, where it can be unmounted.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fail("enter the engine's root", err)
	}
	return fail("leave the host's root", unix.Unmount(".", unix.MNT_DETACH))
}
