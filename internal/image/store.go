package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
)

// Options configure a Store.
type Options struct {
	Dir    string // owned by the store; made if absent
	Log    *slog.Logger
	Limits Limits
	Index  Index

	// RegistryHost is the name under which clients push to [Store.Registry], such as
	// "127.0.0.1:9400". Images of that name are read in-process. Empty: there is no such name.
	RegistryHost string

	// Loopback allows pulls from registries on this machine's loopback. Whoever may deploy could
	// otherwise ask whatever listens there.
	Loopback bool
}

// Limits bound one artifact. The zero value of each means its default.
// Source of the defaults but the last four: AgentCore quotas.
type Limits struct {
	ImageBytes    int64         // compressed, all layers; default 2 GiB
	ZipBytes      int64         // default 250 MiB
	CodeBytes     int64         // of a zip's contents; default 750 MiB
	UnpackedBytes int64         // of a root file system; default 8 GiB
	Entries       int           // files, directories and links of a root file system; default 1,000,000
	Stall         time.Duration // of a registry that sends nothing; default 30 s
	Grace         time.Duration // in which a sweep spares what was just pushed, built or used; default 15 min
}

func (l Limits) withDefaults() Limits {
	return Limits{
		ImageBytes: or(l.ImageBytes, 2<<30), ZipBytes: or(l.ZipBytes, 250<<20), CodeBytes: or(l.CodeBytes, 750<<20),
		UnpackedBytes: or(l.UnpackedBytes, 8<<30), Entries: or(l.Entries, 1_000_000), Stall: or(l.Stall, 30*time.Second), Grace: or(l.Grace, 15*time.Minute),
	}
}

func or[T comparable](v, otherwise T) T {
	if v == *new(T) {
		return otherwise
	}
	return v
}

// Store holds artifacts, baked bases and pushed images in one directory. Its methods may be called
// concurrently; one process at a time may have the directory open.
type Store struct {
	opts     Options
	limits   Limits
	log      *slog.Logger
	registry *registry
	reach    reach
	flights  flights
	probes   prober
	sweeping sync.RWMutex // held for reading by every build
}

// Open opens the store in opts.Dir and clears away what a crash left unfinished.
func Open(opts Options) (*Store, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{opts: opts, limits: opts.Limits.withDefaults(), log: opts.Log}
	if err := os.RemoveAll(s.path("tmp")); err != nil {
		return nil, err
	}
	for _, dir := range []string{"tmp", "artifacts", "layers", "registry"} {
		if err := os.MkdirAll(s.path(dir), 0o700); err != nil {
			return nil, err
		}
	}
	s.registry = openRegistry(s.path("registry"), s.limits.Stall, s.log)
	s.reach = newReach(opts.Loopback, net.Dialer{Timeout: s.limits.Stall})
	return s, nil
}

// Registry serves the OCI distribution API under /v2/, without authentication: whoever mounts it
// puts that in front.
func (s *Store) Registry() http.Handler { return s.registry }

func (s *Store) path(elem ...string) string {
	return filepath.Join(append([]string{s.opts.Dir}, elem...)...)
}

// Artifact is a root file system and how to start a process in it.
type Artifact struct {
	Digest string `json:"digest"` // sha256:…, of what it was made from
	Source string `json:"source"` // for people: the reference, file or code digest
	EROFS  string `json:"-"`      // host path of the image, never changed once it is there
	Size   int64  `json:"size"`   // bytes of the image
	Config Config `json:"config"`
}

// Config says how to start the artifact's process.
type Config struct {
	Args  []string `json:"args"`
	Env   []string `json:"env,omitempty"`
	Dir   string   `json:"dir,omitempty"`
	User  string   `json:"user,omitempty"`  // "uid:gid" in numbers; empty is root
	Ports []int    `json:"ports,omitempty"` // TCP, as the image exposes them
}

// Step is one finished part of a build, for people who wait.
type Step struct {
	Name string // such as "pull" or "install dependencies"
	Took time.Duration
}

// format is part of every file name: a change of what we write makes new artifacts, and leaves
// the ones that live sessions have open.
const format = "1"

var digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

func (s *Store) artifactPath(digest, ext string) string {
	return s.path("artifacts", strings.TrimPrefix(digest, "sha256:")+"-"+format+ext)
}

// Artifact returns the artifact of the given digest if it is there, else moorage.NotFound.
func (s *Store) Artifact(digest string) (Artifact, error) {
	if !digestForm.MatchString(digest) {
		return Artifact{}, moorage.Errorf(moorage.Invalid, "%q is not a sha256 digest", digest)
	}
	raw, err := os.ReadFile(s.artifactPath(digest, ".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return Artifact{}, moorage.Errorf(moorage.NotFound, "there is no artifact %s", digest)
	}
	if err != nil {
		return Artifact{}, err
	}
	a := Artifact{EROFS: s.artifactPath(digest, ".erofs")}
	if err := json.Unmarshal(raw, &a); err != nil {
		return Artifact{}, fmt.Errorf("read artifact %s: %w", digest, err)
	}
	_, err = os.Stat(a.EROFS)
	return a, err
}

// artifact returns the artifact of the given digest, made by fill if it is not there yet.
// fill puts everything into the builder and returns how to start it.
func (s *Store) artifact(ctx context.Context, digest, source string, fill func(context.Context, *builder) (Config, error)) (Artifact, error) {
	_, err := s.flights.do(ctx, "artifact "+digest, func(ctx context.Context) (string, error) {
		if _, err := s.Artifact(digest); moorage.CodeOf(err) != moorage.NotFound {
			return "", err
		}
		return "", explain(s.make(ctx, Artifact{Digest: digest, Source: source}, fill))
	})
	if err != nil {
		return Artifact{}, err
	}
	return s.reuse(digest)
}

// reuse returns an artifact and marks it as used now, so that a sweep spares it until its new user
// has written down that it is kept.
func (s *Store) reuse(digest string) (Artifact, error) {
	a, err := s.Artifact(digest)
	if err != nil {
		return a, err
	}
	return a, touch(s.artifactPath(digest, ".json"))
}

// make writes the image in a directory of its own and moves it to its place. The JSON file comes
// last: an image without one is not there.
func (s *Store) make(ctx context.Context, a Artifact, fill func(context.Context, *builder) (Config, error)) error {
	dir, err := os.MkdirTemp(s.path("tmp"), "artifact-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	f, err := os.Create(filepath.Join(dir, "root.erofs"))
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := newBuilder(f, s.limits.UnpackedBytes, s.limits.Entries)
	if err != nil {
		return err
	}
	if a.Config, err = fill(ctx, b); err != nil {
		return err
	}
	if a.Size, err = s.seal(b, f); err != nil {
		return err
	}
	if b.devices > 0 {
		s.log.Info("device files left out of an artifact", "source", a.Source, "count", b.devices)
	}
	return s.publish(a, f.Name())
}

func (s *Store) seal(b *builder, f *os.File) (int64, error) {
	if err := b.finish(); err != nil {
		return 0, err
	}
	size, err := b.out.Close(b.root)
	if err != nil {
		return 0, fmt.Errorf("write root file system: %w", err)
	}
	if err := f.Chmod(0o644); err != nil { // an engine without root reads it as nobody
		return 0, err
	}
	return size, f.Sync()
}

func (s *Store) publish(a Artifact, file string) error {
	if err := os.Rename(file, s.artifactPath(a.Digest, ".erofs")); err != nil {
		return err
	}
	raw, err := json.Marshal(a)
	if err != nil {
		return err
	}
	tmp := filepath.Join(filepath.Dir(file), "artifact.json")
	if err := writeSynced(tmp, raw); err != nil {
		return err
	}
	if err := os.Rename(tmp, s.artifactPath(a.Digest, ".json")); err != nil {
		return err
	}
	return syncDir(s.path("artifacts"))
}

func writeSynced(name string, data []byte) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}

func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
