package cli

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// goImage builds a Go package into an image of one static binary and pushes it to the server's
// registry. The API has no managed runtime for Go, and this needs no Docker.
func (d *deployer) goImage(ctx context.Context) (artifact, error) {
	d.progress.begin("go build")
	binary, err := d.goBuild(ctx)
	if err != nil {
		return artifact{}, err
	}
	defer os.RemoveAll(filepath.Dir(binary))
	info, err := os.Stat(binary)
	if err != nil {
		return artifact{}, err
	}
	d.progress.done("static binary, %s", size(info.Size()))
	img, err := imageOf(binary)
	if err != nil {
		return artifact{}, fmt.Errorf("make the image: %w", err)
	}
	d.progress.begin("push the image")
	ref, err := d.push(ctx, img)
	if err != nil {
		return artifact{}, fmt.Errorf("push the image: %w", err)
	}
	d.progress.done("%s", ref.Context().RepositoryStr()+"@"+ref.DigestStr()[:19]+"…")
	return artifact{Image: ref.Name()}, nil
}

// goBuild compiles the entrypoint for Linux on this architecture. The caller removes the binary's
// directory. The same source and toolchain make the same bytes.
func (d *deployer) goBuild(ctx context.Context) (binary string, err error) {
	pkg := d.project.Entrypoint
	if strings.HasSuffix(pkg, ".go") {
		pkg = filepath.Dir(pkg)
	}
	if _, err := exec.LookPath("go"); err != nil {
		return "", advise(errors.New("a Go agent is built on this machine, and Go is not installed here"),
			"install Go, or build an image elsewhere and use --image")
	}
	dir, err := os.MkdirTemp("", "moorage-go-*")
	if err != nil {
		return "", err
	}
	binary = filepath.Join(dir, "agent")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", binary, "./"+filepath.ToSlash(pkg))
	cmd.Dir = d.project.dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+runtime.GOARCH)
	output, err := cmd.CombinedOutput()
	if err == nil {
		err = isExecutable(binary)
	}
	if err != nil {
		os.RemoveAll(dir)
		return "", advise(fmt.Errorf("go build ./%s: %w", pkg, err), "%s", strings.TrimSpace(string(output)))
	}
	return binary, nil
}

// isExecutable refuses what go build makes of a package that is not main: an archive.
func isExecutable(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode()&0o111 == 0 {
		return errors.New("the package is not a program (package main)")
	}
	return err
}

// hostCertificates is where Debian, Fedora and Alpine keep the roots that they trust.
var hostCertificates = []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"}

// imageOf makes an image from scratch: the binary at /agent, a /tmp, and the certificate
// authorities that this machine trusts. It carries no times, so that its digest is its content's.
func imageOf(binary string) (v1.Image, error) {
	program, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	files := []tarFile{{"agent", 0o755, program}}
	for _, path := range hostCertificates {
		if pem, err := os.ReadFile(path); err == nil {
			files = append(files, tarFile{"etc/ssl/certs/ca-certificates.crt", 0o644, pem})
			break
		}
	}
	doc, err := tarOf(files)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(doc)), nil })
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config = v1.Config{Entrypoint: []string{"/agent"}, User: "65532:65532", WorkingDir: "/tmp", Env: []string{"PATH=/"}}
	return mutate.ConfigFile(img, config)
}

type tarFile struct {
	name string
	mode int64
	data []byte
}

func tarOf(files []tarFile) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777}); err != nil {
		return nil, err
	}
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Size: int64(len(f.data))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return b.Bytes(), err
}

// push stores the image in the server's registry under the agent's name. It returns the image's name
// by digest, on the host that the server knows its own registry by.
func (d *deployer) push(ctx context.Context, img v1.Image) (name.Digest, error) {
	info, err := d.client.info(ctx)
	if err != nil {
		return name.Digest{}, err
	}
	digest, err := img.Digest()
	if err != nil {
		return name.Digest{}, err
	}
	repository := strings.ToLower(d.project.Name)
	tag, err := imageName(d.client.Endpoint, repository+":latest", name.NewTag)
	if err != nil {
		return name.Digest{}, err
	}
	ref, err := imageName(firstOf(info.Endpoint, d.client.Endpoint), repository+"@"+digest.String(), name.NewDigest)
	if err != nil {
		return name.Digest{}, err
	}
	return ref, remote.Write(tag, img, remote.WithContext(ctx), remote.WithTransport(d.client.http.Transport),
		remote.WithAuth(&authn.Basic{Username: d.client.AccessKeyID, Password: d.client.SecretAccessKey}))
}

// imageName names something in the registry of the server at endpoint.
func imageName[T any](endpoint, path string, parse func(string, ...name.Option) (T, error)) (T, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		var none T
		return none, err
	}
	var options []name.Option
	if u.Scheme == "http" {
		options = append(options, name.Insecure)
	}
	return parse(u.Host+"/"+path, options...)
}
