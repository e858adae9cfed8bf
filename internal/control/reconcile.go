package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/store"
	"github.com/moorage-dev/moorage/internal/warm"
)

// builders is how many versions are built at once.
const builders = 2

// retryAfter is the pause before work that failed is done again.
const retryAfter = 10 * time.Second

// readAgain is the pause before rows that could not be read are read again.
const readAgain = time.Minute

// Run does what the rows promise until ctx ends: builds versions that are not ready, removes what is
// being deleted. Work that was cut off by a crash begins again.
func (s *Service) Run(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() { s.sweepImages(ctx) })
	slots := make(chan struct{}, builders)
	running := map[string]bool{}
	done := make(chan string)
	for {
		jobs, err := s.jobs(ctx, slots)
		for _, job := range jobs {
			if running[job.key] {
				continue
			}
			running[job.key] = true
			work.Go(func() {
				s.do(ctx, job)
				select {
				case done <- job.key:
				case <-ctx.Done():
				}
			})
		}
		var again <-chan time.Time
		if err != nil && ctx.Err() == nil {
			s.Log.Error("read what has to be done", "err", err)
			again = time.After(readAgain)
		}
		select {
		case <-ctx.Done():
			return
		case key := <-done:
			delete(running, key)
		case <-s.wake:
		case <-again:
		}
	}
}

// do does a job. One that failed is held back for a while, so that it is not done over and over.
func (s *Service) do(ctx context.Context, j job) {
	err := j.do(ctx)
	if err == nil || ctx.Err() != nil {
		return
	}
	s.Log.Error("reconcile", "what", j.key, "err", err)
	select {
	case <-ctx.Done():
	case <-time.After(retryAfter):
	}
}

// sweepEvery is how often images that no version needs are looked for. A sweep spares what was
// used in the last quarter of an hour, so that a build that is not on record yet keeps its image.
const sweepEvery = 5 * time.Minute

func (s *Service) sweepImages(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := s.Builder.Sweep(ctx, s.Store); err != nil && ctx.Err() == nil {
			s.Log.Error("sweep images", "err", err)
		}
	}
}

type job struct {
	key string
	do  func(context.Context) error
}

// jobs reads from the rows what has to be done. Builds take turns for the slots; removals wait for none.
func (s *Service) jobs(ctx context.Context, slots chan struct{}) (out []job, err error) {
	err = s.Store.View(ctx, func(tx *store.Tx) error {
		versions, err := tx.UnfinishedVersions()
		if err != nil {
			return err
		}
		for _, v := range versions {
			out = append(out, job{"build " + stepsKey(v.RuntimeID, v.Number), func(ctx context.Context) error {
				select {
				case slots <- struct{}{}:
					defer func() { <-slots }()
					return s.build(ctx, v)
				case <-ctx.Done():
					return ctx.Err()
				}
			}})
		}
		runtimes, err := tx.Runtimes("", -1)
		for _, rt := range runtimes {
			if rt.Status == moorage.Deleting {
				out = append(out, job{"delete " + rt.ID, func(ctx context.Context) error { return s.remove(ctx, rt) }})
			}
		}
		return err
	})
	return out, err
}

// build makes a version's artifact, tries it, and records how that went.
func (s *Service) build(ctx context.Context, v moorage.Version) error {
	progress := func(step Step) { s.steps.add(stepsKey(v.RuntimeID, v.Number), step) }
	program, err := s.Builder.Build(ctx, v, progress)
	if err == nil {
		v.Program = program
		began := time.Now()
		if err = s.try(ctx, v); err == nil {
			progress(Step{"trial start", time.Since(began)})
		}
	}
	if ctx.Err() != nil {
		return ctx.Err() // the next server builds it
	}
	return s.settle(ctx, v, err)
}

// labelTrial marks the sandbox of a trial start.
const labelTrial = "trial"

// try starts the version once and throws the sandbox away, or makes it the golden that sessions are
// cloned from: a version whose agent does not answer is never READY.
func (s *Service) try(ctx context.Context, v moorage.Version) error {
	id := sandbox.NewID()
	defer s.Warm.RemoveJournal(id)
	mounts, err := s.Builder.trialStorage(id, v)
	if err != nil {
		return err
	}
	for _, m := range mounts {
		defer os.RemoveAll(m.Source)
	}
	return s.Warm.Try(ctx, v, id, map[string]string{labelTrial: stepsKey(v.RuntimeID, v.Number)}, mounts, s.startsOf(v.RuntimeID))
}

// settle records the outcome of a build and moves the endpoints that waited for it.
func (s *Service) settle(ctx context.Context, v moorage.Version, failure error) error {
	failed, now := moorage.CreateFailed, time.Now().UTC()
	if v.Status == moorage.Updating {
		failed = moorage.UpdateFailed
	}
	v.Status, v.FailureReason, v.UpdatedAt = moorage.Ready, "", now
	if failure != nil {
		v.Status, v.FailureReason = failed, s.explain(v, failure)
		if f := (*warm.Failure)(nil); errors.As(failure, &f) {
			v.LastWords = f.LastWords
		}
	}
	return s.change(ctx, v.RuntimeID, func(tx *store.Tx) error {
		rt, err := tx.Runtime(v.RuntimeID)
		if err != nil {
			return err
		}
		if err := tx.PutVersion(v); err != nil {
			return err
		}
		if rt.Latest == v.Number && rt.Status != moorage.Deleting {
			rt.Status, rt.FailureReason, rt.UpdatedAt = v.Status, v.FailureReason, now
			if err := tx.PutRuntime(rt); err != nil {
				return err
			}
		}
		return s.settleEndpoints(tx, v, now)
	})
}

func (s *Service) settleEndpoints(tx *store.Tx, v moorage.Version, now time.Time) error {
	endpoints, err := tx.Endpoints(v.RuntimeID, "", -1)
	if err != nil {
		return err
	}
	for _, e := range endpoints {
		if e.Target != v.Number || e.Live == v.Number {
			continue
		}
		e.UpdatedAt, e.FailureReason = now, v.FailureReason
		switch {
		case v.Status == moorage.Ready:
			e.Live, e.Status = v.Number, moorage.Ready
		case e.Live == 0:
			e.Status = moorage.CreateFailed
		default:
			e.Status = moorage.UpdateFailed // Live stays: the old version still serves
		}
		if err := tx.PutEndpoint(e); err != nil {
			return err
		}
	}
	return nil
}

// explain words a failure for the owner; what is our own fault goes to the log.
func (s *Service) explain(v moorage.Version, err error) string {
	var coded *moorage.Error
	if errors.As(err, &coded) && coded.Code != moorage.Internal {
		return coded.Message
	}
	s.Log.Error("build", "runtime", v.RuntimeID, "version", v.Number, "err", err)
	return "the platform failed to build this version; the operator finds the cause in the server's log"
}

// remove ends a runtime's sessions, wipes its storage and forgets it.
func (s *Service) remove(ctx context.Context, rt moorage.Runtime) error {
	err := s.endSessions(ctx, "stopped because its agent runtime was deleted", func(x moorage.Session) bool { return x.RuntimeID == rt.ID })
	if err != nil {
		return err
	}
	if err := s.Pools.Drop(ctx, rt.ID); err != nil {
		return err
	}
	if err := s.Sessions.Storage.RemoveRuntime(rt.ID); err != nil {
		return err
	}
	if err := s.removeJournals(ctx, rt.ID); err != nil {
		return err
	}
	if err := s.change(ctx, rt.ID, func(tx *store.Tx) error { return tx.DeleteRuntime(rt) }); err != nil {
		return err
	}
	s.steps.drop(rt.ID)
	s.Log.Info("runtime deleted", "runtime", rt.ID)
	return nil
}

// removeJournals removes what a runtime's sessions printed.
func (s *Service) removeJournals(ctx context.Context, runtimeID string) error {
	var ended []moorage.Session
	err := s.Store.View(ctx, func(tx *store.Tx) (err error) {
		ended, err = tx.EndedSessions(runtimeID, -1)
		return err
	})
	for _, x := range ended {
		s.Warm.RemoveJournal(x.SandboxID)
	}
	return err
}

// Destroy deletes a runtime, waits until nothing of it is left, and lists what was removed.
func (s *Service) Destroy(ctx context.Context, id string) ([]string, error) {
	made, err := s.Get(ctx, id, 0)
	if err != nil {
		return nil, err
	}
	removed, objects, err := s.inventory(ctx, made.Runtime)
	if err != nil {
		return nil, err
	}
	if _, err := s.Delete(ctx, id, 0, ""); err != nil {
		return nil, err
	}
	if err := s.awaitGone(ctx, id); err != nil {
		return nil, err
	}
	for _, o := range objects {
		if err := s.Builder.Objects.Delete(o.Bucket, o.Key); err != nil && moorage.CodeOf(err) != moorage.NotFound {
			return removed, err
		}
		removed = append(removed, fmt.Sprintf("code s3://%s/%s", o.Bucket, o.Key))
	}
	return removed, nil
}

// inventory names what a runtime consists of, and finds the uploaded code that only it uses.
func (s *Service) inventory(ctx context.Context, rt moorage.Runtime) (parts []string, objects []moorage.CodeZip, err error) {
	sessions := 0
	for _, x := range s.Sessions.List() {
		if x.RuntimeID == rt.ID {
			sessions++
		}
	}
	parts = append(parts, "runtime "+rt.ID)
	err = s.Store.View(ctx, func(tx *store.Tx) error {
		endpoints, err := tx.Endpoints(rt.ID, "", -1)
		if err != nil {
			return err
		}
		for _, e := range endpoints {
			parts = append(parts, "endpoint "+e.Name)
		}
		versions, err := tx.Versions(rt.ID, 0, -1)
		seen := map[string]bool{}
		for _, v := range versions {
			parts = append(parts, "version "+v.Label())
			if c := v.Config.Code; c != nil && !seen[c.Bucket+"/"+c.Key] && !s.usedElsewhere(rt.ID, *c) {
				seen[c.Bucket+"/"+c.Key] = true
				objects = append(objects, *c)
			}
		}
		return err
	})
	switch {
	case sessions == 1:
		parts = append(parts, "1 live session")
	case sessions > 1:
		parts = append(parts, fmt.Sprintf("%d live sessions", sessions))
	}
	if n := s.ready(rt.ID); n > 0 {
		parts = append(parts, fmt.Sprintf("pool with %d ready", n))
	}
	return parts, objects, err
}

func (s *Service) usedElsewhere(id string, c moorage.CodeZip) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for other, m := range s.view {
		for _, v := range m.versions {
			if code := v.Config.Code; other != id && code != nil && code.Bucket == c.Bucket && code.Key == c.Key {
				return true
			}
		}
	}
	return false
}

func (s *Service) awaitGone(ctx context.Context, id string) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		s.mu.RLock()
		_, there := s.view[id]
		s.mu.RUnlock()
		if !there {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
