package warm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
)

// Ready is a paused sandbox that was taken from a pool, or an engine that waits. It belongs to whoever took it, who calls Open
// once.
type Ready struct {
	agent   *Agent
	starter *Starter
	resumed time.Duration // what Open needed to let it run
	blank   bool          // it is an engine that waits for its version's golden
}

// Take notes that a session of v starts, and takes a ready sandbox for it, or else an engine that waits;
// nil when there is neither.
func (p *Pools) Take(v moorage.Version) *Ready {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	q := p.pools[poolKey{v.RuntimeID, v.Number}]
	if q == nil || p.closed {
		return nil
	}
	q.demand.asked(time.Now())
	p.kick()
	if len(q.ready) == 0 {
		return p.takeAhead(q)
	}
	r := q.ready[0]
	q.ready = q.ready[1:]
	r.cancel()
	return &Ready{agent: r.agent, starter: p.Starter}
}

// ID is the sandbox's.
func (r *Ready) ID() string { return r.agent.Sandbox.Info().ID }

// Open lets the sandbox run, restored if it has to be, under its owner's labels, and returns once its agent answered a ping. On
// failure nothing is left of it.
func (r *Ready) Open(ctx context.Context, labels map[string]string) (*Agent, error) {
	defer r.starter.begin()()
	if r.blank {
		if err := r.load(ctx, labels); err != nil {
			return nil, errors.Join(err, r.starter.discard(r.agent))
		}
		return r.agent, nil
	}
	began := time.Now()
	if err := r.open(ctx, labels); err != nil {
		return nil, errors.Join(err, r.starter.discard(r.agent))
	}
	r.agent.StartedBy, r.agent.StartTook = "pool", time.Since(began)
	r.agent.Steps = []moorage.Step{{Name: "resume", Took: r.resumed}, {Name: "agent answers", Took: r.agent.StartTook - r.resumed}}
	return r.agent, nil
}

// open asks for the ping before it lets the agent run, which finds it as it wakes. An agent that holds
// no connection any more, or closes it as it wakes, is asked again.
func (r *Ready) open(ctx context.Context, labels map[string]string) error {
	began := time.Now()
	early, cancel := context.WithCancel(ctx)
	defer cancel()
	answered := make(chan error, 1)
	r.agent.client.resume()
	go func() { answered <- r.agent.answers(early) }()
	err := Own(ctx, r.agent.Sandbox, labels)
	r.resumed = time.Since(began)
	if err != nil {
		cancel()
	}
	if asked := <-answered; err != nil || asked == nil {
		return err
	}
	if err := r.agent.answers(ctx); err != nil {
		return fmt.Errorf("a sandbox from the pool does not answer: %w", err)
	}
	return nil
}

// Own makes a pool's sandbox its session's: it gets the labels and runs. Doing so again changes
// nothing, so a server that was killed while it did can have it done by the next.
func Own(ctx context.Context, box sandbox.Sandbox, labels map[string]string) error {
	if err := box.Relabel(ctx, labels); err != nil {
		return err
	}
	return box.Resume(ctx)
}

// discard ends a sandbox that no session ever used, its journal included.
func (s *Starter) discard(a *Agent) error {
	a.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := a.Sandbox.Stop(ctx, 0)
	s.RemoveJournal(a.Sandbox.Info().ID)
	return err
}
