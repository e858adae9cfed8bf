package session

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"sync"
	"time"
)

// gate lets so many sandboxes start at once: an engine that boots keeps a processor busy, so more at
// once would all take longer, and the last would run out of its time. Those that wait come up in the
// order in which they came, owners taking turns, so that nobody waits for all of another's.
//
// The zero value works.
type gate struct {
	width int // 0 is startsPerCPU for each processor

	mu      sync.Mutex
	running int
	lines   map[string][]chan struct{} // who waits, by owner; a channel closes when its turn came
	turns   []string                   // the owners of lines, the next first
}

const startsPerCPU = 2

// enter waits for the turn of one start of owner's and says how long that took. The caller calls leave once
// the start is over. The error is ctx's.
func (g *gate) enter(ctx context.Context, owner string) (leave func(), waited time.Duration, err error) {
	began := time.Now()
	turn := g.join(owner)
	select {
	case <-turn:
		return sync.OnceFunc(g.leave), time.Since(began), nil
	case <-ctx.Done():
		g.giveUp(owner, turn)
		return nil, 0, ctx.Err()
	}
}

func (g *gate) join(owner string) (turn chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.lines == nil {
		g.lines = map[string][]chan struct{}{}
	}
	turn = make(chan struct{})
	if len(g.lines[owner]) == 0 {
		g.turns = append(g.turns, owner)
	}
	g.lines[owner] = append(g.lines[owner], turn)
	g.advance()
	return turn
}

// advance lets in as many as there is room for. The caller holds mu.
func (g *gate) advance() {
	for width := cmp.Or(g.width, startsPerCPU*runtime.NumCPU()); g.running < width && len(g.turns) > 0; g.running++ {
		owner := g.turns[0]
		close(g.lines[owner][0])
		g.turns = g.turns[1:]
		if g.setLine(owner, g.lines[owner][1:]) {
			g.turns = append(g.turns, owner)
		}
	}
}

// setLine reports whether anybody of owner's still waits. The caller holds mu.
func (g *gate) setLine(owner string, line []chan struct{}) bool {
	if len(line) == 0 {
		delete(g.lines, owner)
		return false
	}
	g.lines[owner] = line
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running--
	g.advance()
}

// giveUp takes a turn out of its line; one that came in this moment goes to the next.
func (g *gate) giveUp(owner string, turn chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.lines[owner], turn)
	if i < 0 {
		g.running--
		g.advance()
		return
	}
	if !g.setLine(owner, slices.Delete(g.lines[owner], i, i+1)) {
		g.turns = slices.DeleteFunc(g.turns, func(o string) bool { return o == owner })
	}
}
