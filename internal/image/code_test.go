package image

import (
	"archive/zip"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// writeZip makes a zip of the given files.
func writeZip(t testing.TB, files map[string]string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "code.zip")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := zip.NewWriter(f)
	for name, text := range files {
		out, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := out.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return name
}

func openStore(t testing.TB, opts Options) *Store {
	t.Helper()
	if opts.Dir == "" {
		opts.Dir = t.TempDir()
	}
	s, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// openBaked opens a store that has the Python base already: baking it takes seconds.
func openBaked(t testing.TB, opts Options) *Store {
	t.Helper()
	needPython(t)
	s := openStore(t, opts)
	layers, err := filepath.Glob(bakeOnce() + "/layers/base-*")
	if err != nil || len(layers) == 0 {
		t.Fatalf("no base: %v", err)
	}
	for _, l := range layers {
		if err := os.Link(l, s.path("layers", filepath.Base(l))); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

var bakeOnce = sync.OnceValue(func() string {
	s, err := Open(Options{Dir: bakedDir})
	if err == nil {
		_, err = s.bakedBase(context.Background(), languages["PYTHON_3_11"])
	}
	if err != nil {
		panic(err)
	}
	return bakedDir
})

var bakedDir string

func TestMain(m *testing.M) {
	var err error
	if bakedDir, err = os.MkdirTemp("", "moorage-image"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(bakedDir)
	os.Exit(code)
}

func needPython(t testing.TB) {
	t.Helper()
	if _, err := new(prober).findPython(t.Context(), "3.11"); err != nil {
		t.Skip("Python 3.11: ", err)
	}
}

func TestCode_runsInItsRoot(t *testing.T) {
	s := openBaked(t, Options{})
	code := Code{Zip: writeZip(t, map[string]string{"main.py": hello}), Runtime: "PYTHON_3_11", EntryPoint: []string{"main.py"}}
	for range 3 {
		began := time.Now()
		a, err := s.Code(t.Context(), code, nil, func(s Step) { t.Log(s) })
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%v: %d MB", time.Since(began), a.Size>>20)
		code.Zip = writeZip(t, map[string]string{"main.py": hello + "# " + time.Now().String()})
		if out := runInRoot(t, a); !strings.Contains(out, "ok 3.11") {
			t.Errorf("it printed %q", out)
		}
	}
}

const hello = `
import ssl, sqlite3, asyncio, json, sys, zoneinfo, ctypes, hashlib, bz2, lzma, uuid, readline, decimal
print("ok", sys.version.split()[0])
`

// extract unpacks an image with erofs-utils: a reader that is not ours.
func extract(t testing.TB, image string) string {
	t.Helper()
	fsck, err := exec.LookPath("fsck.erofs")
	if err != nil {
		t.Skip("fsck.erofs: not installed")
	}
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), fsck, "--extract="+dir, "--overwrite", image).CombinedOutput(); err != nil {
		t.Fatalf("fsck.erofs: %v\n%s", err, out)
	}
	return dir
}

// runInRoot starts the artifact in a chroot of its unpacked image.
func runInRoot(t testing.TB, a Artifact) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("chroot: needs root")
	}
	args := append([]string{"-i"}, a.Config.Env...)
	args = append(args, "chroot", extract(t, a.EROFS), "sh", "-c", `cd "$0" && exec "$@"`, a.Config.Dir)
	cmd := exec.CommandContext(t.Context(), "env", append(args, a.Config.Args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("run %q: %v\n%s", a.Config.Args, err, out)
	}
	return string(out)
}
