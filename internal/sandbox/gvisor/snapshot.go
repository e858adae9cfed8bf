package gvisor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/snapshot"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/sentry/control"
	"gvisor.dev/gvisor/pkg/state/statefile"
	"gvisor.dev/gvisor/pkg/urpc"
	"gvisor.dev/gvisor/runsc/boot"
)

var (
	_ sandbox.Sleeper = (*box)(nil)
	_ sandbox.Waker   = (*Driver)(nil)
)

// The parts of a snapshot.
const (
	specPart  = "spec"  // a frozen, as JSON
	imagePart = "image" // what the engine saved, in one stream: kernel first, then memory
)

// frozen is what the driver itself has to remember of a sandbox that sleeps.
type frozen struct {
	Spec sandbox.Spec `json:"spec"`
	Info sandbox.Info `json:"info"`
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
	killErr := killProcess(b.pidfd)
	if _, err := b.Wait(context.WithoutCancel(ctx)); err != nil {
		return errors.Join(err, killErr)
	}
	return nil
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
	meta, err := json.Marshal(frozen{b.spec, b.Info()})
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
		err = b.writeImage(w)
	}
	if err == nil {
		err = w.Commit()
	}
	return errors.Join(err, w.Abort())
}

// writeImage lets the engine save itself into a pipe whose other end is sealed: the image is nowhere
// in the clear, and never in memory as a whole.
func (b *box) writeImage(w *snapshot.Writer) error {
	from, to, err := os.Pipe()
	if err != nil {
		return err
	}
	saved := make(chan error, 1)
	go func() {
		err := b.save(to)
		to.Close()
		saved <- err
	}()
	writeErr := w.Write(imagePart, from)
	from.Close() // an engine that still writes gives up
	if saveErr := <-saved; writeErr == nil && saveErr != nil {
		return saveError(saveErr)
	}
	return writeErr
}

// saveError says why an engine would not be saved. Connections into the sandbox are the usual reason:
// the near end of each is a waiter that gVisor cannot write down.
func saveError(err error) error {
	if strings.Contains(err.Error(), "waiter.ChannelNotifier") {
		return moorage.Errorf(moorage.Busy, "connections into the sandbox are open")
	}
	return &moorage.Error{Code: moorage.Unsupported, Op: "sleep", Message: "the sandbox cannot be put to sleep as it is", Err: err}
}

// save asks the engine for an image of itself. It is still there afterwards, and paused.
func (b *box) save(to *os.File) error {
	conn, err := b.control()
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Call(boot.ContMgrCheckpoint, &control.SaveOpts{
		Metadata:                       statefile.CompressionLevelNone.ToMetadata(),
		AppMFExcludeCommittedZeroPages: true,
		FilePayload:                    urpc.FilePayload{Files: []*os.File{to}},
		Resume:                         true,
	}, nil)
}

// Restore implements [sandbox.Waker] for what this build froze.
func (d *Driver) Restore(ctx context.Context, dir string) (sandbox.Sandbox, error) {
	s, was, err := d.openFrozen(dir)
	if err != nil {
		return nil, err
	}
	b := d.newBox(was.Spec)
	b.info.Labels, b.info.CreatedAt = was.Info.Labels, was.Info.CreatedAt
	return d.thaw(ctx, b, s, func() error { return snapshot.Remove(dir) }) // it must not be woken twice
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
	var meta bytes.Buffer
	if err := s.CopyPart(&meta, specPart); err != nil {
		return nil, frozen{}, err
	}
	var was frozen
	if err := json.Unmarshal(meta.Bytes(), &was); err != nil {
		return nil, frozen{}, snapshot.Damaged(err)
	}
	return s, was, nil
}

// thaw brings b up as what s froze, and calls then once it runs.
func (d *Driver) thaw(ctx context.Context, b *box, s *snapshot.Snapshot, then func() error) (sandbox.Sandbox, error) {
	return d.begin(b, func() (*box, error) {
		image := decrypt(s)
		defer image.close()
		return b.start(ctx, func() error {
			if err := image.wait(); err != nil {
				return err
			}
			if err := b.withNetwork(func(n *boot.CreateLinksAndRoutesArgs) error { return b.load(image.file, n) }); err != nil {
				return err
			}
			return then()
		})
	})
}

// plain is an image in memory, decrypted while the engine boots.
type plain struct {
	file *os.File // nil when there is no memory for it
	done chan struct{}
	err  error // set before done is closed
}

func decrypt(s *snapshot.Snapshot) *plain {
	p := &plain{done: make(chan struct{})}
	fd, err := unix.MemfdCreate("image", unix.MFD_CLOEXEC)
	if err != nil {
		p.err = fmt.Errorf("make room for an image: %w", err)
		close(p.done)
		return p
	}
	p.file = os.NewFile(uintptr(fd), "image")
	go func() {
		defer close(p.done)
		if p.err = s.CopyPart(p.file, imagePart); p.err == nil {
			_, p.err = p.file.Seek(0, io.SeekStart)
		}
	}()
	return p
}

func (p *plain) wait() error {
	<-p.done
	return p.err
}

func (p *plain) close() {
	<-p.done
	if p.file != nil {
		p.file.Close()
	}
}

// load gives a booted engine the image to become what it was. Connections outward of that time are
// aborted: the far ends know nothing of them any more.
func (b *box) load(image *os.File, network *boot.CreateLinksAndRoutesArgs) error {
	conn, err := b.control()
	if err != nil {
		return err
	}
	defer conn.Close()
	hung := time.AfterFunc(wakePatience, func() { killProcess(b.pidfd) })
	defer hung.Stop()
	network.IsRestore = true
	if err := conn.Call(boot.ContMgrSetNetworkArgs, network, nil); err != nil {
		return fmt.Errorf("set the sandbox's network: %w", err)
	}
	if err := conn.Call(boot.ContMgrRestore, &boot.RestoreOpts{FilePayload: urpc.FilePayload{Files: []*os.File{image}}}, nil); err != nil {
		return snapshot.Damaged(err)
	}
	return nil
}
