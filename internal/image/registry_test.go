package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/image/erofs"
)

// imageOf is an image of the given layers for this machine, changed as wanted.
func imageOf(t testing.TB, edit func(*v1.ConfigFile), layers ...[]byte) v1.Image {
	t.Helper()
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for _, raw := range layers {
		l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw)), nil }, tarball.WithMediaType(types.OCILayer))
		if err != nil {
			t.Fatal(err)
		}
		if img, err = mutate.AppendLayers(img, l); err != nil {
			t.Fatal(err)
		}
	}
	c, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c = c.DeepCopy()
	c.OS, c.Architecture, c.Config.Cmd = "linux", runtime.GOARCH, []string{"/agent"}
	if edit != nil {
		edit(c)
	}
	if img, err = mutate.ConfigFile(img, c); err != nil {
		t.Fatal(err)
	}
	return img
}

// serve opens a store whose registry listens, and returns the registry's host.
func serveStore(t testing.TB, limits Limits) (*Store, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := openStore(t, Options{RegistryHost: l.Addr().String(), Limits: limits, Loopback: true})
	srv := &http.Server{Handler: s.Registry()}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return s, l.Addr().String()
}

func push(t testing.TB, ref string, img v1.Image) string {
	t.Helper()
	parsed, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(parsed, img); err != nil {
		t.Fatal(err)
	}
	d, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

func TestImage_fromTheEmbeddedRegistry(t *testing.T) {
	s, host := serveStore(t, Limits{})
	img := imageOf(t, func(c *v1.ConfigFile) {
		c.Config.User, c.Config.WorkingDir, c.Config.Env = "app", "/srv/app", []string{"A=b"}
		c.Config.Entrypoint, c.Config.ExposedPorts = []string{"/entry"}, map[string]struct{}{"8080/tcp": {}, "53/udp": {}}
	},
		tarOf(t, file("etc/passwd", "root:x:0:0::/:/bin/sh\napp:x:1000:1001::/:/bin/sh\n"), file("agent", "v1"), file("etc/resolv.conf", "nameserver 8.8.8.8"), file(".dockerenv", "")),
		tarOf(t, file("agent", "v2")))
	digest := push(t, host+"/team/agent:1", img)

	a, err := s.Image(t.Context(), host+"/team/agent:1", Credentials{}, func(s Step) { t.Log(s) })
	if err != nil {
		t.Fatal(err)
	}
	want := Config{Args: []string{"/entry", "/agent"}, Dir: "/srv/app", User: "1000:1001", Ports: []int{8080},
		Env: []string{"A=b", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}}
	if a.Digest != digest || fmt.Sprint(a.Config) != fmt.Sprint(want) {
		t.Errorf("got %s %+v, want %s %+v", a.Digest, a.Config, digest, want)
	}
	got := contentsOfArtifact(t, a)
	for name, want := range map[string]string{"/agent": "v2", "/etc/resolv.conf": "nameserver 10.0.2.2\n", "/srv/app": "/", "/proc": "/", "/mnt": "/", "/tmp": "/"} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if _, there := got["/.dockerenv"]; there {
		t.Error("/.dockerenv is there")
	}
	again, err := s.Image(t.Context(), host+"/team/agent@"+digest, Credentials{}, nil)
	if err != nil || again.EROFS != a.EROFS {
		t.Errorf("by digest: %+v %v", again, err)
	}
}

func contentsOfArtifact(t testing.TB, a Artifact) map[string]string {
	t.Helper()
	f, err := os.Open(a.EROFS)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	root, err := erofs.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	return listed(t, f, root)
}

func TestRegistry_takesWhatSkopeoPushes(t *testing.T) {
	skopeo, err := exec.LookPath("skopeo")
	if err != nil {
		t.Skip("skopeo: not installed")
	}
	s, host := serveStore(t, Limits{})
	dir := writeLayout(t, imageOf(t, nil, tarOf(t, file("agent", "x"))))
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), skopeo, args...).CombinedOutput(); err != nil {
			t.Fatalf("skopeo %v: %v\n%s", args, err, out)
		}
	}
	run("copy", "--insecure-policy", "--dest-tls-verify=false", "oci:"+dir, "docker://"+host+"/a/b:latest")
	run("copy", "--insecure-policy", "--dest-tls-verify=false", "--format", "v2s2", "oci:"+dir, "docker://"+host+"/a/docker:latest")
	run("copy", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false", "docker://"+host+"/a/b:latest", "docker://"+host+"/c/d:2")
	for _, ref := range []string{"/a/b", "/a/docker", "/c/d:2"} {
		if _, err := s.Image(t.Context(), host+ref, Credentials{}, nil); err != nil {
			t.Errorf("%s: %v", ref, err)
		}
	}
	archives := t.TempDir()
	for _, kind := range []string{"docker-archive", "oci-archive"} {
		file := filepath.Join(archives, kind+".tar")
		run("copy", "--insecure-policy", "oci:"+dir, kind+":"+file+":x:1")
		a, err := s.Tarball(t.Context(), file, nil)
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		if got := contentsOfArtifact(t, a)["/agent"]; got != "x" {
			t.Errorf("%s: /agent is %q", kind, got)
		}
	}
}

func writeLayout(t testing.TB, img v1.Image) string {
	t.Helper()
	dir := t.TempDir()
	p, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.AppendImage(img); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestLayout_readsAndVerifies(t *testing.T) {
	s := openStore(t, Options{})
	img := imageOf(t, nil, tarOf(t, file("agent", "x")))
	dir := writeLayout(t, img)
	if _, err := s.Layout(t.Context(), dir, nil); err != nil {
		t.Fatal(err)
	}
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	index, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	other := imageOf(t, nil, tarOf(t, file("agent", "y")))
	for what, swap := range map[string][2]string{
		"layer":    {manifest.Layers[0].Digest.Hex, blobOf(t, other, "layer")},
		"config":   {manifest.Config.Digest.Hex, blobOf(t, other, "config")},
		"manifest": {index.Hex, blobOf(t, other, "manifest")},
	} {
		t.Run(what, func(t *testing.T) {
			dir, s := writeLayout(t, img), openStore(t, Options{})
			if err := os.WriteFile(filepath.Join(dir, "blobs/sha256", swap[0]), []byte(swap[1]), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := s.Layout(t.Context(), dir, nil)
			if moorage.CodeOf(err) != moorage.Invalid {
				t.Errorf("got %s: %v", moorage.CodeOf(err), err)
			}
		})
	}
}

// blobOf returns one raw part of an image.
func blobOf(t testing.TB, img v1.Image, part string) string {
	t.Helper()
	var raw []byte
	var err error
	switch part {
	case "config":
		raw, err = img.RawConfigFile()
	case "manifest":
		raw, err = img.RawManifest()
	default:
		var layers []v1.Layer
		if layers, err = img.Layers(); err == nil {
			var r io.ReadCloser
			if r, err = layers[0].Compressed(); err == nil {
				raw, err = io.ReadAll(r)
			}
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestImage_refuses(t *testing.T) {
	s, host := serveStore(t, Limits{ImageBytes: 1 << 20, UnpackedBytes: 4 << 20})
	layer := tarOf(t, file("agent", "x"))
	other := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	noise := make([]byte, 2<<20)
	for i, sum := 0, sha256.Sum256(nil); i < len(noise); i += len(sum) {
		sum = sha256.Sum256(sum[:])
		copy(noise[i:], sum[:])
	}
	images := map[string]v1.Image{
		"arch":  imageOf(t, func(c *v1.ConfigFile) { c.Architecture = other }, layer),
		"nocmd": imageOf(t, func(c *v1.ConfigFile) { c.Config.Cmd = nil }, layer),
		"user":  imageOf(t, func(c *v1.ConfigFile) { c.Config.User = "nobody-here" }, layer),
		"bomb":  imageOf(t, nil, tarOf(t, file("zeros", strings.Repeat("\x00", 8<<20)))),
		"large": imageOf(t, nil, tarOf(t, file("noise", string(noise)))),
		"junk":  imageOf(t, nil, []byte(strings.Repeat("this is no tar ", 100))),
		"diffs": imageOf(t, func(c *v1.ConfigFile) { c.RootFS.DiffIDs[0].Hex = strings.Repeat("0", 64) }, layer),
	}
	for name, img := range images {
		push(t, host+"/x/"+name+":1", img)
	}
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: images["arch"], Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: other}}})
	ref, err := name.ParseReference(host+"/x/index:1", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(ref, index); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		code moorage.Code
		text string
	}{
		host + "/x/arch:1":   {moorage.Invalid, "linux/" + other + "; this machine runs linux/" + runtime.GOARCH},
		host + "/x/index:1":  {moorage.Invalid, "linux/" + other + "; this machine runs linux/" + runtime.GOARCH},
		host + "/x/nocmd:1":  {moorage.Invalid, "neither ENTRYPOINT nor CMD"},
		host + "/x/user:1":   {moorage.Invalid, "nobody-here"},
		host + "/x/bomb:1":   {moorage.Invalid, "larger than this server allows"},
		host + "/x/large:1":  {moorage.Invalid, "larger than 1 MB"},
		host + "/x/junk:1":   {moorage.Invalid, "not a valid tar"},
		host + "/x/diffs:1":  {moorage.Invalid, "do not match its digest"},
		host + "/x/absent:1": {moorage.NotFound, "no image"},
		"UPPER CASE":         {moorage.Invalid, "not an image reference"},
		"127.0.0.1:1/x/y:1":  {moorage.Unavailable, "cannot be reached"},
	} {
		_, err := s.Image(t.Context(), name, Credentials{}, nil)
		if moorage.CodeOf(err) != want.code || !strings.Contains(fmt.Sprint(err), want.text) {
			t.Errorf("%s: got %s: %v", name, moorage.CodeOf(err), err)
		}
	}
	if left, err := os.ReadDir(s.path("tmp")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestImage_registryStalls(t *testing.T) {
	s, host := serveStore(t, Limits{})
	push(t, host+"/x/y:1", imageOf(t, nil, tarOf(t, file("agent", "x"))))
	for _, where := range []string{"/v2/", "manifests", "blobs"} {
		t.Run(where, func(t *testing.T) {
			release := make(chan struct{})
			slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, where) || where != "/v2/" && strings.Contains(r.URL.Path, where) {
					if where != "/v2/" { // whose body nobody reads
						w.WriteHeader(http.StatusOK)
						w.(http.Flusher).Flush()
					}
					<-release
					return
				}
				s.Registry().ServeHTTP(w, r)
			}))
			defer slow.Close()
			defer close(release)
			client := openStore(t, Options{Limits: Limits{Stall: 200 * time.Millisecond}, Loopback: true})
			began := time.Now()
			_, err := client.Image(t.Context(), strings.TrimPrefix(slow.URL, "http://")+"/x/y:1", Credentials{}, nil)
			if moorage.CodeOf(err) != moorage.Unavailable || !strings.Contains(err.Error(), "sent nothing") {
				t.Errorf("got %s: %v", moorage.CodeOf(err), err)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestImage_credentials(t *testing.T) {
	s, host := serveStore(t, Limits{})
	push(t, host+"/x/y:1", imageOf(t, nil, tarOf(t, file("agent", "x"))))
	guarded := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); u != "ann" || p != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		s.Registry().ServeHTTP(w, r)
	}))
	defer guarded.Close()
	client := openStore(t, Options{Loopback: true})
	ref := strings.TrimPrefix(guarded.URL, "http://") + "/x/y:1"
	if _, err := client.Image(t.Context(), ref, Credentials{}, nil); moorage.CodeOf(err) != moorage.Denied {
		t.Errorf("anonymous: %v", err)
	}
	if _, err := client.Image(t.Context(), ref, Credentials{"ann", "secret"}, nil); err != nil {
		t.Error(err)
	}
}

func TestImage_concurrentBuildsDoTheWorkOnce(t *testing.T) {
	s, host := serveStore(t, Limits{})
	push(t, host+"/x/y:1", imageOf(t, nil, tarOf(t, file("agent", "x"))))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := s.Image(t.Context(), host+"/x/y:1", Credentials{}, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestFlights_shareAndCancel(t *testing.T) {
	var g flights
	started, runs := make(chan struct{}), 0
	work := func(ctx context.Context) (string, error) {
		runs++
		close(started)
		<-ctx.Done()
		return "", ctx.Err()
	}
	first, cancelFirst := context.WithCancel(t.Context())
	second, cancelSecond := context.WithCancel(t.Context())
	errs := make(chan error, 2)
	go func() { _, err := g.do(first, "k", work); errs <- err }()
	<-started
	joined := g.join(second, "k", work)
	cancelFirst()
	if err := <-errs; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	select {
	case <-joined.done:
		t.Error("the work ended although somebody waits for it")
	default:
	}
	cancelSecond()
	g.leave("k", joined)
	if runs != 1 || !errors.Is(joined.err, context.Canceled) {
		t.Errorf("%d runs, %v", runs, joined.err)
	}
}

func TestSweep_keepsWhatIsNeeded(t *testing.T) {
	s, host := serveStore(t, Limits{Grace: time.Nanosecond})
	old := imageOf(t, nil, tarOf(t, file("agent", "old")))
	kept := imageOf(t, nil, tarOf(t, file("agent", "kept")))
	tagged := imageOf(t, nil, tarOf(t, file("agent", "tagged")))
	digests := map[string]string{}
	for name, img := range map[string]v1.Image{"old": old, "kept": kept} {
		digests[name] = push(t, host+"/x/y:"+name, img)
		if _, err := s.Image(t.Context(), host+"/x/y:"+name, Credentials{}, nil); err != nil {
			t.Fatal(err)
		}
		digests["tagged"] = push(t, host+"/x/y:"+name, tagged) // the tag moves on
	}
	got, err := s.Sweep(t.Context(), func(d string) bool { return d == digests["kept"] })
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got.Artifacts) != fmt.Sprint([]string{digests["old"]}) || fmt.Sprint(got.Manifests) != fmt.Sprint([]string{digests["old"]}) || got.Bytes == 0 || got.Busy {
		t.Errorf("removed %+v, want %s", got, digests["old"])
	}
	for name, want := range map[string]moorage.Code{"old": moorage.NotFound, "kept": "", "tagged": ""} {
		_, err := openStore(t, Options{Loopback: true}).Image(t.Context(), host+"/x/y@"+digests[name], Credentials{}, nil)
		if moorage.CodeOf(err) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	push(t, host+"/x/y:old", old) // what was collected can be pushed again, layers too
	if _, err := s.Image(t.Context(), host+"/x/y:old", Credentials{}, nil); err != nil {
		t.Error(err)
	}
}

func TestSweep_keepsWhatIsSaidOfAKeptImage(t *testing.T) {
	s, host := serveStore(t, Limits{Grace: time.Nanosecond})
	kept, gone := imageOf(t, nil, tarOf(t, file("agent", "kept"))), imageOf(t, nil, tarOf(t, file("agent", "gone")))
	signatures := map[bool]string{}
	for keep, img := range map[bool]v1.Image{true: kept, false: gone} {
		digest := push(t, host+"/x/y:1", img)
		signatures[keep] = pushSignature(t, host+"/x/y", img)
		if !keep {
			continue
		}
		push(t, host+"/x/y:kept", img)
		index, err := remote.Referrers(mustDigest(t, host+"/x/y@"+digest))
		if err != nil {
			t.Fatal(err)
		}
		if list, err := index.IndexManifest(); err != nil || len(list.Manifests) != 1 || list.Manifests[0].Digest.String() != signatures[true] {
			t.Errorf("referrers are %+v, want %s; %v", list, signatures[true], err)
		}
	}
	push(t, host+"/x/y:1", kept)
	got, err := s.Sweep(t.Context(), func(string) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(got.Manifests, signatures[false]) || slices.Contains(got.Manifests, signatures[true]) {
		t.Errorf("removed %v; want %s to go and %s to stay", got.Manifests, signatures[false], signatures[true])
	}
}

// pushSignature pushes an artifact that has an image as its subject, and returns its digest.
func pushSignature(t testing.TB, repository string, img v1.Image) string {
	t.Helper()
	subject, err := partial.Descriptor(img)
	if err != nil {
		t.Fatal(err)
	}
	signature := mutate.Subject(mutate.MediaType(empty.Image, types.OCIManifestSchema1), *subject).(v1.Image)
	d, err := signature.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return push(t, repository+"@"+d.String(), signature)
}

func mustDigest(t testing.TB, ref string) name.Digest {
	t.Helper()
	d, err := name.NewDigest(ref, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestSweep_emptyAndBusy(t *testing.T) {
	s := openStore(t, Options{Limits: Limits{Grace: time.Nanosecond}})
	if got, err := s.Sweep(t.Context(), func(string) bool { return false }); err != nil || got.Busy {
		t.Errorf("%+v %v", got, err)
	}
	s.sweeping.RLock() // as a build does
	defer s.sweeping.RUnlock()
	if got, err := s.Sweep(t.Context(), func(string) bool { return false }); err != nil || !got.Busy {
		t.Errorf("%+v %v", got, err)
	}
}

// TestRegistry_stalledPush: others are served meanwhile, whoever waits to collect garbage, and it ends.
func TestRegistry_stalledPush(t *testing.T) {
	s, host := serveStore(t, Limits{Stall: 500 * time.Millisecond, Grace: time.Nanosecond})
	push(t, host+"/x/y:1", imageOf(t, nil, tarOf(t, file("agent", "x"))))
	begun, err := http.Post("http://"+host+"/v2/x/y/blobs/uploads/", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	begun.Body.Close()
	conn, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "PATCH %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/octet-stream\r\nContent-Length: 1000\r\n\r\nx", begun.Header.Get("Location"), host)
	busy := func() bool {
		got, err := s.Sweep(t.Context(), func(string) bool { return true })
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.Get("http://" + host + "/v2/")
		if err != nil || r.StatusCode != http.StatusOK {
			t.Fatal("others wait:", r, err)
		}
		r.Body.Close()
		return got.Busy
	}
	deadline := time.Now().Add(10 * time.Second)
	for !busy() { // until the push has arrived
		if time.Now().After(deadline) {
			t.Fatal("a push that is under way is not seen")
		}
	}
	for busy() {
		if time.Now().After(deadline) {
			t.Fatal("a push that stalls keeps garbage from being collected")
		}
	}
}
