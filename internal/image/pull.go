package image

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/moorage-dev/moorage"
)

// Credentials for a registry. The zero value is anonymous.
type Credentials struct{ Username, Password string }

// Image makes the artifact of an image in a registry, the embedded one or any other. What a tag
// points to is looked up each time; an artifact that is there already is not fetched again.
func (s *Store) Image(ctx context.Context, ref string, cred Credentials, progress func(Step)) (Artifact, error) {
	s.sweeping.RLock()
	defer s.sweeping.RUnlock()
	steps := stopwatch{report: progress, since: time.Now()}
	src, err := s.pull(ctx, ref, cred)
	if err != nil {
		return Artifact{}, err
	}
	steps.done("find the image")
	return s.fromSource(ctx, src, &steps)
}

func (s *Store) fromSource(ctx context.Context, src oci, steps *stopwatch) (Artifact, error) {
	a, err := s.artifact(ctx, src.digest, src.name, func(ctx context.Context, b *builder) (Config, error) {
		return src.fill(ctx, b, s.limits)
	})
	if err != nil {
		return Artifact{}, err
	}
	steps.done("write the root file system")
	return a, nil
}

// pull resolves a reference to the image for this machine. Layers are read later.
func (s *Store) pull(ctx context.Context, ref string, cred Credentials) (oci, error) {
	parsed, err := name.ParseReference(ref, s.nameOptions(ref)...)
	if err != nil {
		return oci{}, &moorage.Error{Code: moorage.Invalid, Message: fmt.Sprintf("%q is not an image reference: %v", ref, err), Err: err}
	}
	auth := authn.Anonymous
	if cred != (Credentials{}) {
		auth = &authn.Basic{Username: cred.Username, Password: cred.Password}
	}
	network := s.transportTo(parsed.Context().RegistryStr())
	desc, err := remote.Get(parsed, remote.WithContext(ctx), remote.WithAuth(auth), remote.WithTransport(network))
	if err != nil {
		return oci{}, registryError(parsed.Context().RegistryStr(), ref, err)
	}
	img, err := choose(desc, ref)
	if err != nil {
		return oci{}, registryError(parsed.Context().RegistryStr(), ref, err)
	}
	return newOCI(img, ref)
}

// choose takes the image itself, or the one of an index that is for this machine.
func choose(desc *remote.Descriptor, ref string) (v1.Image, error) {
	if !desc.MediaType.IsIndex() {
		return desc.Image()
	}
	index, err := desc.ImageIndex()
	if err != nil {
		return nil, err
	}
	return fromIndex(index, ref)
}

// fromIndex looks for this machine's platform, in nested indexes too.
func fromIndex(index v1.ImageIndex, ref string) (v1.Image, error) {
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	var others []string
	for _, d := range manifest.Manifests {
		switch {
		case d.MediaType.IsIndex():
			inner, err := index.ImageIndex(d.Digest)
			if err != nil {
				return nil, err
			}
			if img, err := fromIndex(inner, ref); err == nil {
				return img, nil
			}
		case !d.MediaType.IsImage():
		case d.Platform == nil || d.Platform.OS == "linux" && d.Platform.Architecture == runtime.GOARCH:
			return index.Image(d.Digest)
		case d.Platform.OS != "unknown": // attestations claim that
			others = append(others, d.Platform.OS+"/"+d.Platform.Architecture)
		}
	}
	return nil, wrongPlatform(ref, strings.Join(others, ", "))
}

func wrongPlatform(ref, has string) error {
	return moorage.Errorf(moorage.Invalid, "image %s is for %s; this machine runs linux/%s: build the image for that, or for both", ref, or(has, "no platform"), runtime.GOARCH)
}

func (s *Store) nameOptions(ref string) []name.Option {
	if s.embedded(strings.SplitN(ref, "/", 2)[0]) {
		return []name.Option{name.Insecure} // no network is between
	}
	return nil
}

func (s *Store) embedded(host string) bool {
	return s.opts.RegistryHost != "" && host == s.opts.RegistryHost
}

// registryError says what a registry meant.
func registryError(registry, ref string, err error) error {
	var coded *moorage.Error
	if errors.As(err, &coded) {
		return coded
	}
	var said *transport.Error
	if !errors.As(err, &said) {
		if isNetwork(err) {
			return &moorage.Error{Code: moorage.Unavailable, Message: fmt.Sprintf("registry %s cannot be reached: %s", registry, withoutAddresses(err)), Err: err}
		}
		return &moorage.Error{Code: moorage.Invalid, Message: fmt.Sprintf("what the registry has as %s is not a valid image: %v", ref, err), Err: err}
	}
	e := &moorage.Error{Err: err}
	switch said.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		e.Code, e.Message = moorage.Denied, fmt.Sprintf("registry %s refuses %s: the image does not exist or the credentials do not allow it", registry, ref)
	case http.StatusNotFound:
		e.Code, e.Message = moorage.NotFound, fmt.Sprintf("registry %s has no image %s", registry, ref)
	case http.StatusTooManyRequests:
		e.Code, e.Message = moorage.Throttled, fmt.Sprintf("registry %s asks to slow down; try again later", registry)
	default:
		e.Code, e.Message = moorage.Unavailable, fmt.Sprintf("registry %s answered %d for %s", registry, said.StatusCode, ref)
	}
	return e
}

// oci is one image for this machine, from wherever.
type oci struct {
	image  v1.Image
	config *v1.ConfigFile
	digest string // names the artifact
	name   string // for people
	local  bool   // from a docker archive, whose manifest would have to be computed by compressing
}

// newOCI checks what can be known before any layer is read.
func newOCI(img v1.Image, name string) (oci, error) {
	digest, err := img.Digest()
	if err != nil {
		return oci{}, registryError(name, name, err)
	}
	return checked(img, name, digest.String())
}

func checked(img v1.Image, name, digest string) (oci, error) {
	want, err := img.ConfigName()
	if err != nil {
		return oci{}, registryError(name, name, err)
	}
	raw, err := img.RawConfigFile()
	if err != nil {
		return oci{}, registryError(name, name, err)
	}
	if got := digestOf(raw); got != want.String() {
		return oci{}, moorage.Errorf(moorage.Invalid, "the configuration of %s does not match its digest", name)
	}
	config, err := v1.ParseConfigFile(strings.NewReader(string(raw)))
	if err != nil {
		return oci{}, &moorage.Error{Code: moorage.Invalid, Message: "the configuration of " + name + " is not JSON", Err: err}
	}
	if config.OS != "" && config.OS != "linux" || config.Architecture != "" && config.Architecture != runtime.GOARCH {
		return oci{}, wrongPlatform(name, config.OS+"/"+config.Architecture)
	}
	return oci{image: img, config: config, digest: digest, name: name}, nil
}

// fill applies all layers and returns how the image is started.
func (o oci) fill(ctx context.Context, b *builder, limits Limits) (Config, error) {
	layers, err := o.image.Layers()
	if err != nil {
		return Config{}, registryError(o.name, o.name, err)
	}
	if err := o.checkSize(layers, limits); err != nil {
		return Config{}, err
	}
	meter := &meter{left: limits.UnpackedBytes + limits.UnpackedBytes/4} // names and padding besides contents
	for i, layer := range layers {
		if err := o.applyLayer(ctx, b, layer, i, meter); err != nil {
			return Config{}, fmt.Errorf("unpack layer %d of %d: %w", i+1, len(layers), err)
		}
	}
	return startOf(b, o.config.Config, o.name)
}

func (o oci) checkSize(layers []v1.Layer, limits Limits) error {
	if len(layers) != len(o.config.RootFS.DiffIDs) {
		return moorage.Errorf(moorage.Invalid, "image %s has %d layers and lists %d", o.name, len(layers), len(o.config.RootFS.DiffIDs))
	}
	if o.local {
		return nil // the root's own limit holds
	}
	manifest, err := o.image.Manifest()
	if err != nil {
		return registryError(o.name, o.name, err)
	}
	var sum int64
	for _, l := range manifest.Layers {
		if l.Size < 0 || l.Size > limits.ImageBytes {
			sum = limits.ImageBytes
		}
		sum += l.Size
	}
	if sum > limits.ImageBytes {
		return moorage.Errorf(moorage.Invalid, "image %s is larger than %d MB", o.name, limits.ImageBytes>>20)
	}
	return nil
}

// applyLayer reads a layer to its end, past what tar reads, and compares its digest.
func (o oci) applyLayer(ctx context.Context, b *builder, layer v1.Layer, i int, m *meter) error {
	r, err := layer.Uncompressed()
	if err != nil {
		return layerError(o.name, err)
	}
	defer r.Close()
	sum := sha256.New()
	m.use(ctx, r, sum)
	if err := b.apply(m); err != nil {
		return layerError(o.name, err)
	}
	if _, err := io.Copy(io.Discard, m); err != nil {
		return layerError(o.name, err)
	}
	if got := fmt.Sprintf("sha256:%x", sum.Sum(nil)); got != o.config.RootFS.DiffIDs[i].String() {
		return moorage.Errorf(moorage.Invalid, "its contents do not match its digest")
	}
	return nil
}

// layerError tells a bad layer from a bad connection.
func layerError(name string, err error) error {
	var coded *moorage.Error
	switch {
	case errors.As(err, &coded), errors.Is(err, errBudget), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, context.Canceled):
		return err
	case isLocal(err):
		return explain(err)
	case strings.Contains(err.Error(), "error verifying"): // the library has no type for it
		return &moorage.Error{Code: moorage.Invalid, Message: "its contents do not match its digest", Err: err}
	case isArchiveError(err):
		return &moorage.Error{Code: moorage.Invalid, Message: "it is not a tar archive, plain or compressed with gzip or zstd", Err: err}
	}
	return explain(registryError(name, name, err))
}

// isLocal tells what failed on this machine's disk.
func isLocal(err error) bool {
	var file *fs.PathError
	var link *os.LinkError
	return errors.As(err, &file) || errors.As(err, &link)
}

func isArchiveError(err error) bool {
	text := err.Error()
	return slices.ContainsFunc([]string{"gzip:", "flate:", "zstd", "magic number mismatch", "archive/tar:"}, func(s string) bool { return strings.Contains(text, s) })
}

// meter bounds the uncompressed bytes of all layers together, contents or not, and hashes each.
type meter struct {
	ctx  context.Context // of the build that reads: a Read has no argument for it
	r    io.Reader
	sum  hash.Hash
	left int64
}

func (m *meter) use(ctx context.Context, r io.Reader, sum hash.Hash) { m.ctx, m.r, m.sum = ctx, r, sum }

func (m *meter) Read(p []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := m.r.Read(p)
	m.sum.Write(p[:n])
	if m.left -= int64(n); m.left < 0 {
		return n, errBudget
	}
	return n, err
}
