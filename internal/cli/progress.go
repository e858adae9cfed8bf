package cli

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// step is one finished part of long work.
type step struct {
	Name   string `json:"name"`
	Detail string `json:"detail,omitempty"`
	TookMs int64  `json:"tookMs"`
}

// progress shows long work as it goes: a line that counts the seconds on a terminal, and
// everywhere one line for each step that is done.
type progress struct {
	ui    *ui
	steps []step
	start time.Time // of the whole

	mu      sync.Mutex
	name    string    // of the step under way; empty between steps
	began   time.Time // of that step
	stop    chan struct{}
	stopped chan struct{}
}

// newProgress begins long work. The caller ends it with close.
func newProgress(u *ui) *progress {
	p := &progress{ui: u, start: time.Now(), stop: make(chan struct{}), stopped: make(chan struct{})}
	go p.redraw()
	return p
}

func (p *progress) redraw() {
	defer close(p.stopped)
	if !p.ui.errTTY || p.ui.quiet {
		return
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for frame := 0; ; frame++ {
		select {
		case <-p.stop:
			return
		case <-tick.C:
			p.draw([]rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")[frame%10])
		}
	}
}

func (p *progress) draw(spinner rune) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.name != "" {
		fmt.Fprintf(p.ui.err, "\r\x1b[K%c %s  %s", spinner, p.name, p.ui.errStyle.dim(seconds(time.Since(p.began))))
	}
}

// begin names the work that starts now.
func (p *progress) begin(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.name, p.began = fmt.Sprintf(format, args...), time.Now()
}

// done ends the step under way.
func (p *progress) done(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finish(p.name, fmt.Sprintf(format, args...), time.Since(p.began))
	p.name = ""
}

// report adds a step that somebody else timed, while one of ours goes on.
func (p *progress) report(name string, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finish(name, "", took)
}

func (p *progress) finish(name, detail string, took time.Duration) {
	p.steps = append(p.steps, step{name, detail, took.Milliseconds()})
	if p.ui.quiet {
		return
	}
	p.clear()
	fmt.Fprintf(p.ui.err, "  %-28s %-32s %s\n", name, detail, p.ui.errStyle.dim(fmt.Sprintf("%7s", seconds(took))))
}

func (p *progress) clear() {
	if p.ui.errTTY && !p.ui.quiet {
		io.WriteString(p.ui.err, "\r\x1b[K")
	}
}

// drop forgets the step under way without a line for it.
func (p *progress) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	p.name = ""
}

// close stops drawing. It may be called twice.
func (p *progress) close() {
	select {
	case <-p.stop:
	default:
		close(p.stop)
	}
	<-p.stopped
	p.drop()
}
