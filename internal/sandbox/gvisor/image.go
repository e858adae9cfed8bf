package gvisor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
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
	apart  = []string{"image", "index", pagesPart} // kernel; where which page belongs; memory
	stream = []string{"image"}                     // all of it, by an engine that is not mended, or an earlier build
)

const pagesPart = "pages"

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

// thawing is an image on its way into an engine. Its pages, where they are apart, stay sealed on disk: the engine decrypts them to
// where they belong. All else is decrypted into memory while the engine boots.
type thawing struct {
	files []*os.File // in the engine's order
	key   []byte     // to the last of them, the pages; nil when all is in the clear
	work  errgroup.Group
}

func thaw(s *snapshot.Snapshot, parts []string) (*thawing, error) {
	t := new(thawing)
	for _, part := range parts {
		if err := t.add(s, part); err != nil {
			t.close()
			return nil, err
		}
	}
	return t, nil
}

func (t *thawing) add(s *snapshot.Snapshot, part string) error {
	if part == pagesPart {
		sealed, key, err := s.Part(part)
		if err != nil {
			return err
		}
		t.files = append(t.files, sealed)
		t.key, err = json.Marshal(key)
		return err
	}
	clear, err := memoryFile(part)
	if err != nil {
		return err
	}
	t.files = append(t.files, clear)
	t.work.Go(func() error {
		if err := s.WritePart(clear, part); err != nil {
			return err
		}
		_, err := clear.Seek(0, io.SeekStart)
		return err
	})
	return nil
}

func (t *thawing) close() {
	t.work.Wait()
	closeFiles(t.files)
}

// memoryFile makes a file that is nowhere but in memory.
func memoryFile(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make room for an image: %w", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// load gives a booted engine the image to become what it was, and returns once the engine has all of it, each page as it was
// written. Connections outward of that time are aborted: the far ends know nothing of them any more. With pages apart, the agent
// runs before all are there, and waits for those that it needs; an engine that finds one changed ends.
func (b *box) load(image *thawing, network *boot.CreateLinksAndRoutesArgs) error {
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
	opts := &boot.RestoreOpts{FilePayload: urpc.FilePayload{Files: image.files}}
	if image.key != nil {
		opts.HavePagesFile, opts.Background = true, true
		any(opts).(interface{ SetPagesKey([]byte) }).SetPagesKey(image.key)
	}
	err = conn.Call(boot.ContMgrRestore, opts, nil)
	if err == nil {
		err = b.call(context.Background(), boot.ContMgrWaitRestore, nil, nil) // the engine hung up: its new kernel has new ears
	}
	if err != nil {
		return snapshot.Damaged(err)
	}
	return nil
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
