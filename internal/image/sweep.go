package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/distribution/distribution/v3"
	"github.com/distribution/distribution/v3/registry/storage"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Removed is what a sweep took away.
type Removed struct {
	Artifacts []string // digests
	Manifests []string // digests, of the registry
	Layers    int      // baked bases and installed packages that nothing recent used
	Bytes     int64    // freed on disk, all together

	// Busy says that a part was left for the next sweep: a build or a push is under way, or the
	// last push is within the grace. The blobs of a push are named by nothing until its end.
	Busy bool
}

const (
	layerAge  = 30 * 24 * time.Hour // a base or packages that no build used for so long are made anew
	uploadAge = 24 * time.Hour      // an upload that was never finished
)

// Sweep removes the artifacts that keep does not want, and from the registry what no tag and no
// kept artifact needs. What was made or used within the grace stays. It waits for nobody: builds
// and requests wait for it. Sessions that still use a removed artifact hold it open.
func (s *Store) Sweep(ctx context.Context, keep func(digest string) bool) (Removed, error) {
	if !s.sweeping.TryLock() { // waiting would hold up every new build behind the longest
		return Removed{Busy: true}, nil
	}
	defer s.sweeping.Unlock()
	var out Removed
	if err := s.sweepArtifacts(keep, &out); err != nil {
		return out, fmt.Errorf("sweep artifacts: %w", err)
	}
	if err := s.sweepLayers(&out); err != nil {
		return out, fmt.Errorf("sweep layers: %w", err)
	}
	if err := s.registry.sweep(ctx, s.limits.Grace, keep, &out); err != nil {
		return out, fmt.Errorf("sweep registry: %w", err)
	}
	return out, nil
}

// sweepArtifacts removes the JSON file first: an image without one is not there.
func (s *Store) sweepArtifacts(keep func(string) bool, out *Removed) error {
	entries, err := os.ReadDir(s.path("artifacts"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		hex, ok := strings.CutSuffix(e.Name(), ".erofs")
		hex, _, _ = strings.Cut(hex, "-")
		image := s.path("artifacts", e.Name())
		facts := strings.TrimSuffix(image, ".erofs") + ".json"
		if !ok || keep("sha256:"+hex) || usedWithin(facts, s.limits.Grace) {
			continue
		}
		if err := remove(facts, out); err != nil {
			return err
		}
		if err := remove(image, out); err != nil {
			return err
		}
		if err := os.RemoveAll(strings.TrimSuffix(image, ".erofs") + ".dir"); err != nil {
			return err
		}
		out.Artifacts = append(out.Artifacts, "sha256:"+hex)
	}
	return nil
}

// usedWithin goes by what touch recorded.
func usedWithin(name string, d time.Duration) bool {
	info, err := os.Stat(name)
	return err == nil && time.Since(info.ModTime()) < d
}

// sweepLayers goes by when a layer was last used, which touch records.
func (s *Store) sweepLayers(out *Removed) error {
	entries, err := os.ReadDir(s.path("layers"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := s.path("layers", e.Name())
		if filepath.Ext(name) != ".tar" || usedWithin(name, layerAge) {
			continue
		}
		if err := remove(strings.TrimSuffix(name, ".tar")+".json", out); err != nil {
			return err
		}
		if err := remove(name, out); err != nil {
			return err
		}
		out.Layers++
	}
	return nil
}

// touch marks a file as used now.
func touch(name string) error {
	now := time.Now()
	return os.Chtimes(name, now, now)
}

func remove(name string, out *Removed) error {
	info, err := os.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	out.Bytes += info.Size()
	return os.Remove(name)
}

// sweep collects the registry's garbage while no request runs.
func (r *registry) sweep(ctx context.Context, grace time.Duration, keep func(string) bool, out *Removed) error {
	if out.Busy = !r.mu.TryLock(); out.Busy {
		return nil
	}
	defer r.mu.Unlock()
	if out.Busy = !r.quiet(grace); out.Busy {
		return nil
	}
	driver, namespace, err := r.reach(ctx)
	if err != nil {
		return err
	}
	before := diskUse(r.dir)
	if err := r.dropManifests(ctx, namespace, storage.NewVacuum(ctx, driver), keep, out); err != nil {
		return err
	}
	if err := storage.MarkAndSweep(ctx, driver, namespace, storage.GCOpts{Quiet: true}); err != nil && !emptyRegistry(err) {
		return err
	}
	_, errs := storage.PurgeUploads(ctx, driver, time.Now().Add(-uploadAge), true)
	out.Bytes += max(0, before-diskUse(r.dir))
	if err := errors.Join(errs...); err != nil && !emptyRegistry(err) {
		return err
	}
	return nil
}

// emptyRegistry recognises a registry that nothing was pushed to yet.
func emptyRegistry(err error) bool { return strings.Contains(err.Error(), "Path not found") }

// dropManifests removes from each repository the manifests that nothing leads to.
func (r *registry) dropManifests(ctx context.Context, ns distribution.Namespace, vacuum storage.Vacuum, keep func(string) bool, out *Removed) error {
	var repos []string
	err := ns.(distribution.RepositoryEnumerator).Enumerate(ctx, func(name string) error {
		repos = append(repos, name)
		return nil
	})
	if err != nil {
		if emptyRegistry(err) {
			return nil
		}
		return err
	}
	for _, name := range repos {
		if err := dropFrom(ctx, ns, vacuum, name, keep, out); err != nil {
			return fmt.Errorf("repository %s: %w", name, err)
		}
	}
	return nil
}

func dropFrom(ctx context.Context, ns distribution.Namespace, vacuum storage.Vacuum, name string, keep func(string) bool, out *Removed) error {
	c, err := contentsOf(ctx, ns, name)
	if err != nil {
		return err
	}
	if err := c.markFrom(ctx, keep); err != nil {
		return err
	}
	for _, d := range c.manifests {
		if c.marked[d] {
			continue
		}
		if err := vacuum.RemoveManifest(name, d, c.tags); err != nil {
			return err
		}
		out.Manifests = append(out.Manifests, d.String())
	}
	return nil
}

// contents is what one repository holds.
type contents struct {
	service   distribution.ManifestService
	lookup    distribution.TagService
	manifests []digest.Digest
	referrers map[digest.Digest][]v1.Descriptor // by their subject
	tags      []string
	marked    map[digest.Digest]bool
}

func contentsOf(ctx context.Context, ns distribution.Namespace, name string) (*contents, error) {
	named, err := reference.WithName(name)
	if err != nil {
		return nil, err
	}
	repo, err := ns.Repository(ctx, named)
	if err != nil {
		return nil, err
	}
	c := &contents{lookup: repo.Tags(ctx), marked: map[digest.Digest]bool{}}
	if c.service, err = repo.Manifests(ctx); err != nil {
		return nil, err
	}
	err = c.service.(distribution.ManifestEnumerator).Enumerate(ctx, func(d digest.Digest) error {
		c.manifests = append(c.manifests, d)
		return nil
	})
	if err != nil && !emptyRegistry(err) {
		return nil, err
	}
	c.tags, err = c.lookup.All(ctx)
	if unknown := (distribution.ErrRepositoryUnknown{}); errors.As(err, &unknown) {
		err = nil // blobs were pushed, and never a manifest
	}
	if err == nil {
		c.referrers, err = referrersAmong(ctx, c.service, c.manifests)
	}
	return c, err
}

// markFrom marks the manifests that a tag or a kept artifact leads to.
func (c *contents) markFrom(ctx context.Context, keep func(string) bool) error {
	for _, d := range c.manifests {
		tags, err := c.lookup.Lookup(ctx, v1.Descriptor{Digest: d})
		if err != nil && !errors.As(err, &distribution.ErrRepositoryUnknown{}) {
			return err
		}
		if len(tags) == 0 && !keep(d.String()) {
			continue
		}
		if err := c.mark(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

func (c *contents) mark(ctx context.Context, d digest.Digest) error {
	if c.marked[d] {
		return nil
	}
	c.marked[d] = true
	m, err := c.service.Get(ctx, d)
	if err != nil {
		return err
	}
	for _, ref := range m.References() {
		if ok, err := c.service.Exists(ctx, ref.Digest); err != nil || !ok {
			continue // a blob, or the manifest of another platform that was never pushed
		}
		if err := c.mark(ctx, ref.Digest); err != nil {
			return err
		}
	}
	for _, referrer := range c.referrers[d] { // what is said of a manifest, signatures say, stays with it
		if err := c.mark(ctx, referrer.Digest); err != nil {
			return err
		}
	}
	return nil
}

// diskUse is the sum of the file sizes below dir, as far as they can be read.
func diskUse(dir string) (sum int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			sum += info.Size()
		}
		return nil
	})
	return sum
}
