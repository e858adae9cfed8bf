package reseed

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"io"
	"maps"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
)

const (
	maxLine  = 512 // bytes of what a process says
	maxCause = 200 // bytes of it that are shown
)

// connectionPatience is how long a process may take between its connection and what it has to say.
const connectionPatience = 10 * time.Second

// Answer is what a process said of itself.
type Answer struct {
	Cause string // why it cannot be cloned, in its own words; empty when it has reseeded
}

// Desk is where the processes of one sandbox confirm. The zero value turns everybody away.
type Desk struct {
	mu    sync.Mutex
	round *Round
	here  int       // processes that are being heard
	left  time.Time // when the last of them had been
}

// Round collects what the processes say after one signal to them.
type Round struct {
	// Changed receives after a process has answered. One element stands for any number of answers.
	Changed chan struct{}

	desk    *Desk
	epoch   string
	answers map[int32]Answer // by pid; guarded by desk.mu
}

// Open begins a round, which ends the one before. Close it.
func (d *Desk) Open() *Round {
	r := &Round{desk: d, epoch: rand.Text(), answers: map[int32]Answer{}, Changed: make(chan struct{}, 1)}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.round = r
	return r
}

// Close turns away whoever answers late.
func (r *Round) Close() {
	r.desk.mu.Lock()
	defer r.desk.mu.Unlock()
	if r.desk.round == r {
		r.desk.round = nil
	}
}

// Answers returns what was said so far, by pid.
func (r *Round) Answers() map[int32]Answer {
	r.desk.mu.Lock()
	defer r.desk.mu.Unlock()
	return maps.Clone(r.answers)
}

// Serve hears one process out. It returns when it has, or when the connection fails; closing it is
// the caller's.
func (d *Desk) Serve(c net.Conn) {
	d.mu.Lock()
	round := d.round
	d.here++
	d.mu.Unlock()
	defer d.heard()
	if round == nil {
		return
	}
	c.SetDeadline(time.Now().Add(connectionPatience))
	if _, err := io.WriteString(c, round.epoch+"\n"); err != nil {
		return
	}
	line, err := bufio.NewReader(io.LimitReader(c, maxLine)).ReadString('\n')
	if err != nil && len(line) < maxLine {
		return
	}
	if pid, a, err := parse(line, round.epoch); err == nil {
		round.note(pid, a)
	}
}

func (d *Desk) heard() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.here, d.left = d.here-1, time.Now()
}

// Quiet reports whether no process is being heard, and none has been for so long.
func (d *Desk) Quiet(long time.Duration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.here == 0 && time.Since(d.left) >= long
}

func (r *Round) note(pid int32, a Answer) {
	r.desk.mu.Lock()
	defer r.desk.mu.Unlock()
	r.answers[pid] = a
	select {
	case r.Changed <- struct{}{}:
	default:
	}
}

// parse reads "EPOCH PID ok" or "EPOCH PID no CAUSE". Who says it is foreign code.
func parse(line, epoch string) (pid int32, a Answer, err error) {
	fields := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4)
	if len(fields) < 3 || fields[0] != epoch {
		return 0, a, fmt.Errorf("an answer of another round: %q", line)
	}
	n, err := strconv.ParseUint(fields[1], 10, 31)
	if err != nil || n == 0 {
		return 0, a, fmt.Errorf("no process has the number %q", fields[1])
	}
	switch {
	case fields[2] == "ok" && len(fields) == 3:
		return int32(n), a, nil
	case fields[2] == "no" && len(fields) == 4:
		return int32(n), Answer{Cause: printable(fields[3])}, nil
	}
	return 0, a, fmt.Errorf("an answer is ok, or no and a cause: %q", line)
}

// printable makes foreign words safe to show, and never empty.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if len(s) > maxCause {
		s = strings.ToValidUTF8(s[:maxCause], "")
	}
	if strings.TrimSpace(s) == "" {
		return "it gave no reason"
	}
	return s
}
