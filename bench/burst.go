package main

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"
)

const burstSize = 100

// burst opens many sessions in the same moment: each has to be answered, however few cores there are. They
// start as a runtime's sessions do whose owner says nothing about it: from the golden snapshot.
func (b *bench) burst(ctx context.Context) error {
	k := pythonAgent
	k.name, k.pool = k.name+"_burst", "0"
	if err := b.awaitGolden(ctx, k); err != nil {
		return err
	}
	took := make([]time.Duration, burstSize)
	errs := make([]error, burstSize)
	var all sync.WaitGroup
	sessions := make([]string, burstSize)
	began, used := time.Now(), b.server.cpuOfAll()
	for i := range burstSize {
		all.Go(func() { sessions[i], took[i], errs[i] = b.openOnce(ctx, k) })
	}
	all.Wait()
	whole := time.Since(began)
	used = b.server.cpuOfAll() - used
	for _, err := range errs {
		if err != nil {
			return fmt.Errorf("one of %d new sessions at once: %w", burstSize, err)
		}
	}
	perCore := burstSize / whole.Seconds() / float64(runtime.NumCPU())
	r := row{
		What: fmt.Sprintf("%d new sessions at once, starts a second and core", burstSize), Agent: k.label, Root: erofs, Unit: "/s", Samples: burstSize,
		Value: perCore,
		Detail: fmt.Sprintf("all answered after %.3g s, p50 %.3g s, p95 %.3g s; no error; %d ms of processor a start",
			whole.Seconds(), percentile(took, 50)/1000, percentile(took, 95)/1000, (used / burstSize).Milliseconds()),
	}
	r.Goal, r.Met = goal("≥ 6", perCore >= 6)
	b.add(r)
	return b.stopAll(ctx, k, sessions)
}

// openOnce opens one session over a connection of its own, and leaves it.
func (b *bench) openOnce(ctx context.Context, k kind) (session string, took time.Duration, err error) {
	conn, err := b.server.dial(ctx)
	if err != nil {
		return "", 0, err
	}
	defer conn.Close()
	_, session, request, err := b.session(ctx, k)
	if err != nil {
		return "", 0, err
	}
	took, err = newLine(conn).call(request)
	return session, took, err
}

func (b *bench) stopAll(ctx context.Context, k kind, sessions []string) error {
	conn, err := b.server.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	on := newLine(conn)
	for _, session := range sessions {
		if err := b.stopSession(ctx, on, b.server.agents[k.name], session); err != nil {
			return err
		}
	}
	return nil
}
