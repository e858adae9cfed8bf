package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/image"
	"github.com/moorage-dev/moorage/internal/object"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/journal"
	"github.com/moorage-dev/moorage/internal/store"
)

// Builder turns what a version is made of into a program that sandboxes can start.
type Builder struct {
	Images    *image.Store
	Objects   *object.Store
	Driver    sandbox.Driver
	Isolation sandbox.Isolation // None runs code where it lies, with this machine's interpreter
	Dir       string            // for files of builds under way
	Log       *slog.Logger
}

// Build fetches, unpacks and installs. It may be repeated: what is there already is not made again.
func (b *Builder) Build(ctx context.Context, v moorage.Version, progress func(Step)) (*moorage.Program, error) {
	step := func(s image.Step) { progress(Step{s.Name, s.Took}) }
	if c := v.Config.Container; c != nil {
		a, err := b.Images.Image(ctx, c.URI, image.Credentials{}, step)
		return program(a), err
	}
	return b.code(ctx, *v.Config.Code, step)
}

func (b *Builder) code(ctx context.Context, c moorage.CodeZip, step func(image.Step)) (*moorage.Program, error) {
	zip, err := b.hold(c)
	if err != nil {
		return nil, err
	}
	defer os.Remove(zip)
	a, err := b.Images.Code(ctx, image.Code{Zip: zip, Runtime: c.Runtime, EntryPoint: c.EntryPoint}, installer{b}, step)
	return program(a), err
}

// hold gives the build a name of its own for the uploaded file, so that an upload under the same key
// cannot change it halfway.
func (b *Builder) hold(c moorage.CodeZip) (path string, err error) {
	if err := os.MkdirAll(b.Dir, 0o700); err != nil {
		return "", err
	}
	path = filepath.Join(b.Dir, sandbox.NewID()+".zip")
	if err := b.Objects.Link(c.Bucket, c.Key, path); err != nil {
		return "", fmt.Errorf("code s3://%s/%s: %w", c.Bucket, c.Key, err)
	}
	return path, nil
}

func program(a image.Artifact) *moorage.Program {
	return &moorage.Program{Digest: a.Digest, Root: a.EROFS, Args: a.Config.Args, Env: a.Config.Env, Dir: a.Config.Dir, User: a.Config.User}
}

// trialStorage gives a trial start an empty directory where sessions of the version have their storage.
func (b *Builder) trialStorage(id string, v moorage.Version) ([]sandbox.Mount, error) {
	if v.Config.Storage == "" {
		return nil, nil
	}
	dir := filepath.Join(b.Dir, id+"-storage")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return []sandbox.Mount{{Source: dir, Target: v.Config.Storage}}, os.Chmod(dir, 0o777) // as a session's: any user of the image may write
}

// labelBuild marks sandboxes that no session needs: an installer's.
const labelBuild = "build"

// Clear ends the builds and trial starts of an earlier server.
func (b *Builder) Clear(ctx context.Context) error {
	boxes, err := b.Driver.List(ctx)
	if err != nil {
		return err
	}
	for _, box := range boxes {
		labels := box.Info().Labels
		if labels[labelBuild] == "" && labels[labelTrial] == "" {
			continue
		}
		if err := errors.Join(box.Stop(ctx, 0), os.RemoveAll(box.Info().LogDir)); err != nil {
			b.Log.Error("clear away a build", "sandbox", box.Info().ID, "err", err) // no reason not to start
		}
	}
	return os.RemoveAll(b.Dir)
}

// Sweep removes the images that no version needs any more.
func (b *Builder) Sweep(ctx context.Context, db *store.DB) error {
	keep := map[string]bool{}
	err := db.View(ctx, func(tx *store.Tx) error {
		programs, err := tx.Programs()
		for _, p := range programs {
			keep[p.Digest] = true
		}
		return err
	})
	if err != nil {
		return err
	}
	_, err = b.Images.Sweep(ctx, func(digest string) bool { return keep[digest] })
	return err
}

// installer runs the code of strangers (package installers, setup.py) in a sandbox that reaches the
// package index and nothing else.
type installer struct{ *Builder }

// installLimits bound an installation.
var installLimits = sandbox.Limits{MemoryBytes: 4 << 30, OverlayBytes: 2 << 30}

const installTimeout = 10 * time.Minute

// Run does one step of a build in a sandbox of its own, which is gone when it returns.
func (in installer) Run(ctx context.Context, job image.Build) (image.Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, installTimeout)
	defer cancel()
	id := sandbox.NewID()
	logs := filepath.Join(in.Dir, id)
	defer os.RemoveAll(logs)
	box, err := in.Driver.Create(ctx, sandbox.Spec{
		ID: id, Labels: map[string]string{labelBuild: id}, Root: sandbox.Root{EROFS: job.Root}, LogDir: logs, Limits: installLimits,
		Process: sandbox.ProcessSpec{Args: job.Args, Env: job.Env, Dir: job.Dir},
		Mounts:  []sandbox.Mount{{Source: job.Output, Target: image.BuildDir}},
		Network: sandbox.Network{Egress: sandbox.EgressNone, Allow: job.Hosts},
	})
	if err != nil {
		return image.Outcome{}, err
	}
	exit, err := box.Wait(ctx)
	if err != nil && context.Cause(ctx) == context.DeadlineExceeded {
		err = moorage.Errorf(moorage.AgentFailed, "the installation of dependencies did not end within %s", installTimeout)
	}
	stop, done := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer done()
	return image.Outcome{Code: exit.Code, Output: lastLines(logs)}, errors.Join(err, box.Stop(stop, 0))
}

// installWords is how many lines of an installer's output an error quotes.
const installWords = 40

func lastLines(dir string) []string {
	lines, err := journal.Last(dir, installWords, "")
	if err != nil {
		return nil
	}
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = l.Text
	}
	return out
}
