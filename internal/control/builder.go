package control

import (
	"context"
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
	Index     []string          // host:port of the package index, which installers may reach
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
	f, info, err := b.Objects.Open(c.Bucket, c.Key)
	if err != nil {
		return nil, fmt.Errorf("code s3://%s/%s: %w", c.Bucket, c.Key, err)
	}
	defer f.Close()
	a, err := b.Images.Code(ctx, image.Code{
		Zip: f, Size: info.Size, Digest: "sha256:" + info.SHA256, Runtime: c.Runtime, EntryPoint: c.EntryPoint,
	}, installer{b}, step)
	return program(a), err
}

func program(a image.Artifact) *moorage.Program {
	return &moorage.Program{Digest: a.Digest, Root: a.EROFS, Args: a.Config.Args, Env: a.Config.Env, Dir: a.Config.Dir, User: a.Config.User}
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
		if err := box.Stop(ctx, 0); err != nil {
			return err
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

// Run does one step of a build. Output is the last lines that it printed.
func (in installer) Run(ctx context.Context, job image.Job) (image.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, installTimeout)
	defer cancel()
	id := sandbox.NewID()
	logs := filepath.Join(in.Dir, id)
	defer os.RemoveAll(logs)
	var mounts []sandbox.Mount
	for _, m := range job.Mounts {
		mounts = append(mounts, sandbox.Mount{Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly})
	}
	box, err := in.Driver.Create(ctx, sandbox.Spec{
		ID: id, Labels: map[string]string{labelBuild: job.Name}, Root: sandbox.Root{EROFS: job.Root},
		Process: sandbox.ProcessSpec{Args: job.Args, Env: job.Env, Dir: job.Dir}, Mounts: mounts, Limits: installLimits,
		Network: sandbox.Network{Egress: sandbox.EgressPublic, Hosts: in.Index, Allow: in.Index}, LogDir: logs,
	})
	if err != nil {
		return image.Result{}, err
	}
	exit, err := box.Wait(ctx)
	stop, done := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer done()
	if e := box.Stop(stop, 0); err == nil {
		err = e
	}
	return image.Result{Code: exit.Code, Cause: exit.Cause, Output: lastLines(logs)}, err
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
