package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/moorage-dev/moorage"
)

// Layout makes the artifact of the image in an OCI layout directory: the only one for this machine.
func (s *Store) Layout(ctx context.Context, dir string, progress func(Step)) (Artifact, error) {
	s.sweeping.RLock()
	defer s.sweeping.RUnlock()
	steps := stopwatch{report: progress, since: time.Now()}
	src, err := s.layout(dir, "layout "+filepath.Base(dir))
	if err != nil {
		return Artifact{}, err
	}
	return s.fromSource(ctx, src, &steps)
}

func (s *Store) layout(dir, name string) (oci, error) {
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return oci{}, &moorage.Error{Code: moorage.Invalid, Message: name + " is not an OCI image layout", Err: err}
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return oci{}, &moorage.Error{Code: moorage.Invalid, Message: name + " is not an OCI image layout", Err: err}
	}
	if len(manifest.Manifests) > 1 && manifest.Manifests[0].Platform == nil {
		return oci{}, moorage.Errorf(moorage.Invalid, "%s holds %d images; keep one", name, len(manifest.Manifests))
	}
	img, err := fromIndex(index, name)
	if err != nil {
		return oci{}, archiveError(name, err)
	}
	if err := verifyManifest(img, manifest); err != nil {
		return oci{}, archiveError(name, err)
	}
	src, err := newOCI(img, name)
	return src, archiveError(name, err)
}

// verifyManifest compares the image's manifest with the digest that the index gives it: nothing
// else on this way does. Inner indexes are covered by what they are read by.
func verifyManifest(img v1.Image, index *v1.IndexManifest) error {
	raw, err := img.RawManifest()
	if err != nil {
		return err
	}
	got := digestOf(raw)
	for _, d := range index.Manifests {
		if d.Digest.String() == got || d.MediaType.IsIndex() {
			return nil
		}
	}
	return moorage.Errorf(moorage.Invalid, "the manifest does not match its digest")
}

// Tarball makes the artifact of the image in a tar file, as "docker save" or "skopeo copy" to
// docker-archive: or oci-archive: write it.
func (s *Store) Tarball(ctx context.Context, file string, progress func(Step)) (Artifact, error) {
	s.sweeping.RLock()
	defer s.sweeping.RUnlock()
	steps := stopwatch{report: progress, since: time.Now()}
	name := "archive " + filepath.Base(file)
	if img, err := tarball.ImageFromPath(file, nil); err == nil {
		src, err := fromDocker(img, name)
		if err != nil {
			return Artifact{}, err
		}
		return s.fromSource(ctx, src, &steps)
	}
	dir, err := os.MkdirTemp(s.path("tmp"), "layout-")
	if err != nil {
		return Artifact{}, err
	}
	defer os.RemoveAll(dir)
	if err := s.extractLayout(file, dir); err != nil {
		return Artifact{}, archiveError(name, err)
	}
	src, err := s.layout(dir, name)
	if err != nil {
		return Artifact{}, err
	}
	return s.fromSource(ctx, src, &steps)
}

// fromDocker names the image by its configuration: an archive holds its layers uncompressed, so it
// has no manifest to name it by.
func fromDocker(img v1.Image, name string) (oci, error) {
	digest, err := img.ConfigName()
	if err != nil {
		return oci{}, archiveError(name, err)
	}
	src, err := checked(img, name, digest.String())
	src.local = true
	return src, archiveError(name, err)
}

var layoutFile = regexp.MustCompile(`^(oci-layout|index\.json|blobs/sha256/[0-9a-f]{64})$`)

// extractLayout takes the files of an OCI layout out of an archive, by their exact names only.
func (s *Store) extractLayout(file, dir string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := os.MkdirAll(filepath.Join(dir, "blobs/sha256"), 0o700); err != nil {
		return err
	}
	left := s.limits.ImageBytes
	tr := tar.NewReader(f)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		name := path.Clean(h.Name)
		if h.Typeflag != tar.TypeReg || !layoutFile.MatchString(name) {
			continue
		}
		if left -= h.Size; left < 0 {
			return moorage.Errorf(moorage.Invalid, "the image is larger than %d MB", s.limits.ImageBytes>>20)
		}
		if err := saveFile(filepath.Join(dir, name), tr); err != nil {
			return err
		}
	}
}

func saveFile(name string, r io.Reader) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(f, r)
	return err
}

// archiveError is for files of this machine: what is wrong with them is never a registry's fault.
func archiveError(name string, err error) error {
	var coded *moorage.Error
	if err == nil || errors.As(err, &coded) && coded.Code != moorage.Unavailable {
		return err
	}
	return &moorage.Error{Code: moorage.Invalid, Message: fmt.Sprintf("%s is not an image that can be read", name), Err: err}
}
