package gvisor

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
)

var (
	_ sandbox.Preparer = (*Driver)(nil)
	_ sandbox.Prepared = (*box)(nil)
)

// Clone implements [sandbox.Cloner] for what this build froze.
func (d *Driver) Clone(ctx context.Context, dir string, as sandbox.CloneSpec) (sandbox.Sandbox, error) {
	s, was, err := d.openFrozen(dir)
	if err != nil {
		return nil, err
	}
	b, err := d.newClone(was, as)
	if err != nil {
		return nil, err
	}
	return d.thaw(ctx, b, s, was.Parts, b.hold)
}

func (d *Driver) newClone(was frozen, as sandbox.CloneSpec) (*box, error) {
	spec, err := as.Of(was.Spec)
	if err != nil {
		return nil, err
	}
	b := d.newBox(spec)
	b.info.Cloned, b.frozen = true, true
	b.held = make(chan struct{})
	return b, nil
}

// hold gives a clone its time to reseed, in which it sends nothing outward.
func (b *box) hold() error {
	release := time.AfterFunc(holdPatience, b.release)
	b.later(func() error { release.Stop(); return nil })
	return nil
}

// blank is a prepared box's wait for what it shall become a clone of.
type blank struct {
	dir    string        // of the snapshot
	loaded chan struct{} // closed once it is a clone

	mu   sync.Mutex // held by Load
	over bool       // it was loaded, or never will be
}

// Prepare implements [sandbox.Preparer] for what this build froze.
func (d *Driver) Prepare(ctx context.Context, dir string, as sandbox.CloneSpec) (sandbox.Prepared, error) {
	_, was, err := d.openFrozen(dir)
	if err != nil {
		return nil, err
	}
	b, err := d.newClone(was, as)
	if err != nil {
		return nil, err
	}
	b.blank = &blank{dir: dir, loaded: make(chan struct{})}
	if _, err := d.begin(b, func() (*box, error) { return b.start(ctx, func() error { return nil }) }); err != nil {
		return nil, err
	}
	return b, nil
}

// openCall opens the pipe by which the engine is told that its snapshot comes, and returns the engine's end.
func (b *box) openCall() (theirs *os.File, err error) {
	if theirs, b.comes, err = os.Pipe(); err == nil {
		b.later(b.comes.Close)
	}
	return theirs, err
}

// Load implements [sandbox.Prepared].
func (b *box) Load(context.Context) error {
	if b.blank == nil {
		return moorage.Errorf(moorage.Conflict, "the sandbox does not wait for a snapshot")
	}
	b.blank.mu.Lock()
	defer b.blank.mu.Unlock()
	if b.blank.over {
		return errors.Join(b.alive(), moorage.Errorf(moorage.Conflict, "the sandbox waits for no snapshot any more"))
	}
	b.blank.over = true
	if err := b.loadBlank(); err != nil {
		return errors.Join(startError(err), killProcess(b.pidfd))
	}
	close(b.blank.loaded)
	return b.hold()
}

func (b *box) loadBlank() error {
	s, was, err := b.driver.openFrozen(b.blank.dir)
	if err != nil {
		return err
	}
	image, err := thaw(s, was.Parts)
	if err != nil {
		return err
	}
	defer image.close()
	return b.become(image)
}

// awaitLoaded returns once a prepared box is a clone, or never will be one since its engine died.
func (b *box) awaitLoaded() {
	dead := make(chan error, 1)
	go func() { dead <- awaitDeath(b.pidfd) }() // ends with the engine
	select {
	case <-b.blank.loaded:
	case <-dead:
		b.blank.mu.Lock() // a Load that is under way does not find its box cleared away
		defer b.blank.mu.Unlock()
		b.blank.over = true
	}
}
