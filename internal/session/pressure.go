package session

import (
	"bytes"
	"context"
	"os"
	"strconv"
	"time"

	"github.com/moorage-dev/moorage"
)

const (
	scarce = 10 // percent of the machine's memory: with less available, sessions are put to sleep

	// How often the memory is looked at: as soon as it might be short, if so many bytes of it fill in a second.
	relieveEvery  = 2 * time.Second
	relieveSeldom = 30 * time.Second
	fillRate      = 512 << 20
)

// relieve makes room while memory is short. It rests while no session is in memory; of the pools, these see to it themselves.
func (m *Manager) relieve() {
	m.looks.Run(m.serving, func() time.Duration {
		for m.short() && m.giveWay(m.serving) {
		}
		m.mu.Lock()
		held := m.awakeCount(everybody)
		m.mu.Unlock()
		if held == 0 {
			return 0
		}
		fills := min(time.Duration(m.spare()/fillRate), relieveSeldom/time.Second) * time.Second
		return max(fills, relieveEvery)
	})
}

// giveWay gives memory back and reports whether there was any to give: sandboxes that are ready for nobody
// yet go before sessions are put to sleep, and of these the longest idle goes first.
func (m *Manager) giveWay(ctx context.Context) bool {
	return m.Pools.Shed() || m.makeRoom(ctx, everybody)
}

// short reports whether the machine is short of memory.
func (m *Manager) short() bool { return m.spare() < 0 }

// spare is how many bytes may go until the machine is short of memory.
func (m *Manager) spare() int64 {
	available, total := m.memory()
	return available - total/100*scarce
}

func (m *Manager) memory() (available, total int64) {
	if m.Memory != nil {
		return m.Memory()
	}
	return readMemory()
}

// readMemory reads what the kernel says, in bytes; zeros when it says nothing.
func readMemory() (available, total int64) {
	doc, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, 0
	}
	return kibibytes(doc, "MemAvailable:"), kibibytes(doc, "MemTotal:")
}

// kibibytes is the number behind a name of /proc/meminfo, which is in KiB, in bytes; 0 where there is none.
func kibibytes(doc []byte, name string) int64 {
	_, rest, _ := bytes.Cut(doc, []byte(name))
	number, _, _ := bytes.Cut(bytes.TrimLeft(rest, " "), []byte(" "))
	kib, _ := strconv.ParseInt(string(number), 10, 64)
	return kib << 10
}

// makeRoom puts a session of a crowd to sleep so that another can be up, and reports whether it did.
func (m *Manager) makeRoom(ctx context.Context, of *crowd) bool {
	return m.sleeps() && m.SleepAfter > 0 && m.sleepLongestIdle(ctx, of)
}

// startBytes is what has to be available for a session to start: more than an engine with a small agent takes.
const startBytes = 128 << 20

// roomToStart makes room for a new session when memory is short.
func (m *Manager) roomToStart(ctx context.Context) error {
	if m.short() {
		m.giveWay(ctx)
	}
	return m.roomFor(ctx, startBytes)
}

// roomFor makes room for so many bytes. Without them a session would take others down, and it is a moorage.Quota.
func (m *Manager) roomFor(ctx context.Context, bytes int64) error {
	for !m.fits(bytes) {
		if !m.giveWay(ctx) {
			return moorage.Errorf(moorage.Quota, "maxVms limit exceeded: the machine has not the %d MiB of memory that the session takes, and no other session can sleep now; stop some, or retry later", bytes>>20)
		}
	}
	return nil
}

// roomToWake makes room for a session that sleeps, whose snapshot has so many bytes. It has its place already, so a limit alone is
// no reason against it.
func (m *Manager) roomToWake(ctx context.Context, key Key, bytes int64) error {
	m.mu.Lock()
	crowd := m.full(key, 1)
	m.mu.Unlock()
	if crowd != nil {
		m.makeRoom(ctx, crowd)
	} else if m.short() {
		m.giveWay(ctx)
	}
	return m.roomFor(ctx, bytes)
}

// fits reports whether so many bytes are available. A machine that does not say has them.
func (m *Manager) fits(bytes int64) bool {
	available, total := m.memory()
	return total == 0 || bytes < available
}

// sleepLongestIdle reports whether a session of a crowd fell asleep. One that cannot is passed over for the next.
func (m *Manager) sleepLongestIdle(ctx context.Context, of *crowd) bool {
	for ctx.Err() == nil {
		id := m.longestIdle(of)
		if id == "" {
			return false
		}
		if m.SleepID(ctx, id) == nil {
			return true
		}
	}
	return false
}

// longestIdle is the session of a crowd that was idle for longest, of those that can sleep now; "" when there is none.
func (m *Manager) longestIdle(of *crowd) (id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var oldest, now = time.Time{}, time.Now()
	for _, s := range m.byID {
		since := s.idleSince()
		if !of.has(s) || !s.idle() || !s.isReady() || s.rest.cannot != nil || s.rest.tryAfter.After(now) {
			continue
		}
		if id == "" || since.Before(oldest) {
			id, oldest = s.info.ID, since
		}
	}
	return id
}
