package hostile

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const bucket = "/hostile-code"

// upload puts code where a deployment finds it.
func (s *server) upload(t *testing.T, key string, data []byte) {
	t.Helper()
	for _, put := range []struct {
		path string
		body []byte
	}{{bucket, nil}, {bucket + "/" + key, data}} {
		req, err := http.NewRequestWithContext(t.Context(), "PUT", s.Endpoint+put.path, bytes.NewReader(put.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Amz-Content-Sha256", hashOf(put.body))
		credentials := aws.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey}
		err = v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }).
			SignHTTP(t.Context(), credentials, req, hashOf(put.body), "s3", s.Region, time.Now())
		if a := s.do(req, err); a.status != 200 {
			t.Fatal("upload:", a)
		}
	}
}

// outcome of a deployment.
type outcome struct{ Status, FailureReason, AgentRuntimeArn string }

// create deploys an artifact and waits for what comes of it. A refusal at once is an outcome, too.
func (s *server) create(t *testing.T, name string, artifact map[string]any) outcome {
	t.Helper()
	body, err := json.Marshal(map[string]any{
		"agentRuntimeName": name, "agentRuntimeArtifact": artifact, "roleArn": "arn:aws:iam::" + s.Account + ":role/hostile",
		"networkConfiguration": map[string]any{"networkMode": "PUBLIC"},
	})
	if err != nil {
		t.Fatal(err)
	}
	a := s.do(s.request(t.Context(), "PUT", "/runtimes/", "", string(body)))
	if a.status >= 400 && a.status < 500 {
		return outcome{Status: "REFUSED", FailureReason: a.body}
	}
	var made struct{ AgentRuntimeID, AgentRuntimeArn string }
	if json.Unmarshal([]byte(a.body), &made); a.status != 202 {
		t.Fatal("create:", a)
	}
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); {
		a := s.do(s.request(t.Context(), "GET", "/runtimes/"+made.AgentRuntimeID+"/", "", ""))
		var now outcome
		if json.Unmarshal([]byte(a.body), &now); now.Status != "CREATING" {
			return now
		}
		select {
		case <-t.Context().Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
	t.Fatal("it is still being created")
	return outcome{}
}

func (s *server) createCode(t *testing.T, name string, code []byte) outcome {
	t.Helper()
	s.upload(t, name+".zip", code)
	return s.create(t, name, map[string]any{"codeConfiguration": map[string]any{
		"code": map[string]any{"s3": map[string]any{"bucket": bucket[1:], "prefix": name + ".zip"}}, "runtime": "PYTHON_3_11", "entryPoint": []string{"main.py"},
	}})
}

// wantFailed checks that it failed, that the reason helps, and that it tells nothing of the host.
func wantFailed(t *testing.T, s *server, o outcome, words ...string) {
	t.Helper()
	t.Logf("%s: %s", o.Status, o.FailureReason)
	if o.Status != "CREATE_FAILED" && o.Status != "REFUSED" {
		t.Errorf("want a failure, got %+v", o)
	}
	for _, w := range words {
		if !strings.Contains(strings.ToLower(o.FailureReason), w) {
			t.Errorf("the reason does not hold %q: %s", w, o.FailureReason)
		}
	}
	if strings.Contains(o.FailureReason, s.dir) || strings.Contains(o.FailureReason, "internal error") || o.FailureReason == "" {
		t.Errorf("the reason is for nobody: %q", o.FailureReason)
	}
}

// agentCode is a good agent, so that only the hostile part can fail.
const agentCode = `import http.server
class A(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.say()
    def do_POST(self): self.rfile.read(int(self.headers["Content-Length"])); self.say()
    def say(self):
        b = b'{"status":"Healthy"}'
        self.send_response(200); self.send_header("Content-Length", str(len(b))); self.end_headers(); self.wfile.write(b)
http.server.ThreadingHTTPServer(("", 8080), A).serve_forever()
`

// zipEntry is a file of a zip with what an honest archiver does not write.
type zipEntry struct {
	name string
	mode fs.FileMode
	data []byte
}

func zipOf(t *testing.T, entries ...zipEntry) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, e := range append(entries, zipEntry{"main.py", 0o644, []byte(agentCode)}) {
		header := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		header.SetMode(e.mode)
		f, err := w.CreateHeader(header)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(e.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// bomb is a zip of 1 GB of zeros in 1 MB.
func bomb(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	f, err := w.Create("zeros")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(f, zeroReader{}, 1<<30); err != nil {
		t.Fatal(err)
	}
	w.Close()
	return out.Bytes()
}

// lyingBomb says that its contents are small.
func lyingBomb(t *testing.T) []byte {
	data := bomb(t)
	const directorySignature, sizeAt = "PK\x01\x02", 24
	at := bytes.LastIndex(data, []byte(directorySignature))
	copy(data[at+sizeAt:], []byte{100, 0, 0, 0})
	return data
}

func TestArtifacts_hostileZips(t *testing.T) {
	s := startServer(t, "")
	n := s.newNeighbour(t)
	outside := filepath.Join(os.TempDir(), "moorage-hostile-outside")
	if o := s.createCode(t, "honest", zipOf(t)); o.Status != "READY" {
		t.Fatalf("an honest zip: %+v", o)
	}
	for _, c := range []struct {
		name  string
		code  func(*testing.T) []byte
		words []string
	}{
		{"bomb", bomb, []string{"750"}},
		{"lying_bomb", lyingBomb, nil},
		{"absolute_path", one("/etc/passwd", 0o644, "x"), []string{"/etc/passwd"}},
		{"parent_path", one("../../escaped", 0o644, "x"), []string{"../../escaped"}},
		{"hidden_parent", one("a/../../escaped", 0o644, "x"), []string{"escaped"}},
		{"backslashes", one(`..\..\escaped`, 0o644, "x"), []string{"escaped"}},
		{"absolute_link", one("link", fs.ModeSymlink|0o777, outside), []string{"link"}},
		{"climbing_link", one("link", fs.ModeSymlink|0o777, "../../../../../../etc/shadow"), []string{"link"}},
		{"through_a_link", func(t *testing.T) []byte {
			return zipOf(t, zipEntry{"d", fs.ModeSymlink | 0o777, []byte("/tmp")}, zipEntry{"d/escaped", 0o644, []byte("x")})
		}, []string{`"d`}},
		{"device", one("disk", fs.ModeDevice|0o666, ""), []string{"disk"}},
		{"pipe", one("pipe", fs.ModeNamedPipe|0o666, ""), []string{"pipe"}},
		{"not_a_zip", func(*testing.T) []byte { return []byte("#!/bin/sh\n") }, []string{"zip"}},
		{"empty", func(*testing.T) []byte { return nil }, []string{"zip"}},
		{"cut_zip", func(t *testing.T) []byte { z := zipOf(t); return z[:len(z)/2] }, []string{"zip"}},
		{"long_names", one(strings.Repeat("n", 300), 0o644, "x"), nil},
		{"zero_byte_name", one("a\x00b", 0o644, "x"), nil},
		{"setuid", one("tool", fs.ModeSetuid|0o755, "x"), nil},
		{"two_of_a_name", func(t *testing.T) []byte {
			return zipOf(t, zipEntry{"main.py", 0o644, []byte("raise SystemExit('the first')")})
		}, nil},
		{"file_and_directory", func(t *testing.T) []byte {
			return zipOf(t, zipEntry{"main.py/x", 0o644, []byte("x")})
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			report := n.watch(t)
			defer report()
			o := s.createCode(t, c.name, c.code(t))
			if c.words == nil { // may be accepted where it does no harm
				t.Logf("%s: %s", o.Status, o.FailureReason)
				if o.Status != "READY" {
					wantFailed(t, s, o)
				}
				return
			}
			wantFailed(t, s, o, c.words...)
		})
	}
	for _, path := range []string{outside, "/tmp/escaped", "/escaped", filepath.Join(s.dir, "escaped"), filepath.Join(filepath.Dir(s.dir), "escaped")} {
		if _, err := os.Lstat(path); err == nil {
			t.Error("a zip wrote", path)
		}
	}
}

func one(name string, mode fs.FileMode, data string) func(*testing.T) []byte {
	return func(t *testing.T) []byte { return zipOf(t, zipEntry{name, mode, []byte(data)}) }
}

// A requirement that is a path runs its build: inside a sandbox, where the host is not. The build
// backend is the package's own, so that it runs without a package index.
func TestArtifacts_setupThatAttacks(t *testing.T) {
	s := startServer(t, "")
	n := s.newNeighbour(t)
	report := n.watch(t)
	defer report()
	canary := newCanary()
	what := plant(t, t.TempDir(), canary)
	files, _ := json.Marshal(what["files"])
	addresses, _ := json.Marshal(append(what["loopback"].([]string), what["interfaces"].([]string)...))
	attack := fmt.Sprintf(`
import json, os, socket, sys
found = []
for path in json.loads(%q):
    try: found.append("read " + path) if "canary-" in open(path).read() else None
    except OSError: pass
for address in json.loads(%q):
    host, _, port = address.rpartition(":")
    try:
        c = socket.create_connection((host.strip("[]"), int(port)), 3); c.sendall(b"x")
        if b"canary-" in c.recv(100): found.append("reached " + address)
    except OSError: pass
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        if %q in open("/proc/%%s/environ" %% pid).read(): found.append("saw process " + pid)
    except OSError: pass
try: open("/tmp/moorage-hostile-setup", "w").write("x")
except OSError: pass
print("ATTACK FOUND", found, file=sys.stderr, flush=True)
sys.exit("setup.py was here, on " + os.uname().release + ", and found " + str(found))
`, files, addresses, canary)
	o := s.createCode(t, "setup", zipOf(t,
		zipEntry{"requirements.txt", 0o644, []byte("./evil\n")}, zipEntry{"evil/setup.py", 0o644, []byte(attack)},
		zipEntry{"evil/pyproject.toml", 0o644, []byte("[build-system]\nrequires = []\nbuild-backend = \"setup\"\nbackend-path = [\".\"]\n[project]\nname = \"evil\"\nversion = \"1\"\n")},
	))
	wantFailed(t, s, o, "setup.py was here")
	if strings.Contains(o.FailureReason, "read /") || strings.Contains(o.FailureReason, "reached ") || strings.Contains(o.FailureReason, "saw process") {
		t.Error("setup.py got out")
	}
	if strings.Contains(o.FailureReason, kernelRelease(t)) {
		t.Error("setup.py ran on the host's kernel")
	}
	if _, err := os.Stat("/tmp/moorage-hostile-setup"); err == nil {
		t.Error("setup.py wrote to the host")
	}
}

// registry answers as an OCI registry, honestly or not.
type registry struct {
	blobs    map[string][]byte
	manifest []byte
	stall    bool // on blobs
}

func (r registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	switch {
	case strings.Contains(req.URL.Path, "/manifests/"):
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		w.Write(r.manifest)
	case strings.Contains(req.URL.Path, "/blobs/"):
		data, ok := r.blobs[filepath.Base(req.URL.Path)]
		if !ok {
			http.NotFound(w, req)
			return
		}
		if r.stall {
			w.Header().Set("Content-Length", fmt.Sprint(len(data)))
			w.Write(data[:1])
			w.(http.Flusher).Flush()
			<-req.Context().Done()
			return
		}
		w.Write(data)
	default:
		w.WriteHeader(http.StatusOK)
	}
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// imageOf makes a registry with one image of one layer; spoil may change its blobs afterwards.
func imageOf(t *testing.T, architecture string, layer []byte) registry {
	t.Helper()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(layer)
	z.Close()
	config, _ := json.Marshal(map[string]any{
		"architecture": architecture, "os": "linux", "config": map[string]any{"Cmd": []string{"/agent"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digest(layer)}},
	})
	manifest, _ := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": map[string]any{"mediaType": "application/vnd.oci.image.config.v1+json", "size": len(config), "digest": digest(config)},
		"layers": []any{map[string]any{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "size": packed.Len(), "digest": digest(packed.Bytes())}},
	})
	return registry{blobs: map[string][]byte{digest(config): config, digest(packed.Bytes()): packed.Bytes()}, manifest: manifest}
}

func tarOf(t *testing.T, headers ...tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range headers {
		h.Size = 0
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	return out.Bytes()
}

func TestArtifacts_hostileImages(t *testing.T) {
	s := startServer(t, "")
	n := s.newNeighbour(t)
	plainLayer := tarOf(t, tar.Header{Name: "agent", Mode: 0o755, Typeflag: tar.TypeReg})
	other := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	for _, c := range []struct {
		name  string
		from  func() http.Handler
		words []string
	}{
		{"other_architecture", func() http.Handler { return imageOf(t, other, plainLayer) }, []string{other}},
		{"wrong_digest", func() http.Handler {
			r := imageOf(t, runtime.GOARCH, plainLayer)
			for d, data := range r.blobs {
				r.blobs[d] = append(bytes.Clone(data[:len(data)-1]), 'x')
			}
			return r
		}, []string{"sha256"}},
		{"layer_of_parents", func() http.Handler {
			return imageOf(t, runtime.GOARCH, tarOf(t, tar.Header{Name: "../../escaped", Mode: 0o644, Typeflag: tar.TypeReg}))
		}, nil},
		{"layer_with_hard_link", func() http.Handler {
			return imageOf(t, runtime.GOARCH, tarOf(t, tar.Header{Name: "shadow", Linkname: "../../../../../etc/shadow", Typeflag: tar.TypeLink}))
		}, []string{"shadow"}},
		{"layer_is_no_tar", func() http.Handler {
			return imageOf(t, runtime.GOARCH, []byte("this is no tar, but long enough"+strings.Repeat(".", 1024)))
		}, nil},
		{"no_manifest", func() http.Handler { return registry{manifest: []byte("{}")} }, nil},
		{"garbage", func() http.Handler { return registry{manifest: []byte("\x00\x01")} }, nil},
		{"endless_manifest", func() http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, io.LimitReader(zeroReader{}, 1<<30)) })
		}, nil},
		{"not_there", func() http.Handler { return http.NotFoundHandler() }, nil},
		{"redirect_to_metadata", func() http.Handler {
			return http.RedirectHandler("http://"+metadata+"/latest/meta-data/", http.StatusTemporaryRedirect)
		}, nil},
		{"stalls", func() http.Handler { r := imageOf(t, runtime.GOARCH, plainLayer); r.stall = true; return r }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			report := n.watch(t)
			defer report()
			server := httptest.NewServer(c.from())
			defer func() { server.CloseClientConnections(); server.Close() }()
			o := s.createImage(t, c.name, server.Listener.Addr().String()+"/hostile:1")
			wantFailed(t, s, o, c.words...)
		})
	}
}

func (s *server) createImage(t *testing.T, name, ref string) outcome {
	t.Helper()
	return s.create(t, name, map[string]any{"containerConfiguration": map[string]any{"containerUri": ref}})
}

// A registry that accepts and says nothing must not hold a deployment for ever.
func TestArtifacts_silentRegistry(t *testing.T) {
	s := startServer(t, "")
	n := s.newNeighbour(t)
	report := n.watch(t)
	defer report()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
		}
	}()
	began := time.Now()
	wantFailed(t, s, s.createImage(t, "silent", l.Addr().String()+"/hostile:1"))
	t.Log("failed after", time.Since(began))
}
