package warm

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
)

// restorePatience bounds a start from a golden. It usually takes a tenth of a second; one that takes
// this long will not come up at all, and the session starts afresh.
const restorePatience = 5 * time.Second

// restore starts a sandbox from v's golden. Nil means that there is none which works; nothing is left
// then, and a fresh start takes its place.
func (s *Starter) restore(ctx context.Context, v moorage.Version, id string, labels map[string]string) *Agent {
	key := poolKey{v.RuntimeID, v.Number}
	g := s.Goldens.find(key)
	if g == nil {
		return nil
	}
	agent, err := s.clone(ctx, v, g.dir, id, labels)
	if err == nil {
		s.Goldens.worked(g)
		return agent
	}
	s.RemoveJournal(id)
	if ctx.Err() == nil {
		s.Log.Warn("a clone is of no use; fresh starts take its place for now", "version", key.String(), "err", err)
		if err := s.Goldens.failed(key, g, err); err != nil {
			s.Log.Error("remove a golden snapshot", "version", key.String(), "err", err)
		}
	}
	return nil
}

// clone starts a sandbox from a snapshot, and returns once all in it reseeded and its agent answered.
func (s *Starter) clone(ctx context.Context, v moorage.Version, dir, id string, labels map[string]string) (*Agent, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, restorePatience, fmt.Errorf("it did not answer within %s", restorePatience))
	defer cancel()
	watch := newStopwatch()
	box, err := s.Driver.(sandbox.Cloner).Clone(ctx, dir, sandbox.CloneSpec{ID: id, Labels: labels, LogDir: filepath.Join(s.LogDir, id)})
	if err != nil {
		return nil, err
	}
	agent := newAgent(box, v.Config.Protocol)
	watch.lap("restore")
	if err = reseed(ctx, box); err == nil {
		watch.lap("reseed")
		err = s.AwaitReady(ctx, agent)
	}
	if err != nil {
		return nil, errors.Join(context.Cause(ctx), err, s.discard(agent))
	}
	watch.lap("agent answers")
	agent.StartedBy, agent.StartTook, agent.Steps = "restore", watch.total(), watch.steps
	return agent, nil
}

// reseed gives every process in a sandbox new entropy, or says why it could not.
func reseed(ctx context.Context, box sandbox.Sandbox) error {
	r, ok := box.(sandbox.Reseeder)
	if !ok {
		return moorage.Errorf(moorage.Unsupported, "its engine cannot give clones randomness of their own")
	}
	return r.Reseed(ctx)
}

// Try starts v afresh to see whether it does, and throws the sandbox away; where it can, it makes a
// golden of it, in the background. The labels go with the sandbox; so does its journal.
func (s *Starter) Try(ctx context.Context, v moorage.Version, id string, labels map[string]string, mounts []sandbox.Mount, set Settings) error {
	defer s.begin()()
	agent, err := s.start(ctx, v, id, labels, mounts)
	if err != nil {
		return err
	}
	if !s.canClone(v, set) || len(mounts) > 0 {
		return s.discard(agent)
	}
	key := poolKey{v.RuntimeID, v.Number}
	if err := removeGoldens(s.Goldens.serve(key, s.goldenDir(v, set.WarmUp))); err != nil {
		return errors.Join(err, s.discard(agent))
	}
	making, g := s.Goldens.begin(key, time.Now())
	if g == nil {
		return s.discard(agent)
	}
	s.Goldens.work.Go(func() {
		s.keep(making, key, g, func() error { return errors.Join(s.freeze(making, v, agent, set.WarmUp), s.discard(agent)) })
	})
	return nil
}

// keep makes a golden with f, and records how that went.
func (s *Starter) keep(ctx context.Context, key poolKey, g *golden, f func() error) {
	began := time.Now()
	err := f()
	switch {
	case err == nil:
		s.Log.Info("golden snapshot made", "version", key.String(), "took", time.Since(began))
	case ctx.Err() == nil:
		s.Log.Warn("no golden snapshot", "version", key.String(), "err", err)
	}
	if err := s.Goldens.made(key, g, err); err != nil {
		s.Log.Error("remove a golden snapshot", "version", key.String(), "err", err)
	}
}

// makeGolden starts v afresh and freezes it.
func (s *Starter) makeGolden(ctx context.Context, v moorage.Version, labels map[string]string, w WarmUp) error {
	s.yield(ctx)
	id := sandbox.NewID()
	agent, err := s.start(ctx, v, id, labels, nil)
	if err != nil {
		s.RemoveJournal(id)
		return err
	}
	return errors.Join(s.freeze(ctx, v, agent, w), s.discard(agent))
}

// freeze makes v's golden of an agent that answered, whose sandbox ends with it when that succeeds. A
// clone has to prove the snapshot: a golden that cannot be restored is no use to find later.
func (s *Starter) freeze(ctx context.Context, v moorage.Version, agent *Agent, w WarmUp) error {
	if err := agent.warmUp(ctx, w); err != nil {
		return fmt.Errorf("the warm-up call: %w", err)
	}
	if err := reseed(ctx, agent.Sandbox); err != nil {
		return err
	}
	sleeper, ok := agent.Sandbox.(sandbox.Sleeper)
	if !ok {
		return moorage.Errorf(moorage.Unsupported, "its engine cannot freeze a sandbox")
	}
	agent.Close()
	dir := s.goldenDir(v, w)
	if err := sleeper.Checkpoint(ctx, dir); err != nil {
		return err
	}
	labels := map[string]string{labelPool: poolKey{v.RuntimeID, v.Number}.String()}
	clone, err := s.clone(ctx, v, dir, sandbox.NewID(), labels)
	if err != nil {
		return fmt.Errorf("a clone was tried: %w", err)
	}
	return s.discard(clone)
}

// stopwatch times the steps of a start.
type stopwatch struct {
	began, last time.Time
	steps       []moorage.Step
}

func newStopwatch() *stopwatch {
	now := time.Now()
	return &stopwatch{began: now, last: now}
}

func (w *stopwatch) lap(name string) {
	now := time.Now()
	w.steps = append(w.steps, moorage.Step{Name: name, Took: now.Sub(w.last)})
	w.last = now
}

func (w *stopwatch) total() time.Duration { return w.last.Sub(w.began) }
