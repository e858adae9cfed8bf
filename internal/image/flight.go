package image

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
)

// flights lets callers who want the same thing share one piece of work. The work runs on while
// anybody waits for it and is cancelled when the last one gives up.
type flights struct {
	mu sync.Mutex
	m  map[string]*flight
}

type flight struct {
	waiting int
	cancel  context.CancelFunc
	done    chan struct{}
	value   string
	err     error
}

// do returns what work returned, its own run or another caller's.
func (g *flights) do(ctx context.Context, key string, work func(context.Context) (string, error)) (string, error) {
	f := g.join(ctx, key, work)
	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
		g.leave(key, f)
		return "", context.Cause(ctx)
	}
}

func (g *flights) join(ctx context.Context, key string, work func(context.Context) (string, error)) *flight {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f := g.m[key]; f != nil {
		f.waiting++
		return f
	}
	if g.m == nil {
		g.m = map[string]*flight{}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &flight{waiting: 1, cancel: cancel, done: make(chan struct{})}
	g.m[key] = f
	go func() {
		defer cancel()
		f.value, f.err = calmly(ctx, work)
		g.forget(key, f)
		close(f.done)
	}()
	return f
}

// calmly does the work and turns a panic into an error: archives are foreign, and one that trips a
// parser must neither end the server nor be tried again by the next.
func calmly(ctx context.Context, work func(context.Context) (string, error)) (value string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return work(ctx)
}

// leave gives up waiting. The work of the last to leave stops before the call returns, so that
// nothing runs behind a caller's back.
func (g *flights) leave(key string, f *flight) {
	g.mu.Lock()
	f.waiting--
	last := f.waiting == 0
	if last && g.m[key] == f {
		delete(g.m, key)
	}
	g.mu.Unlock()
	if last {
		f.cancel()
		<-f.done
	}
}

func (g *flights) forget(key string, f *flight) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.m[key] == f {
		delete(g.m, key)
	}
}
