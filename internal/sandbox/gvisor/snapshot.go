package gvisor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/snapshot"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/runsc/boot"
)

var (
	_ sandbox.Sleeper = (*box)(nil)
	_ sandbox.Waker   = (*Driver)(nil)
)

// specPart is the part of a snapshot that holds a frozen, as JSON.
const specPart = "spec"

// frozen is what the driver itself has to remember of a sandbox that sleeps.
type frozen struct {
	Spec  sandbox.Spec `json:"spec"`
	Info  sandbox.Info `json:"info"`
	Parts []string     `json:"parts"` // of the image
}

// wakePatience bounds how long an engine may take over an image. A second is plenty for a gigabyte.
const wakePatience = time.Minute

// Checkpoint implements [sandbox.Sleeper]. The tasks stand still from before the image is taken
// until the engine is gone, so nothing that the agent does is lost; and the engine goes only once
// the image is on the disk, so a full one costs nothing.
func (b *box) Checkpoint(ctx context.Context, dir string) error {
	b.pausing.Lock()
	defer b.pausing.Unlock()
	err := b.freezeLocked(ctx, dir)
	for try := 1; try < freezeTries && moorage.CodeOf(err) == moorage.Busy; try++ {
		time.Sleep(freezePause)
		err = b.freezeLocked(ctx, dir)
	}
	if err != nil {
		return err
	}
	b.asleep.Store(true)
	memory := openMemory(b.container.Sandbox.Getpid())
	defer b.driver.discarding.Go(func() { closeFiles(memory) })
	killErr := errors.Join(killProcess(b.pidfd), b.group.Kill()) // the group, so that the processes end side by side
	if _, err := b.Wait(context.WithoutCancel(ctx)); err != nil {
		return errors.Join(err, killErr)
	}
	return nil
}

// openMemory holds the files that an engine has its memory in. The kernel takes the pages back when these are closed, not within the
// engine's end, which somebody waits for. Where they cannot be held, that end takes longer.
func openMemory(pid int) (files []*os.File) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	open, _ := os.ReadDir(dir)
	for _, e := range open {
		name := filepath.Join(dir, e.Name())
		if to, _ := os.Readlink(name); !strings.HasPrefix(to, "/memfd:") {
			continue
		}
		if f, err := os.OpenFile(name, unix.O_PATH, 0); err == nil {
			files = append(files, f)
		}
	}
	return files
}

// An engine lets go of a connection into the sandbox a moment after its user did, and cannot be saved before.
const (
	freezeTries = 4
	freezePause = 25 * time.Millisecond
)

// freezeLocked pauses the sandbox and writes its snapshot; when that fails, it runs as before. The
// caller holds pausing.
func (b *box) freezeLocked(ctx context.Context, dir string) error {
	if err := errors.Join(ctx.Err(), b.alive()); err != nil {
		return err
	}
	before := b.paused
	if err := b.setPausedLocked(ctx, true, boot.ContMgrPause); err != nil {
		return err
	}
	err := b.freeze(dir)
	if err == nil || before {
		return err
	}
	return errors.Join(err, b.setPausedLocked(context.WithoutCancel(ctx), false, boot.ContMgrResume))
}

// freeze writes the snapshot of a paused sandbox.
func (b *box) freeze(dir string) error {
	parts := imageParts()
	meta, err := json.Marshal(frozen{b.spec, b.Info(), parts})
	if err != nil {
		return err
	}
	w, err := snapshot.Create(dir, snapshot.Manifest{
		Driver: b.driver.Name(), Build: b.driver.opts.Build, Sandbox: b.info.ID, At: time.Now().UTC(),
	})
	if err != nil {
		return err
	}
	if err = w.Write(specPart, bytes.NewReader(meta)); err == nil {
		err = b.writeImage(w, parts)
	}
	if err == nil {
		err = w.Commit()
	}
	return errors.Join(err, w.Abort())
}

// Restore implements [sandbox.Waker] for what this build froze.
func (d *Driver) Restore(ctx context.Context, dir string) (sandbox.Sandbox, error) {
	s, was, err := d.openFrozen(dir)
	if err != nil {
		return nil, err
	}
	b := d.newBox(was.Spec)
	b.info.Labels, b.info.CreatedAt, b.info.Cloned, b.frozen = was.Info.Labels, was.Info.CreatedAt, was.Info.Cloned, true
	return d.thaw(ctx, b, s, was.Parts, func() error { return d.discard(dir) }) // it must not be woken twice
}

// discard removes a snapshot, and lets nobody wait for the disk.
func (d *Driver) discard(dir string) error {
	room, err := snapshot.Discard(dir)
	d.discarding.Go(func() { room.Close() })
	return err
}

// openFrozen opens what this build can bring back.
func (d *Driver) openFrozen(dir string) (*snapshot.Snapshot, frozen, error) {
	s, err := snapshot.Open(dir)
	if err != nil {
		return nil, frozen{}, err
	}
	if m := s.Manifest; m.Driver != d.Name() || m.Build != d.opts.Build {
		return nil, frozen{}, moorage.Errorf(moorage.Conflict, "engine %s %s froze this sandbox, and this is %s %s", m.Driver, m.Build, d.Name(), d.opts.Build)
	}
	meta, err := s.ReadPart(specPart)
	if err != nil {
		return nil, frozen{}, err
	}
	var was frozen
	if err := json.Unmarshal(meta, &was); err != nil {
		return nil, frozen{}, snapshot.Damaged(err)
	}
	return s, was, nil
}

// thaw brings b up as what the image in a snapshot is of, and calls then once it runs.
func (d *Driver) thaw(ctx context.Context, b *box, s *snapshot.Snapshot, parts []string, then func() error) (sandbox.Sandbox, error) {
	image, err := thaw(s, parts)
	if err != nil {
		return nil, err
	}
	defer image.close()
	return d.begin(b, func() (*box, error) {
		return b.start(ctx, func() error {
			if err := b.become(image); err != nil {
				return err
			}
			return then()
		})
	})
}

// become makes a booted engine what the image is of.
func (b *box) become(image *thawing) error {
	b.comes.Write([]byte{1}) // an engine that does not hear it is slower, no more
	if err := image.work.Wait(); err != nil {
		return err
	}
	return b.withNetwork(func(n *boot.CreateLinksAndRoutesArgs) error { return b.load(image, n) })
}
