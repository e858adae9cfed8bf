package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

var deviceAttempts = []attempt{
	{"disk", "make a device file for a disk of the host and read it", readDisk},
	{"memory-device", "read the host's memory by /dev/mem, /dev/kmem and /proc/kcore", readPhysical},
	{"kvm", "start a virtual machine by /dev/kvm", openKVM},
	{"dev-list", "find devices of the host in /dev", listDevices},
	{"tun", "make a network interface by /dev/net/tun", openTun},
	{"fuse", "open /dev/fuse", openFUSE},
	{"console", "open the host's console, kernel log and virtual terminals", openConsole},
}

func readDisk(t *Targets) (string, bool) {
	path := scratchName("disk")
	defer os.Remove(path)
	if err := unix.Mknod(path, unix.S_IFBLK|0o600, int(unix.Mkdev(uint32(t.Disk[0]), uint32(t.Disk[1])))); err != nil {
		return "mknod: " + err.Error(), false
	}
	return readSome(path)
}

func scratchName(name string) string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("%s-%d", name, os.Getpid()))
}

func readSome(path string) (string, bool) {
	f, err := os.Open(path)
	if err != nil {
		return err.Error(), false
	}
	defer f.Close()
	n, err := f.Read(make([]byte, 4096))
	if n > 0 {
		return fmt.Sprintf("read %d bytes of %s", n, path), true
	}
	return fmt.Sprintf("read %s: %v", path, err), false
}

func readPhysical(*Targets) (string, bool) {
	made := scratchName("mem")
	defer os.Remove(made)
	if err := unix.Mknod(made, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 1))); err != nil {
		made = "/dev/mem"
	}
	return firstOf([]string{made, "/dev/kmem", "/proc/kcore"}, readSome)
}

func openKVM(*Targets) (string, bool) {
	fd, evidence := openOrMake("/dev/kvm", 10, 232)
	if fd < 0 {
		return evidence, false
	}
	defer unix.Close(fd)
	const getAPIVersion = 0xAE00
	version, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), getAPIVersion, 0)
	return fmt.Sprintf("KVM version %d: %v", version, errno), errno == 0
}

// openFUSE finds the device in gVisor too, whose kernel has a FUSE of its own.
func openFUSE(t *Targets) (string, bool) {
	fd, evidence := openOrMake("/dev/fuse", 10, 229)
	if fd < 0 {
		return evidence, false
	}
	unix.Close(fd)
	return "opened /dev/fuse", t.onHostKernel()
}

// openOrMake opens a device, by a file of our own where there is none.
func openOrMake(path string, major, minor uint32) (fd int, evidence string) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err == nil {
		return fd, ""
	}
	made := scratchName(filepath.Base(path))
	defer os.Remove(made)
	if errMake := unix.Mknod(made, unix.S_IFCHR|0o600, int(unix.Mkdev(major, minor))); errMake != nil {
		return -1, fmt.Sprintf("open: %v; mknod: %v", err, errMake)
	}
	fd, err = unix.Open(made, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, "made the device file; open: " + err.Error()
	}
	return fd, ""
}

// ordinary devices are made up by every sandbox's own kernel; fuse and net (tun) have attempts of
// their own.
var ordinary = []string{"fuse", "net", "char", "null", "zero", "full", "random", "urandom", "tty", "console", "ptmx", "fd", "stdin", "stdout", "stderr", "pts", "shm", "mqueue", "core"}

func listDevices(*Targets) (string, bool) {
	entries, err := os.ReadDir("/dev")
	if err != nil {
		return err.Error(), false
	}
	var names []string
	for _, e := range entries {
		if !slices.Contains(ordinary, e.Name()) && canOpen(filepath.Join("/dev", e.Name())) {
			return "found /dev/" + e.Name(), true
		}
		names = append(names, e.Name())
	}
	return "only " + strings.Join(names, " "), false
}

// canOpen opens for nothing but a descriptor, so that no device acts on it.
func canOpen(path string) bool {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err == nil
}

func openTun(*Targets) (string, bool) {
	fd, evidence := openOrMake("/dev/net/tun", 10, 200)
	if fd < 0 {
		return evidence, false
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("hostile%d")
	if err != nil {
		return err.Error(), false
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return "TUNSETIFF: " + err.Error(), false
	}
	return "made the interface " + request.Name(), true
}

func openConsole(*Targets) (string, bool) {
	return firstOf([]string{"/dev/kmsg", "/dev/tty0", "/dev/tty1", "/dev/ttyS0", "/dev/mem", "/dev/port"}, func(path string) (string, bool) {
		if canOpen(path) {
			return "opened " + path, true
		}
		return path + " is not there", false
	})
}
