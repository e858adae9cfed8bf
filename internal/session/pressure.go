package session

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"time"
)

const (
	scarce       = 10 // percent of the machine's memory: with less available, sessions are put to sleep
	relieveEvery = 2 * time.Second
)

// relieve puts sessions to sleep while memory is short, the longest idle first.
func (m *Manager) relieve() {
	tick := time.NewTicker(relieveEvery)
	defer tick.Stop()
	for {
		select {
		case <-m.serving.Done():
			return
		case <-tick.C:
		}
		for m.short() && m.sleepLongestIdle(m.serving) {
		}
	}
}

// short reports whether the machine is short of memory.
func (m *Manager) short() bool {
	memory := m.Memory
	if memory == nil {
		memory = readMemory
	}
	available, total := memory()
	return available*100 < total*scarce
}

// readMemory reads what the kernel says, in bytes; zeros when it says nothing.
func readMemory() (available, total int64) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var kib int64
		if n, _ := fmt.Sscanf(lines.Text(), "MemTotal: %d kB", &kib); n == 1 {
			total = kib << 10
		}
		if n, _ := fmt.Sscanf(lines.Text(), "MemAvailable: %d kB", &kib); n == 1 {
			available = kib << 10
		}
	}
	return available, total
}

// makeRoom puts a session to sleep so that another can be up, and reports whether it did.
func (m *Manager) makeRoom(ctx context.Context) bool {
	return m.sleeps() && m.SleepAfter > 0 && m.sleepLongestIdle(ctx)
}

// roomToWake makes room for one more session as far as that goes: one that sleeps has its place
// already, and is woken in any case.
func (m *Manager) roomToWake(ctx context.Context) {
	m.mu.Lock()
	full := m.awakeCount() >= m.limit()
	m.mu.Unlock()
	if full || m.short() {
		m.makeRoom(ctx)
	}
}

// sleepLongestIdle reports whether a session fell asleep. One that cannot is passed over for the next.
func (m *Manager) sleepLongestIdle(ctx context.Context) bool {
	for ctx.Err() == nil {
		id := m.longestIdle()
		if id == "" {
			return false
		}
		if m.SleepID(ctx, id) == nil {
			return true
		}
	}
	return false
}

// longestIdle is the session that was idle for longest, of those that can sleep now; "" when there is none.
func (m *Manager) longestIdle() (id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var oldest, now = time.Time{}, time.Now()
	for _, s := range m.byID {
		since := s.idleSince()
		if !s.idle() || !s.isReady() || s.rest.cannot != nil || s.rest.tryAfter.After(now) {
			continue
		}
		if id == "" || since.Before(oldest) {
			id, oldest = s.info.ID, since
		}
	}
	return id
}
