package image

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"github.com/distribution/distribution/v3"
	"github.com/distribution/distribution/v3/registry/storage"
	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// The referrers of a manifest are those that name it as their subject: signatures, bills of material.
// The library does not know them; OCI's distribution specification 1.1 wants them listed and a push
// that has a subject acknowledged. Nothing is stored for that: the manifests of a repository say it.

const (
	headerSubject = "OCI-Subject"
	headerFilters = "OCI-Filters-Applied"
	maxManifest   = 4 << 20 // bytes, the library's own limit
)

// reach opens the registry's files beside the library's own handlers.
func (r *registry) reach(ctx context.Context) (storagedriver.StorageDriver, distribution.Namespace, error) {
	driver, err := filesystem.FromParameters(map[string]any{"rootdirectory": r.dir})
	if err != nil {
		return nil, nil, err
	}
	namespace, err := storage.NewRegistry(ctx, driver, storage.EnableDelete)
	return driver, namespace, err
}

// referrersOf takes a request apart that asks for referrers: /v2/NAME/referrers/DIGEST.
func referrersOf(req *http.Request) (name, subject string, ok bool) {
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		return "", "", false
	}
	path := strings.TrimPrefix(req.URL.Path, "/v2/")
	at := strings.LastIndex(path, "/referrers/")
	if at < 0 {
		return "", "", false
	}
	return path[:at], path[at+len("/referrers/"):], true
}

func (r *registry) serveReferrers(w http.ResponseWriter, req *http.Request, name, subject string) {
	d, err := digest.Parse(subject)
	if _, wrong := reference.WithName(name); err != nil || wrong != nil {
		http.Error(w, `{"errors":[{"code":"DIGEST_INVALID","message":"give the digest of a manifest, such as sha256:…, in a valid repository"}]}`, http.StatusBadRequest)
		return
	}
	found, err := r.referrers(req.Context(), name, d)
	if err != nil {
		r.log.Error("list referrers", "repository", name, "err", err)
		http.Error(w, `{"errors":[{"code":"UNKNOWN","message":"the referrers cannot be read"}]}`, http.StatusInternalServerError)
		return
	}
	if kind := req.URL.Query().Get("artifactType"); kind != "" {
		w.Header().Set(headerFilters, "artifactType")
		found = ofKind(found, kind)
	}
	w.Header().Set("Content-Type", v1.MediaTypeImageIndex)
	json.NewEncoder(w).Encode(v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex, Manifests: found})
}

func ofKind(all []v1.Descriptor, kind string) []v1.Descriptor {
	found := []v1.Descriptor{}
	for _, d := range all {
		if d.ArtifactType == kind {
			found = append(found, d)
		}
	}
	return found
}

// referrers are empty, and not nil, for a repository that holds none or does not exist.
func (r *registry) referrers(ctx context.Context, name string, subject digest.Digest) ([]v1.Descriptor, error) {
	_, namespace, err := r.reach(ctx)
	if err != nil {
		return nil, err
	}
	c, err := contentsOf(ctx, namespace, name)
	if err != nil {
		return nil, err
	}
	return append([]v1.Descriptor{}, c.referrers[subject]...), nil
}

// referrersAmong finds which manifests of a repository name which subject.
func referrersAmong(ctx context.Context, service distribution.ManifestService, manifests []digest.Digest) (map[digest.Digest][]v1.Descriptor, error) {
	found := map[digest.Digest][]v1.Descriptor{}
	for _, d := range manifests {
		m, err := service.Get(ctx, d)
		if err != nil {
			return nil, err
		}
		mediaType, text, err := m.Payload()
		if err != nil {
			return nil, err
		}
		if is := readStatement(text); is.Subject != nil {
			found[is.Subject.Digest] = append(found[is.Subject.Digest], v1.Descriptor{
				MediaType: mediaType, Digest: d, Size: int64(len(text)), ArtifactType: is.kind(), Annotations: is.Annotations,
			})
		}
	}
	return found, nil
}

// statement is what a manifest says beside what it consists of.
type statement struct {
	ArtifactType string            `json:"artifactType"`
	Config       v1.Descriptor     `json:"config"`
	Subject      *v1.Descriptor    `json:"subject"`
	Annotations  map[string]string `json:"annotations"`
}

// readStatement of what is no manifest is empty; the library refuses such.
func readStatement(manifest []byte) (is statement) {
	_ = json.Unmarshal(manifest, &is)
	return is
}

// kind is the artifact's type; older clients say it as the type of the configuration.
func (is statement) kind() string {
	if is.ArtifactType != "" {
		return is.ArtifactType
	}
	return is.Config.MediaType
}

// acknowledgeSubject has the answer to a pushed manifest name the subject, if there is one: clients that
// miss it there keep lists of referrers of their own.
func acknowledgeSubject(w http.ResponseWriter, req *http.Request) http.ResponseWriter {
	if req.Method != http.MethodPut || req.Body == nil || !strings.Contains(req.URL.Path, "/manifests/") {
		return w
	}
	a := &acknowledgement{ResponseWriter: w}
	req.Body = &copied{req.Body, &a.manifest}
	return a
}

// copied keeps what is read of a body, as far as a manifest may be long.
type copied struct {
	io.ReadCloser
	into *bytes.Buffer
}

func (c *copied) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.into.Write(p[:min(n, max(0, maxManifest-c.into.Len()))])
	return n, err
}

type acknowledgement struct {
	http.ResponseWriter
	manifest bytes.Buffer
}

// Unwrap lets http.ResponseController reach the connection.
func (a *acknowledgement) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *acknowledgement) WriteHeader(status int) {
	if is := readStatement(a.manifest.Bytes()); status == http.StatusCreated && is.Subject != nil {
		a.Header().Set(headerSubject, is.Subject.Digest.String())
	}
	a.ResponseWriter.WriteHeader(status)
}
