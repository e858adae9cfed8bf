// Package cgroup holds sandboxes to their limits through the host's control groups, version 1 or 2,
// and reads what they used.
//
// Every sandbox gets a group of its own, moorage/INSTANCE/ID, in each controller. A machine whose
// groups cannot be written (an unprivileged user without delegation) still runs sandboxes: their
// groups then say which limits are not held.
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Root is where Linux mounts its control groups.
const Root = "/sys/fs/cgroup"

// The limits that a machine may be unable to hold.
const (
	Memory = "memory"
	CPU    = "cpu"
	PIDs   = "pids"
)

const cpuPeriod = 100 * time.Millisecond

// Limits bound a group. Zero is no limit.
type Limits struct {
	MemoryBytes int64
	MilliCPU    int64
	PIDs        int64 // threads of the host, the sandbox's kernel included
}

// Usage is what a group used so far.
type Usage struct {
	CPU         time.Duration
	MemoryBytes int64 // now, page cache that can be given back not counted
	PeakBytes   int64
}

// Tree is the part of the host's groups that one instance owns.
type Tree struct {
	root   string
	parent string // relative, such as moorage/INSTANCE
	v2     bool
}

// Open prepares the tree of an instance below root. It fails for no group that cannot be written:
// New tells what is missing.
func Open(root, instance string) *Tree {
	t := &Tree{root: root, parent: filepath.Join("moorage", instance)}
	_, err := os.Stat(filepath.Join(root, "cgroup.controllers"))
	t.v2 = err == nil
	return t
}

// Group is the control group of one sandbox.
type Group struct {
	dirs       map[string]string // controller → directory; on version 2 all are one
	v2         bool
	Unenforced []string // limits that are not held, sorted
}

// New makes the group of a sandbox and sets its limits. What the machine does not let us set ends
// up in Unenforced.
func (t *Tree) New(id string, limits Limits) *Group {
	if t.v2 {
		return t.newV2(id, limits)
	}
	return t.newV1(id, limits)
}

func (t *Tree) newV1(id string, limits Limits) *Group {
	g := &Group{dirs: map[string]string{}}
	for _, controller := range []string{Memory, CPU, PIDs, "cpuacct"} {
		dir := filepath.Join(t.root, controller, t.parent, id)
		if _, err := os.Stat(filepath.Join(t.root, controller, "cgroup.procs")); err != nil {
			continue
		}
		if makeDir(dir) == nil {
			g.dirs[controller] = dir
		}
	}
	g.set(Memory, "memory.limit_in_bytes", limits.MemoryBytes, strconv.FormatInt(limits.MemoryBytes, 10))
	g.set(CPU, "cpu.cfs_period_us", limits.MilliCPU, strconv.FormatInt(cpuPeriod.Microseconds(), 10))
	g.set(CPU, "cpu.cfs_quota_us", limits.MilliCPU, strconv.FormatInt(quota(limits.MilliCPU), 10))
	g.set(PIDs, "pids.max", limits.PIDs, strconv.FormatInt(limits.PIDs, 10))
	return g
}

func (t *Tree) newV2(id string, limits Limits) *Group {
	g := &Group{dirs: map[string]string{}, v2: true}
	dir := filepath.Join(t.root, t.parent, id)
	if makeDir(dir) == nil {
		t.delegate()
		for _, controller := range []string{Memory, CPU, PIDs} {
			g.dirs[controller] = dir
		}
	}
	g.set(Memory, "memory.max", limits.MemoryBytes, strconv.FormatInt(limits.MemoryBytes, 10))
	g.set(CPU, "cpu.max", limits.MilliCPU, fmt.Sprintf("%d %d", quota(limits.MilliCPU), cpuPeriod.Microseconds()))
	g.set(PIDs, "pids.max", limits.PIDs, strconv.FormatInt(limits.PIDs, 10))
	// The whole sandbox dies of one process: half an engine is no use to anybody.
	g.write(Memory, "memory.oom.group", "1")
	return g
}

// makeDir makes a group and those above it. Another instance may be removing an empty one above at
// this moment.
func makeDir(dir string) (err error) {
	for range 3 {
		if err = os.MkdirAll(dir, 0o755); err == nil {
			return nil
		}
	}
	return err
}

// delegate switches the controllers on along the way down. A controller that the machine keeps
// for itself shows when its limit is set.
func (t *Tree) delegate() {
	dir := t.root
	for _, name := range append(strings.Split(t.parent, string(filepath.Separator)), "") {
		for _, controller := range []string{Memory, CPU, PIDs} {
			os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+controller), 0o644)
		}
		dir = filepath.Join(dir, name)
	}
}

func quota(milliCPU int64) int64 {
	return max(1000, milliCPU*cpuPeriod.Microseconds()/1000) // the kernel's least is 1 ms
}

// set writes a limit that is wanted, and notes it when that cannot be done.
func (g *Group) set(controller, file string, limit int64, value string) {
	if limit == 0 {
		return
	}
	if err := g.write(controller, file, value); err != nil && !slices.Contains(g.Unenforced, controller) {
		g.Unenforced = append(g.Unenforced, controller)
		slices.Sort(g.Unenforced)
	}
}

func (g *Group) write(controller, file, value string) error {
	dir, ok := g.dirs[controller]
	if !ok {
		return fs.ErrNotExist
	}
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0) // never creates: a fake file holds nothing
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// Add moves a process and all its descendants into the group. Children that they get later are
// born there.
func (g *Group) Add(pid int) error {
	if len(g.dirs) == 0 {
		return nil
	}
	for _, dir := range g.places() {
		err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644)
		if err != nil && !errors.Is(err, unix.ESRCH) { // a child may be gone already
			return fmt.Errorf("move process %d to its control group: %w", pid, err)
		}
	}
	for _, child := range children(pid) {
		if err := g.Add(child); err != nil {
			return err
		}
	}
	return nil
}

// Holds reports whether a process is in the group, whichever way it came there.
func (g *Group) Holds(pid int) bool {
	want := strconv.Itoa(pid)
	for _, dir := range g.places() {
		b, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if err != nil || !slices.Contains(strings.Fields(string(b)), want) {
			return false
		}
	}
	return true
}

// Doors opens the files through which a process enters the group by writing "0" to each. Whoever
// inherits them may enter, however few rights it has; so a process can be in its group before it
// takes any memory. The caller closes them.
func (g *Group) Doors() ([]*os.File, error) {
	var doors []*os.File
	for _, dir := range g.places() {
		f, err := os.OpenFile(filepath.Join(dir, "cgroup.procs"), os.O_WRONLY, 0)
		if err != nil {
			for _, open := range doors {
				open.Close()
			}
			return nil, err
		}
		doors = append(doors, f)
	}
	return doors, nil
}

// Enter moves this process into the group behind an inherited door. A descriptor that is no door
// is left alone.
func Enter(door int) error {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(door, &fs); err != nil || fs.Type != unix.CGROUP_SUPER_MAGIC && fs.Type != unix.CGROUP2_SUPER_MAGIC {
		return err
	}
	_, err := unix.Write(door, []byte("0"))
	return errors.Join(err, unix.Close(door))
}

func (g *Group) places() []string {
	var dirs []string
	for _, dir := range g.dirs {
		if !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// children lists the direct children of every thread of a process.
func children(pid int) (out []int) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		b, _ := os.ReadFile(list)
		for _, word := range strings.Fields(string(b)) {
			if child, err := strconv.Atoi(word); err == nil {
				out = append(out, child)
			}
		}
	}
	return out
}

// Usage reads what the group used. What the machine does not count is zero.
func (g *Group) Usage() Usage {
	if g.v2 {
		return Usage{
			CPU:         time.Duration(g.field(CPU, "cpu.stat", "usage_usec")) * time.Microsecond,
			MemoryBytes: max(0, g.number(Memory, "memory.current")-g.field(Memory, "memory.stat", "inactive_file")),
			PeakBytes:   g.number(Memory, "memory.peak"),
		}
	}
	return Usage{
		CPU:         time.Duration(g.number("cpuacct", "cpuacct.usage")),
		MemoryBytes: max(0, g.number(Memory, "memory.usage_in_bytes")-g.field(Memory, "memory.stat", "total_inactive_file")),
		PeakBytes:   g.number(Memory, "memory.max_usage_in_bytes"),
	}
}

// Counts reports whether the group counts memory and processor time.
func (g *Group) Counts() bool {
	_, ok := g.dirs[Memory]
	return ok
}

// OutOfMemory reports whether the kernel killed a process of the group for its memory limit.
func (g *Group) OutOfMemory() bool {
	if g.v2 {
		return g.field(Memory, "memory.events", "oom_kill") > 0
	}
	return g.field(Memory, "memory.oom_control", "oom_kill") > 0
}

func (g *Group) number(controller, file string) int64 {
	n, _ := strconv.ParseInt(strings.TrimSpace(g.read(controller, file)), 10, 64)
	return n
}

// field finds "NAME VALUE" in a file of such lines.
func (g *Group) field(controller, file, name string) int64 {
	for line := range strings.Lines(g.read(controller, file)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			return n
		}
	}
	return 0
}

func (g *Group) read(controller, file string) string {
	dir, ok := g.dirs[controller]
	if !ok {
		return ""
	}
	b, _ := os.ReadFile(filepath.Join(dir, file))
	return string(b)
}

// Kill kills every process of the group, those that left their parents included, and returns when
// none is left. Without groups it does nothing.
func (g *Group) Kill() error {
	for _, dir := range g.places() {
		if err := killAll(dir); err != nil {
			return err
		}
	}
	return nil
}

func killAll(dir string) error {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		b, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if err != nil || len(b) == 0 {
			return nil
		}
		for _, word := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(word); err == nil && pid > 0 {
				unix.Kill(pid, unix.SIGKILL)
			}
		}
	}
	return fmt.Errorf("processes of control group %s do not die", dir)
}

// Remove deletes the group, which must hold no process any more. The kernel may take a moment to
// let go of the last one, so Remove tries for up to two seconds.
func (g *Group) Remove() error {
	var errs []error
	for _, dir := range g.places() {
		errs = append(errs, remove(dir))
	}
	return errors.Join(errs...)
}

func remove(dir string) error {
	deadline := time.Now().Add(2 * time.Second)
	for wait := time.Millisecond; ; wait *= 2 {
		err := unix.Rmdir(dir)
		switch {
		case err == nil || errors.Is(err, unix.ENOENT):
			return nil
		case !errors.Is(err, unix.EBUSY) || time.Now().After(deadline):
			return fmt.Errorf("remove control group %s: %w", dir, err)
		}
		time.Sleep(wait)
	}
}

// abandoned is how old an empty group of another instance must be to be taken for left behind: one
// that is being created is empty for a moment, too.
const abandoned = 10 * time.Minute

// Sweep removes the groups of an instance that hold no process any more, and those that instances
// which nobody opens again left long ago. It is for what a killed engine left behind.
func (t *Tree) Sweep() {
	for _, root := range t.roots() {
		own := filepath.Join(root, t.parent)
		sweep(own, 0)
		others, _ := filepath.Glob(filepath.Join(filepath.Dir(own), "*"))
		for _, other := range others {
			if other != own {
				sweep(other, abandoned)
			}
		}
		unix.Rmdir(filepath.Dir(own))
	}
}

func (t *Tree) roots() []string {
	if t.v2 {
		return []string{t.root}
	}
	var roots []string
	for _, controller := range []string{Memory, CPU, PIDs, "cpuacct"} {
		roots = append(roots, filepath.Join(t.root, controller))
	}
	return roots
}

// sweep removes the groups below parent that are old enough, and then parent. The kernel refuses
// to remove a group that holds a process: as it should.
func sweep(parent string, age time.Duration) {
	entries, _ := os.ReadDir(parent)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && e.IsDir() && time.Since(info.ModTime()) >= age {
			unix.Rmdir(filepath.Join(parent, e.Name()))
		}
	}
	if info, err := os.Stat(parent); err == nil && time.Since(info.ModTime()) >= age {
		unix.Rmdir(parent)
	}
}
