package gvisor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/door"
	"github.com/moorage-dev/moorage/internal/sandbox/reseed"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/sentry/control"
	"gvisor.dev/gvisor/pkg/urpc"
	"gvisor.dev/gvisor/runsc/boot"
)

var _ sandbox.Reseeder = (*box)(nil)

// confirmAt is where the processes of every sandbox confirm.
var confirmAt = net.JoinHostPort(door.Addr.String(), strconv.Itoa(reseed.Port))

const (
	// reseedPatience is how long the processes of a sandbox may take: a hundred times what they need.
	// One whose main thread is in a long call of native code takes longer, and is not cloned.
	reseedPatience = 3 * time.Second

	// settled is how long nobody has come to the desk when nobody will.
	settled = 100 * time.Millisecond

	// firstAnswer is how long the processes of a sandbox that is no clone yet have until one of them
	// answers: where nothing of ours runs, nobody waits for long to be told so.
	firstAnswer = 2 * time.Second

	// holdPatience is how long a clone that has not confirmed may send nothing outward. Whoever has it
	// for longer uses it all the same, and knows what it shares.
	holdPatience = 10 * time.Second
)

// reseedAgain is after how long those are told once more who have not answered: one that was just
// starting did not know the signal yet. Tests set it.
var reseedAgain = 20 * time.Millisecond

// Reseed implements [sandbox.Reseeder].
func (b *box) Reseed(ctx context.Context) error {
	if err := b.running(); err != nil {
		return err
	}
	if !b.spec.Reseeder {
		return uncloned("nothing in the sandbox can confirm that it reseeded")
	}
	b.reseeding.Lock()
	defer b.reseeding.Unlock()
	round := b.desk.Open()
	defer round.Close()
	silent, tellings, err := b.awaitAnswers(ctx, round)
	if err != nil {
		return err
	}
	if len(silent) > 0 {
		return uncloned("%s did not confirm that it reseeded", strings.Trim(fmt.Sprint(silent), "[]"))
	}
	b.release()
	if tellings > 1 && b.held == nil {
		b.settle(ctx)
	}
	return nil
}

// settle waits until whoever was told more than once has answered for the last time. A sandbox that is frozen while one of its
// processes connects to the desk makes clones in which that one waits for seconds, and hears no signal meanwhile.
func (b *box) settle(ctx context.Context) {
	look, enough := time.NewTicker(settled/10), time.NewTimer(reseedPatience)
	defer func() { look.Stop(); enough.Stop() }()
	for !b.desk.Quiet(settled) {
		select {
		case <-look.C:
		case <-enough.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// release lets a clone send outward: what its threads draw before they all have new entropy stays
// inside, a TLS handshake above all.
func (b *box) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held != nil && !b.released {
		b.released = true
		close(b.held)
	}
}

// awaitAnswers returns once all have answered, one has said no, or patience is at its end: then with
// those who are silent. Tellings is how often those were told who had not answered.
func (b *box) awaitAnswers(ctx context.Context, round *reseed.Round) (silent []insider, tellings int, err error) {
	patience, first := time.NewTimer(reseedPatience), time.NewTimer(firstAnswer)
	again := time.NewTicker(reseedAgain)
	defer func() { patience.Stop(); first.Stop(); again.Stop() }()
	for due, told := true, false; ; {
		silent, err = b.silent(ctx, round)
		if due && told { // else all that is missing is time
			silent = slices.DeleteFunc(silent, b.dead)
		}
		if err != nil || len(silent) == 0 {
			return nil, tellings, err
		}
		if due {
			b.tell(ctx, silent)
			tellings++
		}
		due, told = false, true
		select {
		case <-round.Changed:
		case <-again.C:
			due = true
		case <-first.C:
			if b.held == nil && len(round.Answers()) == 0 {
				return silent, tellings, nil
			}
		case <-patience.C:
			return silent, tellings, nil
		case <-ctx.Done():
			return nil, tellings, ctx.Err()
		}
	}
}

// tell signals processes, one by one: the engine would pause them all to signal them at once, and what
// was paused has any of its threads take the signal, while Python waits in its first. One that is
// gone by now is missed by nobody.
func (b *box) tell(ctx context.Context, inside []insider) {
	for _, p := range inside {
		if err := b.signal(ctx, p.PID, unix.SIGWINCH); err != nil {
			b.driver.opts.Log.Debug("tell a process to reseed", "sandbox", b.info.ID, "process", p.PID, "err", err)
		}
	}
}

// silent returns the processes that have not answered, or the error of one that said no. The answers
// are taken before the processes: what a process that has answered starts afterwards begins with its
// new state, and what it had started before is seen.
func (b *box) silent(ctx context.Context, round *reseed.Round) (silent []insider, err error) {
	answers := round.Answers()
	inside, err := b.insiders(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range inside {
		a, answered := answers[p.PID]
		if a.Cause != "" {
			return nil, uncloned("%s cannot reseed: %s", p, a.Cause)
		}
		if !answered {
			silent = append(silent, p)
		}
	}
	return silent, nil
}

func uncloned(format string, args ...any) error {
	return &moorage.Error{Code: moorage.Unsupported, Op: "reseed", Message: fmt.Sprintf(format, args...)}
}

// insider is a process in the sandbox.
type insider struct {
	PID     int32  `json:"pid"`
	Command string `json:"cmd"`
}

func (p insider) String() string { return fmt.Sprintf("process %d (%s)", p.PID, p.Command) }

func (b *box) insiders(ctx context.Context) (all []insider, err error) {
	err = b.call(ctx, boot.ContMgrProcesses, b.info.ID, &all)
	return all, err
}

// dead reports whether a process has ended and its parent has not asked for its exit. The engine's list
// of processes does not tell.
func (b *box) dead(p insider) bool {
	conn, err := b.control()
	if err != nil {
		return false
	}
	defer conn.Close()
	from, to, err := os.Pipe()
	if err != nil {
		return false
	}
	defer from.Close()
	err = conn.Call("Fs.Cat", &control.CatOpts{
		Files: []string{fmt.Sprintf("/proc/%d/stat", p.PID)}, FilePayload: urpc.FilePayload{Files: []*os.File{to}},
	}, nil)
	to.Close()
	if err != nil {
		return false // it is gone, and will not be listed again
	}
	stat, err := io.ReadAll(from)
	_, state, _ := bytes.Cut(stat, []byte(p.Command+") "))
	return err == nil && bytes.HasPrefix(state, []byte("Z"))
}

// reseederImage holds what sandboxes get at reseed.Dir. It lies with the build's other state: what this
// build froze is woken with the same.
func (d *Driver) reseederImage() string {
	return filepath.Join(d.opts.Dir, "reseed-"+reseed.ImageID()+".erofs")
}

// writeReseeder makes the image unless it is there, whole: a shim has to start on a full disk, too.
func (d *Driver) writeReseeder() error {
	if _, err := os.Stat(d.reseederImage()); err == nil {
		return nil
	}
	f, err := os.CreateTemp(d.opts.Dir, "reseed-*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err := errors.Join(reseed.WriteImage(f), f.Sync(), f.Chmod(0o444), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), d.reseederImage())
}

func (d *Driver) reseederMount() specs.Mount {
	return specs.Mount{Destination: reseed.Dir, Type: "erofs", Source: d.reseederImage(), Options: []string{"ro", "nosuid", "nodev"}}
}
