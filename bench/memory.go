package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/moorage-dev/moorage/internal/sandbox"
)

// untilIdle is after how long nothing that a session's start took is still to be given back.
const untilIdle = 15 * time.Second

// memory measures live idle sessions beside as many bare processes.
func (b *bench) memory(ctx context.Context) error {
	for _, k := range []kind{goAgent, pythonAgent, heavyAgent} {
		if err := b.memoryOf(ctx, k, 10); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) memoryOf(ctx context.Context, k kind, n int) error {
	bare, err := b.bareMemory(ctx, k, n)
	if err != nil {
		return err
	}
	if _, err := b.server.deploy(ctx, k); err != nil {
		return err
	}
	conn, err := b.server.dial(ctx) // not before: nobody keeps a connection for as long as a deployment takes
	if err != nil {
		return err
	}
	defer conn.Close()
	on := newLine(conn)
	shimBefore, err := b.shimMemory()
	if err != nil {
		return err
	}
	before, err := b.server.sandboxes(ctx, "")
	if err != nil {
		return err
	}
	var arn string
	var sessions []string
	for range n {
		a, session, request, err := b.session(ctx, k)
		if err != nil {
			return err
		}
		if _, err := on.call(request); err != nil {
			return err
		}
		arn, sessions = a, append(sessions, session)
	}
	wait(ctx, untilIdle)
	boxes, err := b.server.sandboxes(ctx, "")
	if err != nil {
		return err
	}
	boxes = slices.DeleteFunc(boxes, func(box sandbox.Sandbox) bool { // of what ran before, which may end meanwhile
		return slices.ContainsFunc(before, func(old sandbox.Sandbox) bool { return old.Info().ID == box.Info().ID })
	})
	if len(boxes) != n {
		return fmt.Errorf("%d sandboxes for %d sessions", len(boxes), n)
	}
	var total, agents int64
	for _, box := range boxes {
		used, own, err := familyMemory(box.Info().ID)
		if err != nil {
			return err
		}
		total, agents = total+used, agents+own
	}
	shimAfter, err := b.shimMemory()
	if err != nil {
		return err
	}
	each := (float64(total)/float64(len(boxes)) + float64(shimAfter-shimBefore)/float64(n)) / 1e6
	r := row{
		What: "memory of a live idle session over the agent's own", Agent: k.label, Root: erofs, Unit: "MB", Samples: n,
		Value: each - bare, Beside: bare, Against: "the bare process",
		Detail: fmt.Sprintf("a session %.1f MB in all, of it %.1f the agent's pages in the sandbox and %.1f in the shim",
			each, float64(agents)/float64(len(boxes))/1e6, float64(shimAfter-shimBefore)/float64(n)/1e6),
	}
	r.Goal, r.Met = goal("≤ 20 MB", r.Value <= 20)
	b.add(r)
	perGiB := row{What: "live idle sessions per GiB", Agent: k.label, Root: erofs, Unit: "", Samples: n, Value: float64(1<<30) / 1e6 / each, Beside: float64(1<<30) / 1e6 / bare, Against: "bare processes"}
	perGiB.Goal, perGiB.Met = goal(fmt.Sprintf("≥ %.0f", k.perGiB), perGiB.Value >= k.perGiB)
	b.add(perGiB)
	for _, session := range sessions {
		if err := b.stopSession(ctx, on, arn, session); err != nil {
			return err
		}
	}
	return nil
}

// bareMemory is the share of one of n processes of the host, in MB.
func (b *bench) bareMemory(ctx context.Context, k kind, n int) (float64, error) {
	var pids []int
	for range n {
		_, stop, pid, err := bareStart(ctx, k, b.server.work)
		if err != nil {
			return 0, err
		}
		defer stop()
		pids = append(pids, pid)
	}
	var total int64
	for _, pid := range pids {
		used, err := proportional(pid)
		if err != nil {
			return 0, err
		}
		total += used
	}
	return float64(total) / float64(n) / 1e6, nil
}

func (b *bench) shimMemory() (int64, error) {
	for pid := range processes() {
		line, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
		if bytes.Contains(line, []byte("\x00shim\x00"+b.server.dir)) {
			return proportional(pid)
		}
	}
	return 0, fmt.Errorf("there is no shim")
}

// familyMemory sums over the address spaces of the processes that name a sandbox and their children.
// Several processes may be in one: gVisor keeps one for each thread of an agent, and all are in the
// agent's.
//
// An agent's own pages are shared memory there: gVisor keeps them in a file of its own.
func familyMemory(id string) (total, shared int64, err error) {
	parents := processes()
	member := func(pid int) bool {
		for ; pid > 1; pid = parents[pid] {
			line, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
			if bytes.Contains(line, []byte(id)) {
				return true
			}
		}
		return false
	}
	var seen []int
	for pid := range parents {
		if member(pid) && !slices.ContainsFunc(seen, func(other int) bool { return sameMemory(pid, other) }) {
			used, err := proportional(pid)
			if err != nil {
				continue // it ended
			}
			total += used
			own, _ := pages(pid, "Pss_Shmem:")
			shared += own
			seen = append(seen, pid)
		}
	}
	if len(seen) == 0 {
		return 0, 0, fmt.Errorf("sandbox %s has no processes", id)
	}
	return total, shared, nil
}

// sameMemory reports whether two processes share their address space. Where the kernel does not tell,
// each counts as one of its own.
func sameMemory(pid, other int) bool {
	const kcmpVM = 1
	order, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(pid), uintptr(other), kcmpVM, 0, 0, 0)
	return errno == 0 && order == 0
}

// processes maps every process to its parent.
func processes() map[int]int {
	out := map[int]int{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		out[pid], _ = strconv.Atoi(fields[1])
	}
	return out
}

// proportional is a process's memory with shared pages divided among those that share them.
func proportional(pid int) (int64, error) { return pages(pid, "Pss:") }

// pages reads one line of a process's summary.
func pages(pid int, kind string) (int64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for in := bufio.NewScanner(f); in.Scan(); {
		if rest, ok := strings.CutPrefix(in.Text(), kind); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("process %d tells no proportional size", pid)
}
