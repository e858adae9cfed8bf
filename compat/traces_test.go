package compat

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// traces is what a server's directory leaves on the machine while it is in use.
type traces struct {
	dir     string
	cgroups []string // groups that belong to the directory's engines, in every controller
}

// traces notes where to look, while the engines are still there to be found.
func (s *server) traces() traces {
	t := traces{dir: s.dir}
	engines, _ := filepath.Glob(filepath.Join(s.dir, "engines", "*"))
	for _, engine := range engines {
		// Control groups are named after the engine's directory: moorage/HASH.
		sum := sha256.Sum256([]byte(engine))
		name := filepath.Join("moorage", hex.EncodeToString(sum[:6]))
		for _, pattern := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
			found, _ := filepath.Glob(filepath.Join(pattern, name))
			t.cgroups = append(t.cgroups, found...)
		}
	}
	return t
}

// awaitNone returns an error that lists what is still left after limit.
func (t traces) awaitNone(limit time.Duration) error {
	deadline := time.After(limit)
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		left, err := t.left()
		if err != nil || len(left) == 0 {
			return err
		}
		select {
		case <-poll.C:
		case <-deadline:
			return fmt.Errorf("still there %s after moorage down:\n%s", limit, strings.Join(left, "\n"))
		}
	}
}

// left lists the processes, mounts and control groups of the directory that are still there.
func (t traces) left() ([]string, error) {
	out := t.processes()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, t.dir) {
			out = append(out, "mount "+strings.TrimSpace(line))
		}
	}
	for _, group := range t.cgroups {
		if members, err := filepath.Glob(filepath.Join(group, "*", "cgroup.procs")); err == nil && len(members) > 0 {
			out = append(out, "control group "+members[0])
		}
	}
	return out, nil
}

// processes lists the live processes that were started from the directory or name it.
func (t traces) processes() (out []string) {
	for _, p := range processes() {
		if strings.Contains(p.command, t.dir) || strings.Contains(p.executable, t.dir) {
			out = append(out, fmt.Sprintf("process %d: %s (%s)", p.pid, p.command, p.executable))
		}
	}
	return out
}

// process is one live process of this machine.
type process struct {
	pid        int
	command    string // arguments, separated by spaces
	executable string // which the name of a program in memory holds, too
}

func processes() (out []process) {
	entries, _ := filepath.Glob("/proc/[0-9]*")
	for _, entry := range entries {
		var p process
		if _, err := fmt.Sscan(filepath.Base(entry), &p.pid); err != nil {
			continue
		}
		command, err := os.ReadFile(filepath.Join(entry, "cmdline"))
		if err != nil || len(command) == 0 {
			continue // gone, a zombie, or the kernel's own
		}
		p.command = strings.TrimSpace(strings.ReplaceAll(string(command), "\x00", " "))
		p.executable, _ = os.Readlink(filepath.Join(entry, "exe"))
		out = append(out, p)
	}
	return out
}

// shims returns the shim processes of the server's directory.
func (s *server) shims() (out []process) {
	for _, p := range processes() {
		words := strings.Fields(p.command)
		if len(words) == 3 && words[1] == "shim" && filepath.Dir(words[2]) == filepath.Join(s.dir, "engines") {
			out = append(out, p)
		}
	}
	return out
}
