package process

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/cgroup"
)

// Options set up a Driver.
type Options struct {
	Instance string       // names the driver's control groups on the host; default "process"
	Log      *slog.Logger // default discards
}

// Driver runs sandboxes as plain processes. They end with it.
type Driver struct {
	log    *slog.Logger
	groups *cgroup.Tree

	mu     sync.Mutex
	boxes  map[string]*box // nil while being created
	closed bool
}

var _ sandbox.Driver = (*Driver)(nil)

// New returns a driver.
func New(opts Options) *Driver {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	d := &Driver{
		log:    opts.Log,
		groups: cgroup.Open(cgroup.Root, cmp.Or(opts.Instance, "process")),
		boxes:  map[string]*box{},
	}
	d.groups.Sweep()
	return d
}

func (d *Driver) Name() string                 { return "process" }
func (d *Driver) Isolation() sandbox.Isolation { return sandbox.None }

// Create implements [sandbox.Driver].
func (d *Driver) Create(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	if err := errors.Join(ctx.Err(), check(spec)); err != nil {
		return nil, err
	}
	spec.Limits = spec.Limits.OrDefault()
	if err := d.reserve(spec.ID); err != nil {
		return nil, err
	}
	b, err := d.start(spec)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		delete(d.boxes, spec.ID)
		return nil, err
	}
	if b.ended() {
		delete(d.boxes, spec.ID)
	} else {
		d.boxes[spec.ID] = b
	}
	return b, nil
}

// check refuses what only isolation can do.
func check(spec sandbox.Spec) error {
	if err := spec.Check(); err != nil {
		return err
	}
	uid, _, _ := spec.Process.UserIDs()
	switch {
	case spec.Root.Host == "":
		return moorage.Errorf(moorage.Unsupported, "the process driver runs in a directory of the host; images need an isolating driver")
	case len(spec.Mounts) > 0:
		return moorage.Errorf(moorage.Unsupported, "the process driver cannot mount: session storage needs an isolating driver")
	case spec.Process.User != "" && os.Geteuid() != 0 && int(uid) != os.Geteuid():
		return moorage.Errorf(moorage.Unsupported, "the process driver cannot become another user on this machine")
	}
	return nil
}

func (d *Driver) reserve(id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return moorage.Errorf(moorage.Unavailable, "the engine is shutting down")
	}
	if _, taken := d.boxes[id]; taken {
		return moorage.Errorf(moorage.Conflict, "a sandbox with the id %s exists", id)
	}
	d.boxes[id] = nil
	return nil
}

func (d *Driver) forget(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.boxes[id] != nil {
		delete(d.boxes, id)
	}
}

// List implements [sandbox.Driver].
func (d *Driver) List(context.Context) ([]sandbox.Sandbox, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []sandbox.Sandbox
	for _, b := range d.boxes {
		if b != nil {
			out = append(out, b)
		}
	}
	slices.SortFunc(out, func(a, b sandbox.Sandbox) int { return cmp.Compare(a.Info().ID, b.Info().ID) })
	return out, nil
}

// Close ends every sandbox. It may be called twice.
func (d *Driver) Close() error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	running, err := d.List(ctx)
	for _, s := range running {
		err = errors.Join(err, s.Stop(ctx, 0))
	}
	d.groups.Sweep()
	return err
}
