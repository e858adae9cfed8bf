package compat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/smithy-go"
)

// TestSoak_lives leads sessions through random lives: calls, files, sleep, waking, forks and stops, while
// the server is killed now and then. After each step a session is held against a model of what it has to
// remember. It takes a few seconds; -lives 30m takes that long. Leftovers are found when the server goes down.
func TestSoak_lives(t *testing.T) {
	s := own(t)
	a := s.deployed(t, probe)
	ctx, cancel := context.WithTimeout(t.Context(), *lives+2*time.Minute)
	defer cancel()
	run := &livesRun{agent: a, until: time.Now().Add(*lives), done: map[string]*atomic.Int64{}}
	for _, step := range steps {
		run.done[step.name] = new(atomic.Int64)
	}
	const owners = 4
	errs := make(chan error, owners)
	var all sync.WaitGroup
	for n := range owners {
		all.Go(func() { errs <- (&owner{livesRun: run, n: n}).live(ctx) })
	}
	finished := make(chan struct{})
	go func() { all.Wait(); close(finished) }()
	kills := run.killNowAndThen(t, s, finished)
	for range owners {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	var report []string
	for _, step := range steps {
		report = append(report, fmt.Sprintf("%d × %s", run.done[step.name].Load(), step.name))
	}
	t.Logf("%s; %d broken off by %d kills; %d divergences", strings.Join(report, ", "), run.broken.Load(), kills, run.divergences.Load())
}

type livesRun struct {
	agent       *agent
	until       time.Time
	done        map[string]*atomic.Int64
	broken      atomic.Int64
	divergences atomic.Int64
}

// killNowAndThen kills the server every few seconds until the lives have ended.
func (r *livesRun) killNowAndThen(t *testing.T, s *server, finished <-chan struct{}) (kills int) {
	for {
		select {
		case <-finished:
			return kills
		case <-time.After(3*time.Second + rand.N(17*time.Second)):
		}
		s.kill()
		if err := s.start(); err != nil {
			t.Error(err)
			<-finished
			return kills
		}
		kills++
	}
}

// life is what a session has to remember, as far as its owner was told.
type life struct {
	session string // the owner's id for it
	counter
	notes map[string]string // files that were written
	// maybeStopped is a stop whose answer never came: the session may have ended, or not.
	maybeStopped bool
}

// owner leads a few sessions, one step at a time.
type owner struct {
	*livesRun
	n     int
	born  int
	lives []*life
}

// steps are what may happen to a session, each with how often of a hundred.
var steps = []struct {
	name  string
	often int
	take  func(*owner, context.Context, *life) error
}{
	{"call", 45, (*owner).call},
	{"write", 10, (*owner).write},
	{"read", 15, (*owner).read},
	{"sleep", 14, (*owner).sleep},
	{"wake", 5, (*owner).wake},
	{"fork", 6, (*owner).fork},
	{"stop", 5, (*owner).stop},
}

const livesEach = 6

func (o *owner) live(ctx context.Context) error {
	for time.Now().Before(o.until) && ctx.Err() == nil {
		for len(o.lives) < livesEach {
			o.lives = append(o.lives, o.newLife())
		}
		at := o.lives[rand.IntN(len(o.lives))]
		if err := o.step(ctx, at); err != nil {
			return fmt.Errorf("session %s: %w", at.session, err)
		}
	}
	return nil
}

func (o *owner) newLife() *life {
	o.born++
	return &life{session: fmt.Sprintf("life-%d-%d-%s", o.n, o.born, strings.Repeat("0", 33)), notes: map[string]string{}}
}

func (o *owner) step(ctx context.Context, l *life) error {
	dice := rand.IntN(100)
	for _, s := range steps {
		if dice -= s.often; dice >= 0 {
			continue
		}
		err := s.take(o, ctx, l)
		switch {
		case err == nil:
			o.done[s.name].Add(1)
		case connectionBroke(err):
			o.broken.Add(1)
			time.Sleep(50 * time.Millisecond) // the next server is on its way
		case isPassing(err):
		default:
			return fmt.Errorf("%s: %w", s.name, err)
		}
		return nil
	}
	return nil
}

// isPassing reports whether an answer says to come again, and no state was touched.
func isPassing(err error) bool {
	var api smithy.APIError
	if errors.As(err, &api) {
		return slices.Contains([]string{"ThrottlingException", "RetryableConflictException", "ServiceQuotaExceededException"}, api.ErrorCode())
	}
	return strings.Contains(err.Error(), "status 409") || strings.Contains(err.Error(), "status 429") || strings.Contains(err.Error(), "status 404")
}

func (o *owner) call(ctx context.Context, l *life) error {
	var got state
	err := o.agent.call(ctx, l.session, map[string]any{"op": "state"}, &got)
	l.pending++
	if err != nil {
		return err
	}
	return o.hold(l, got)
}

// hold compares an answer with the model.
func (o *owner) hold(l *life, got state) error {
	if l.maybeStopped && got.Boot != l.boot { // it did end, and this is the next one
		l.counter, l.notes = counter{pending: l.pending}, map[string]string{}
	}
	l.maybeStopped = false
	l.counter.session = l.session
	err := l.acknowledge(got)
	if err != nil {
		o.divergences.Add(1)
	}
	return err
}

func (o *owner) write(ctx context.Context, l *life) error {
	path, text := fmt.Sprintf("/tmp/note-%d", rand.IntN(3)), fmt.Sprintf("%s %d", l.session, rand.Int())
	var got state
	err := o.agent.call(ctx, l.session, map[string]any{"op": "write", "path": path, "text": text}, &got)
	l.pending++
	if err != nil {
		delete(l.notes, path) // it may be there, or not
		return err
	}
	if err := o.hold(l, got); err != nil {
		return err
	}
	l.notes[path] = text
	return nil
}

func (o *owner) read(ctx context.Context, l *life) error {
	if len(l.notes) == 0 || l.maybeStopped {
		return o.call(ctx, l)
	}
	path := slices.Sorted(maps.Keys(l.notes))[0]
	var got state
	err := o.agent.call(ctx, l.session, map[string]any{"op": "read", "path": path}, &got)
	l.pending++
	if err != nil {
		return err
	}
	if l.boot != "" && got.Boot != l.boot || got.Text == nil || *got.Text != l.notes[path] {
		o.divergences.Add(1)
		return fmt.Errorf("%s holds %v in sandbox %s, want %q in %s", path, got.Text, got.Boot, l.notes[path], l.boot)
	}
	return nil
}

// id is the platform's name of the session, "" while there is none.
func (o *owner) id(ctx context.Context, l *life) (string, error) {
	known, err := o.agent.server.sessions(ctx, l.session)
	if err != nil {
		return "", err
	}
	for _, s := range known {
		if s.State != "stopped" {
			return s.ID, nil
		}
	}
	return "", nil
}

// ask does something to the session by way of /v1; without a session there is nothing to do.
func (o *owner) ask(ctx context.Context, l *life, verb string) ([]byte, error) {
	id, err := o.id(ctx, l)
	if err != nil || id == "" {
		return nil, err
	}
	return o.agent.server.ask(ctx, "POST", "/v1/sessions/"+id+"/"+verb)
}

func (o *owner) sleep(ctx context.Context, l *life) error {
	_, err := o.ask(ctx, l, "sleep")
	return err
}

func (o *owner) wake(ctx context.Context, l *life) error {
	_, err := o.ask(ctx, l, "wake")
	return err
}

// fork makes a branch that remembers what its parent does, and goes its own way from there.
func (o *owner) fork(ctx context.Context, l *life) error {
	if l.boot == "" || l.maybeStopped {
		return nil
	}
	answer, err := o.ask(ctx, l, "fork")
	if err != nil || answer == nil {
		return err
	}
	var made struct{ Branches []session }
	if err := json.Unmarshal(answer, &made); err != nil || len(made.Branches) != 1 {
		return fmt.Errorf("fork answered %s (%v)", answer, err)
	}
	branch := &life{session: made.Branches[0].SessionID, counter: l.counter, notes: maps.Clone(l.notes)}
	branch.boot = ""                                       // the probe takes a new one when its memory is cloned
	if old := o.lives[rand.IntN(len(o.lives))]; old != l { // the branch takes another's place
		if err := o.stop(ctx, old); err != nil && !connectionBroke(err) {
			return err
		}
		o.lives[slices.Index(o.lives, old)] = branch
	} else {
		o.lives = append(o.lives, branch)
	}
	return o.call(ctx, branch)
}

func (o *owner) stop(ctx context.Context, l *life) error {
	err := o.agent.stopSession(ctx, l.session)
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorCode() == "ResourceNotFoundException" {
		err = nil // it was never opened, or an earlier stop came through
	}
	if err != nil {
		l.maybeStopped = true
		return err
	}
	l.counter, l.notes, l.maybeStopped = counter{}, map[string]string{}, false
	return nil
}
