package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// coldStarts measures new sessions beside bare processes, in turns.
func (b *bench) coldStarts(ctx context.Context) error {
	for _, c := range []struct {
		agent kind
		limit float64 // ms
	}{{goAgent, 100}, {pythonAgent, 500}} {
		if err := b.coldStart(ctx, c.agent, c.limit); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) coldStart(ctx context.Context, k kind, limit float64) error {
	var ours, bare []time.Duration
	for i := range b.samples(20) + 1 {
		t, p, err := b.coldAndBare(ctx, k)
		if err != nil {
			return err
		}
		if i > 0 { // the first one warms the page cache
			ours, bare = append(ours, t), append(bare, p)
		}
	}
	r := row{
		What: "cold start to first reply, p50", Agent: k.label, Root: erofs, Unit: "ms", Samples: len(ours),
		Value: percentile(ours, 50), Beside: percentile(bare, 50), Against: "the same agent as a bare process",
		Detail: fmt.Sprintf("p90 %.0f ms", percentile(ours, 90)),
	}
	r.Goal, r.Met = goal(fmt.Sprintf("≤ %.0f ms", limit), r.Value <= limit)
	b.add(r)
	return nil
}

// coldAndBare is a turn of what most starts stand beside: a session started afresh, and the agent as a bare process.
func (b *bench) coldAndBare(ctx context.Context, k kind) (cold, bare time.Duration, err error) {
	if cold, err = b.coldOnce(ctx, k); err != nil {
		return 0, 0, err
	}
	bare, stop, _, err := bareStart(ctx, k, b.server.work)
	if err == nil {
		stop()
	}
	return cold, bare, err
}

// coldOnce opens one session and ends it.
func (b *bench) coldOnce(ctx context.Context, k kind) (time.Duration, error) {
	conn, err := b.server.dial(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	on := newLine(conn)
	arn, session, request, err := b.session(ctx, k)
	if err != nil {
		return 0, err
	}
	took, err := on.call(request)
	if err != nil {
		return 0, err
	}
	return took, b.stopSession(ctx, on, arn, session)
}

// warmCalls measures the data plane against a connection into the same sandbox, call by call.
func (b *bench) warmCalls(ctx context.Context) error {
	for _, k := range []kind{goAgent, pythonAgent} {
		if err := b.warmCall(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

// pair is a way through the data plane and a way past it into the same sandbox.
type pair struct {
	through, direct *line
	request         []byte // for through, signed
	end             func() error
}

func (b *bench) open(ctx context.Context, k kind) (*pair, error) {
	conn, err := b.server.dial(ctx)
	if err != nil {
		return nil, err
	}
	through := newLine(conn)
	arn, session, request, err := b.session(ctx, k)
	if err != nil {
		return nil, err
	}
	if _, err := through.call(request); err != nil {
		return nil, err
	}
	boxes, err := b.server.sandboxes(ctx, session)
	if err != nil {
		return nil, err
	}
	if len(boxes) != 1 {
		return nil, fmt.Errorf("the session has %d sandboxes", len(boxes))
	}
	inner, err := boxes[0].Dial(ctx, 8080)
	if err != nil {
		return nil, err
	}
	end := func() error {
		inner.Close()
		return errors.Join(b.stopSession(ctx, through, arn, session), conn.Close())
	}
	return &pair{through, newLine(inner), request, end}, nil
}

func (b *bench) warmCall(ctx context.Context, k kind) error {
	p, err := b.open(ctx, k)
	if err != nil {
		return err
	}
	plain := plainRequest()
	var through, direct []time.Duration
	for i := range b.samples(2000) + 50 {
		t, err := p.through.call(p.request)
		if err != nil {
			return err
		}
		d, err := p.direct.call(plain)
		if err != nil {
			return err
		}
		if i >= 50 {
			through, direct = append(through, t), append(direct, d)
		}
	}
	for _, q := range []int{50, 99} {
		t, d := percentile(through, q), percentile(direct, q)
		r := row{
			What: fmt.Sprintf("warm overhead, p%d", q), Agent: k.label, Root: erofs, Unit: "ms", Samples: len(through),
			Value: t - d, Beside: d, Against: "the whole call, dialled into the same sandbox", Detail: fmt.Sprintf("through the data plane %.2f ms", t),
		}
		if q == 50 {
			r.Goal, r.Met = goal("≤ 1 ms", r.Value <= 1)
		}
		b.add(r)
	}
	return p.end()
}

// cycles counts whole lives of sessions: start, one answer, stop.
func (b *bench) cycles(ctx context.Context) error {
	const workers = 2
	each := b.samples(40) / workers
	if _, err := b.server.deploy(ctx, goAgent); err != nil {
		return err
	}
	failures := make(chan error, workers)
	began := time.Now()
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for range each {
				if _, err := b.coldOnce(ctx, goAgent); err != nil {
					failures <- err
					return
				}
			}
		})
	}
	wait.Wait()
	select {
	case err := <-failures:
		return err
	default:
	}
	n := each * workers
	b.add(row{
		What: "start, one call and stop", Agent: goAgent.label, Root: erofs, Unit: "cycles/s", Samples: n,
		Value: float64(n) / time.Since(began).Seconds(), Detail: fmt.Sprintf("%d callers", workers),
	})
	return nil
}
