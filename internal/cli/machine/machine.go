// Package machine looks at the host: what Moorage needs of it, what it makes use of, and how to
// mend what is not there. It reads and tries, and changes nothing.
package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// State says how good a finding is.
type State string

const (
	OK      State = "ok"
	Limited State = "limited" // works, with less than all
	Missing State = "missing" // has to be there and is not
)

// Finding is the answer to one check.
type Finding struct {
	Check string `json:"check"`
	State State  `json:"state"`
	Found string `json:"found"`
	Mend  string `json:"mend,omitempty"` // what to do; empty when nothing is to be done
}

// Examine runs every check. Dir is where the server keeps, or will keep, its data.
func Examine(ctx context.Context, dir string) []Finding {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return []Finding{
		system(), gvisor(), userNamespaces(ctx), cgroups("/sys/fs/cgroup"), erofs(),
		python(ctx), node(ctx), golang(ctx), memory(), disk(dir),
	}
}

// oldestKernel is gVisor's own requirement. Source: gVisor user guide, installation.
var oldestKernel = [2]int{4, 15}

func system() Finding {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return Finding{"system", Missing, err.Error(), "Moorage runs on Linux"}
	}
	release := unix.ByteSliceToString(u.Release[:])
	f := Finding{"system", OK, fmt.Sprintf("Linux %s, %s, %d CPUs", release, runtime.GOARCH, runtime.NumCPU()), ""}
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		f.State, f.Mend = Missing, "sandboxes run on amd64 and arm64"
	}
	if major, minor := kernelVersion(release); major < oldestKernel[0] || major == oldestKernel[0] && minor < oldestKernel[1] {
		f.State, f.Mend = Missing, fmt.Sprintf("install a Linux kernel of %d.%d or later", oldestKernel[0], oldestKernel[1])
	}
	return f
}

func kernelVersion(release string) (major, minor int) {
	parts := strings.FieldsFunc(release, func(r rune) bool { return r < '0' || r > '9' })
	if len(parts) < 2 {
		return 0, 0
	}
	major, _ = strconv.Atoi(parts[0]) // digits only, by FieldsFunc
	minor, _ = strconv.Atoi(parts[1])
	return major, minor
}

// gvisor checks what its systrap platform is made of: seccomp traps, and ptrace to set up its stubs.
func gvisor() Finding {
	actions, err := os.ReadFile("/proc/sys/kernel/seccomp/actions_avail")
	if err != nil || !strings.Contains(string(actions), "trap") {
		return Finding{"gvisor", Missing, "the kernel has no seccomp filters", "use a kernel with CONFIG_SECCOMP_FILTER; until then `moorage serve --isolation process` runs agents without isolation"}
	}
	if scope, err := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope"); err == nil && strings.TrimSpace(string(scope)) == "3" {
		return Finding{"gvisor", Missing, "ptrace is switched off (kernel.yama.ptrace_scope=3)", "set it to 0, 1 or 2 in /etc/sysctl.d and restart the machine"}
	}
	return Finding{"gvisor", OK, "systrap: seccomp traps and ptrace are available", ""}
}

// userNamespaces makes one: root does without, everybody else runs their sandboxes inside.
func userNamespaces(ctx context.Context) Finding {
	const check = "user namespaces"
	err := tryUserNamespace(ctx)
	switch {
	case err == nil:
		return Finding{check, OK, "can be made by " + who(), ""}
	case os.Geteuid() == 0:
		return Finding{check, OK, "not available; not needed by root", ""}
	}
	return Finding{check, Missing, "cannot be made: " + err.Error(),
		"run as root, or allow them: sysctl kernel.unprivileged_userns_clone=1 user.max_user_namespaces=15000; on Ubuntu also kernel.apparmor_restrict_unprivileged_userns=0"}
}

func who() string {
	if os.Geteuid() == 0 {
		return "root"
	}
	return "user " + strconv.Itoa(os.Geteuid())
}

func tryUserNamespace(ctx context.Context) error {
	program, err := exec.LookPath("true")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, program)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
	return cmd.Run()
}

// cgroups looks which limits the machine can hold sandboxes to.
func cgroups(root string) Finding {
	const check = "cgroups"
	version, dirs := 1, map[string]string{"memory": "", "cpu": "", "pids": ""}
	for name := range dirs {
		dirs[name] = filepath.Join(root, name)
	}
	if list, err := os.ReadFile(filepath.Join(root, "cgroup.controllers")); err == nil {
		version = 2
		for name := range dirs {
			if dirs[name] = root; !slices.Contains(strings.Fields(string(list)), name) {
				dirs[name] = ""
			}
		}
	}
	var lost []string
	for _, name := range []string{"memory", "cpu", "pids"} {
		if dirs[name] == "" || unix.Access(dirs[name], unix.W_OK) != nil {
			lost = append(lost, name)
		}
	}
	if len(lost) == 0 {
		return Finding{check, OK, fmt.Sprintf("version %d; memory, cpu and pids can be limited", version), ""}
	}
	return Finding{check, Limited, fmt.Sprintf("version %d; no limit on %s per session", version, strings.Join(lost, ", ")),
		"run as root, or let systemd delegate: Delegate=yes in the unit (a session's memory is then still bounded by the sandbox's own kernel)"}
}

// erofs needs no tools: root file systems are written by the image package. Tests of the sandbox use them.
func erofs() Finding {
	if _, err := exec.LookPath("mkfs.erofs"); err == nil {
		return Finding{"erofs", OK, "images are written by Moorage itself; erofs-utils is installed too", ""}
	}
	return Finding{"erofs", OK, "images are written by Moorage itself; erofs-utils is not needed", ""}
}

// pythons are the managed Python runtimes of the API.
var pythons = []string{"3.10", "3.11", "3.12", "3.13", "3.14"}

func python(ctx context.Context) Finding {
	var found []string
	for _, v := range pythons {
		if line, err := firstLine(ctx, "python"+v, "--version"); err == nil {
			found = append(found, strings.TrimPrefix(line, "Python "))
		}
	}
	if line, err := firstLine(ctx, "python3", "--version"); err == nil {
		if v := strings.TrimPrefix(line, "Python "); !slices.Contains(found, v) {
			found = append(found, v)
		}
	}
	if len(found) == 0 {
		return Finding{"python", Limited, "no Python is installed", "apt-get install python3: code in Python is run on this machine's own; images bring theirs"}
	}
	return Finding{"python", OK, strings.Join(found, ", "), ""}
}

func node(ctx context.Context) Finding {
	version, err := firstLine(ctx, "node", "--version")
	if err != nil {
		return Finding{"node", Limited, "Node.js is not installed", "install Node.js 22: code in JavaScript is run on this machine's own; images bring theirs"}
	}
	if !strings.HasPrefix(version, "v22.") {
		return Finding{"node", Limited, version, "the API's runtime is NODE_22: install Node.js 22 to deploy JavaScript as code; images bring theirs"}
	}
	return Finding{"node", OK, version, ""}
}

func golang(ctx context.Context) Finding {
	version, err := firstLine(ctx, "go", "version")
	if err != nil {
		return Finding{"go", Limited, "Go is not installed", "needed only to deploy Go packages from here: they are built on this machine"}
	}
	return Finding{"go", OK, version, ""}
}

func firstLine(ctx context.Context, program string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, program, args...).Output()
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return line, err
}

const (
	gib          = 1 << 30
	littleMemory = 2 * gib
	littleDisk   = 5 * gib
)

func memory() Finding {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return Finding{"memory", Limited, err.Error(), ""}
	}
	total := uint64(info.Totalram) * uint64(info.Unit)
	f := Finding{"memory", OK, fmt.Sprintf("%.1f GiB", float64(total)/gib), ""}
	if total < littleMemory {
		f.State, f.Mend = Limited, "few sessions fit; bound them with `moorage serve --memory-limit` and --max-sessions"
	}
	return f
}

func disk(dir string) Finding {
	place := existing(dir)
	var st unix.Statfs_t
	if err := unix.Statfs(place, &st); err != nil {
		return Finding{"disk", Missing, err.Error(), "choose another directory with --dir"}
	}
	free := st.Bavail * uint64(st.Bsize)
	f := Finding{"disk", OK, fmt.Sprintf("%.1f GiB free for %s", float64(free)/gib, dir), ""}
	switch {
	case unix.Access(place, unix.W_OK) != nil:
		f.State, f.Found, f.Mend = Missing, dir+" cannot be written by "+who(), "choose another directory with --dir, or change its owner"
	case free < littleDisk:
		f.State, f.Mend = Limited, "images and code need room: free some, or choose another directory with --dir"
	}
	return f
}

// existing is dir, or the nearest of its parents that exists.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}
