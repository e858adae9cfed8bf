package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

var fileAttempts = []attempt{
	{"host-files", "read files of the host's root, the server's directory and other sessions by their paths", readHostFiles},
	{"host-shadow", "read the host's /etc/shadow", readShadow},
	{"proc-root", "reach the host's files through /proc/PID/root, /proc/PID/cwd and parents of open directories", readThroughProc},
	{"symlink", "reach the host's files through a symbolic link in a lent directory", readThroughLink},
	{"home-and-tmp", "find something of the host in /root, /home, /tmp, /var/tmp, /dev/shm and /run", searchScratch},
	{"handle", "open the host's root directory by file handle", openByHandle},
	{"chroot", "leave through a second chroot", leaveChroot},
	{"descriptors", "use descriptors that the agent was born with", useDescriptors},
	{"environment", "find something of the host in the environment", readEnvironment},
	{"setuid", "gain rights by a setuid program", gainBySetuid},
}

func readHostFiles(t *Targets) (string, bool) {
	return firstOf(t.Files, t.readCanary)
}

// readCanary reads a file and looks for the canary in it.
func (t *Targets) readCanary(path string) (string, bool) {
	f, err := os.Open(path)
	if err != nil {
		return err.Error(), false
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if t.holdsCanary(data) {
		return "read " + path, true
	}
	if err != nil {
		return err.Error(), false
	}
	return path + " is not the host's", false
}

func readShadow(t *Targets) (string, bool) {
	data, err := os.ReadFile("/etc/shadow")
	if err != nil {
		return err.Error(), false
	}
	return "/etc/shadow has " + fmt.Sprint(len(data)) + " bytes", t.ShadowHash != "" && hash(data) == t.ShadowHash
}

func readThroughProc(t *Targets) (string, bool) {
	var roots []string
	for _, pid := range []string{"1", "self", "thread-self", fmt.Sprint(t.PID)} {
		roots = append(roots, "/proc/"+pid+"/root", "/proc/"+pid+"/cwd/../../../../../..")
	}
	return firstOf(roots, func(root string) (string, bool) {
		return firstOf(t.Files, func(path string) (string, bool) { return t.readCanary(root + path) })
	})
}

func readThroughLink(t *Targets) (string, bool) {
	dirs := []string{os.TempDir()}
	if t.Writable != "" {
		dirs = append(dirs, t.Writable)
	}
	return firstOf(dirs, func(dir string) (string, bool) {
		return firstOf(t.Files, func(path string) (string, bool) { return t.readLink(dir, path) })
	})
}

func (t *Targets) readLink(dir, path string) (string, bool) {
	work, err := os.MkdirTemp(dir, "link")
	if err != nil {
		return err.Error(), false
	}
	defer os.RemoveAll(work)
	for _, target := range []string{path, strings.Repeat("../", 30) + path[1:]} {
		link := filepath.Join(work, "link")
		if err := os.Symlink(target, link); err != nil {
			return err.Error(), false
		}
		if evidence, out := t.readCanary(link); out {
			return evidence, true
		}
		os.Remove(link)
	}
	if os.Link(path, filepath.Join(work, "hard")) == nil {
		return t.readCanary(filepath.Join(work, "hard"))
	}
	return "links in " + dir + " stay inside", false
}

func searchScratch(t *Targets) (string, bool) {
	seen := 0
	found := ""
	for _, dir := range []string{"/dev/shm", "/run", "/tmp", "/var/tmp", "/home", "/root"} {
		filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || found != "" {
				return nil
			}
			if d.Type().IsRegular() {
				seen++
				if strings.Contains(path, "moorage-canary") {
					if _, out := t.readCanary(path); out {
						found = path
					}
				}
			}
			return nil
		})
	}
	if found != "" {
		return "found " + found, true
	}
	return fmt.Sprintf("%d files, none of the host's", seen), false
}

// openByHandle needs a capability that makes every path check void.
// Source: the "shocker" exploit of 2014.
func openByHandle(*Targets) (string, bool) {
	root, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err.Error(), false
	}
	defer unix.Close(root)
	handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, "/proc/self/exe", unix.AT_SYMLINK_FOLLOW)
	if err != nil {
		handle = unix.NewFileHandle(1, []byte{2, 0, 0, 0, 0, 0, 0, 0}) // inode 2: the root of most file systems
	}
	fd, err := unix.OpenByHandleAt(root, handle, unix.O_RDONLY)
	if err == nil {
		unix.Close(fd)
		return "opened a file by handle", true
	}
	return "open_by_handle_at: " + err.Error(), err == unix.ESTALE
}

func leaveChroot(t *Targets) (string, bool) {
	return runWithin(t, 0, "chroot")
}

// chrootOut is the classic: a second chroot while a descriptor outside of it is held.
func chrootOut(t *Targets) (string, bool) {
	dir, err := os.MkdirTemp("", "root")
	if err != nil {
		return err.Error(), false
	}
	defer os.RemoveAll(dir)
	outside, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err.Error(), false
	}
	if err := unix.Chroot(dir); err != nil {
		return "chroot: " + err.Error(), false
	}
	unix.Fchdir(outside)
	for range 64 {
		os.Chdir("..")
	}
	if err := unix.Chroot("."); err != nil {
		return "chroot: " + err.Error(), false
	}
	return firstOf(t.Files, t.readCanary)
}

// openDescriptors lists what is open, less what listing opens.
func openDescriptors() (fds []int) {
	for fd := range 4096 {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
			fds = append(fds, fd)
		}
	}
	return fds
}

func useDescriptors(t *Targets) (string, bool) {
	var seen []string
	for _, fd := range inherited {
		what, harmful := t.probe(fd)
		if harmful {
			return fmt.Sprintf("descriptor %d: %s", fd, what), true
		}
		seen = append(seen, fmt.Sprintf("%d: %s", fd, what))
	}
	return strings.Join(seen, "; "), false
}

// probe says what a descriptor is. Harmless are the standard three where they are no more than a
// pipe, a socket or the null device, and what the Go runtime opens for itself.
func (t *Targets) probe(fd int) (what string, harmful bool) {
	name, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err.Error(), false
	}
	if strings.HasPrefix(name, "anon_inode:") && fd > 2 {
		return name, false
	}
	if sub, err := unix.Openat(fd, "..", unix.O_RDONLY|unix.O_DIRECTORY, 0); err == nil {
		unix.Close(sub)
		return name + " leads to its parent directory", true
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFIFO, unix.S_IFSOCK:
		return name, fd > 2
	case unix.S_IFCHR:
		return name, fd > 2 || name != "/dev/null" && !strings.HasPrefix(name, "host:") && !strings.HasPrefix(name, "/dev/pts")
	}
	data := make([]byte, 1<<16)
	n, _ := unix.Pread(fd, data, 0)
	return fmt.Sprintf("%s, mode %o", name, st.Mode), fd > 2 || t.holdsCanary(data[:max(n, 0)])
}

func readEnvironment(t *Targets) (string, bool) {
	var names []string
	for _, kv := range os.Environ() {
		name, value, _ := strings.Cut(kv, "=")
		if t.holdsCanary([]byte(value)) {
			return name + " is the host's", true
		}
		names = append(names, name)
	}
	return "only " + strings.Join(names, " "), false
}

// gainBySetuid looks at the flag that makes setuid programs ordinary ones.
func gainBySetuid(*Targets) (string, bool) {
	on, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	if err != nil {
		return err.Error(), false
	}
	return fmt.Sprintf("no_new_privs is %d", on), on != 1
}
