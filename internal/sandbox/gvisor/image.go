package gvisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox/snapshot"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/sentry/control"
	"gvisor.dev/gvisor/pkg/state/statefile"
	"gvisor.dev/gvisor/pkg/urpc"
	"gvisor.dev/gvisor/runsc/boot"
)

// An image is what an engine saves of itself. With its pages apart, a new engine reads these while it builds the kernel, and lets
// the agent run before all are there. Nothing of an image is on disk in the clear, nor whole in memory while it is saved: each part
// comes through a pipe and is sealed as it comes.
var (
	apart  = []string{"image", "index", "pages"} // kernel; where which page belongs; memory
	stream = []string{"image"}                   // all of it, by an engine that is not mended, or an earlier build
)

// imageParts are the parts of a snapshot that shall hold a sandbox's image, in the engine's order.
func imageParts() []string {
	if _, mended := any(new(control.SaveOpts)).(interface{ PagesTakePipe() }); mended {
		return apart
	}
	return stream
}

// pipeSize is what waits in a pipe for its reader at most, in bytes: a chunk that is sealed. A machine that does not grant it
// is slower.
const pipeSize = 1 << 20

// writeImage lets the engine save itself, and seals each part as it comes.
func (b *box) writeImage(w *snapshot.Writer, parts []string) error {
	var from, to []*os.File
	defer func() { closeFiles(from); closeFiles(to) }()
	for range parts {
		ours, theirs, err := os.Pipe()
		if err != nil {
			return err
		}
		from, to = append(from, ours), append(to, theirs)
		unix.FcntlInt(theirs.Fd(), unix.F_SETPIPE_SZ, pipeSize)
	}
	sealing, ctx := errgroup.WithContext(context.Background())
	defer context.AfterFunc(ctx, func() { closeFiles(from) })() // an engine that still writes gives up
	for i, part := range parts {
		sealing.Go(func() error { return w.Write(part, from[i]) })
	}
	saveErr := b.save(to)
	closeFiles(to)
	if err := sealing.Wait(); err != nil || saveErr == nil {
		return err
	}
	return saveError(saveErr)
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
func (b *box) save(to []*os.File) error {
	conn, err := b.control()
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Call(boot.ContMgrCheckpoint, &control.SaveOpts{
		Metadata:                       statefile.CompressionLevelNone.ToMetadata(),
		AppMFExcludeCommittedZeroPages: true,
		FilePayload:                    urpc.FilePayload{Files: to},
		HavePagesFile:                  len(to) > 1,
		Resume:                         true,
	}, nil)
}

// plain is an image in memory, decrypted while the engine boots.
type plain struct {
	files []*os.File
	errs  []error // of each file
	work  sync.WaitGroup
}

func decrypt(s *snapshot.Snapshot, parts []string) *plain {
	p := &plain{files: make([]*os.File, len(parts)), errs: make([]error, len(parts))}
	for i, part := range parts {
		if p.files[i], p.errs[i] = memoryFile(part); p.errs[i] != nil {
			continue
		}
		p.work.Go(func() { p.errs[i] = s.CopyPart(p.files[i], part) })
	}
	return p
}

func (p *plain) wait() error {
	p.work.Wait()
	return errors.Join(p.errs...)
}

func (p *plain) close() {
	p.work.Wait()
	for _, f := range p.files {
		f.Close() // does nothing to one that there was no memory for
	}
}

// memoryFile makes a file that is nowhere but in memory.
func memoryFile(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make room for an image: %w", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// load gives a booted engine the image to become what it was. Connections outward of that time are
// aborted: the far ends know nothing of them any more. With pages apart, the agent runs before all are
// there, and waits for those that it needs.
func (b *box) load(image []*os.File, network *boot.CreateLinksAndRoutesArgs) error {
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
	apart := len(image) > 1
	opts := &boot.RestoreOpts{FilePayload: urpc.FilePayload{Files: image}, HavePagesFile: apart, Background: apart}
	if err := conn.Call(boot.ContMgrRestore, opts, nil); err != nil {
		return snapshot.Damaged(err)
	}
	return nil
}
