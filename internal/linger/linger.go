// Package linger waits for a socket's next bytes on the thread, for a moment, before Go's scheduler has the
// goroutine.
//
// A goroutine that parks on a socket costs a handful of system calls and thread switches until it goes on: its
// processor is given up, the poller sleeps and wakes, the runtime's monitor sleeps and wakes. Beside a call that an
// agent answers in a quarter of a millisecond that is much. It is worth avoiding only where nothing else wants the
// processor, so [Wait] does nothing unless a single call is under way.
package linger

import (
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// limit is for how long a processor stands by: the answer of a quick agent, not that of a model.
	limit = time.Millisecond

	// parkEvery is how often a wait goes by the scheduler all the same. Who runs for 10 ms without a
	// turn is preempted, at a price that is higher (runtime: forcePreemptNS).
	parkEvery = 8 * time.Millisecond
)

var (
	calls  atomic.Int32 // under way
	taken  atomic.Bool
	parked time.Time // last; whoever has taken
)

// Begin says that a call is under way, until end is called.
func Begin() (end func()) {
	calls.Add(1)
	return func() { calls.Add(-1) }
}

// Wait returns when raw has something to read, or soon. Reading it is as it was: it may have to wait.
func Wait(raw syscall.RawConn) {
	if calls.Load() > 1 || !taken.CompareAndSwap(false, true) {
		return
	}
	defer taken.Store(false)
	if now := time.Now(); now.Sub(parked) >= parkEvery || runtime.GOMAXPROCS(0) == 1 {
		parked = now
		return
	}
	raw.Read(func(fd uintptr) bool { // who reads next learns of errors
		wait := unix.NsecToTimespec(int64(limit))
		unix.Ppoll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, &wait, nil)
		return true
	})
}
