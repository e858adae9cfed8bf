package image

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/image/erofs"
)

// tarOf makes a layer of the given headers; a regular file holds its own Linkname.
func tarOf(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, h := range headers {
		text := ""
		if h.Typeflag == tar.TypeReg {
			text, h.Linkname, h.Size = h.Linkname, "", int64(len(h.Linkname))
		}
		if h.Mode == 0 {
			h.Mode = 0o755
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func file(name, text string) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Linkname: text}
}

func symlink(name, target string) tar.Header {
	return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target}
}

func hardlink(name, target string) tar.Header {
	return tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target}
}

func directory(name string) tar.Header { return tar.Header{Typeflag: tar.TypeDir, Name: name} }

// build is a builder on a real file, with room for a megabyte in a thousand entries.
func build(t testing.TB) (*builder, *os.File) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "root.erofs"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	b, err := newBuilder(f, 1<<20, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return b, f
}

// sealed closes the image and reads it back.
func sealed(t testing.TB, b *builder, f *os.File) map[string]string {
	t.Helper()
	if _, err := b.out.Close(b.root); err != nil {
		t.Fatal(err)
	}
	root, err := erofs.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	return listed(t, f, root)
}

// listed returns path → contents, link target or "/" for a directory.
func listed(t testing.TB, f *os.File, root *erofs.Node) map[string]string {
	t.Helper()
	out := map[string]string{}
	var visit func(string, *erofs.Node)
	visit = func(at string, n *erofs.Node) {
		for _, name := range n.Names() {
			c, p := n.Children[name], at+"/"+name
			switch {
			case c.IsDir():
				out[p] = "/"
				visit(p, c)
			case c.IsSymlink():
				out[p] = "-> " + c.Target
			default:
				raw, err := io.ReadAll(erofs.Open(f, c))
				if err != nil {
					t.Fatal(err)
				}
				out[p] = string(raw)
			}
		}
	}
	visit("", root)
	return out
}

func TestApply_layersStack(t *testing.T) {
	b, f := build(t)
	for _, layer := range [][]tar.Header{
		{
			directory("usr/"), directory("usr/lib/"), symlink("lib", "usr/lib"), file("usr/lib/a.so", "1"), file("etc/gone", "x"),
			file("data/old/1", "x"), file("data/old/2", "x"), file("keep", "k"), file("opt/app", "dir to be"), hardlink("copy", "keep"),
		}, {
			file("lib/b.so", "2"), // through the link, not over it
			file("etc/.wh.gone", ""), file("data/new", "n"), file("data/.wh..wh..opq", ""), file("data/old/3", "3"),
			file(".wh.never-there", ""), file("no/such/.wh.dir", ""), file("keep", "changed"),
			directory("opt/app"), file("./opt/app/inside", "i"), file(".wh..wh.plnk/1", ""),
		},
	} {
		if err := b.apply(bytes.NewReader(tarOf(t, layer...))); err != nil {
			t.Fatal(err)
		}
	}
	got := sealed(t, b, f)
	for name, want := range map[string]string{
		"/lib": "-> usr/lib", "/usr/lib/a.so": "1", "/usr/lib/b.so": "2", "/etc": "/", "/data/new": "n", "/data/old/3": "3",
		"/keep": "changed", "/copy": "k", "/opt/app/inside": "i",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	for _, name := range []string{"/etc/gone", "/data/old/1", "/data/old/2", "/no", "/etc/.wh.gone", "/.wh..wh.plnk"} {
		if _, there := got[name]; there {
			t.Errorf("%s is there", name)
		}
	}
}

func TestApply_keepsOwnersModesAndTimes(t *testing.T) {
	b, f := build(t)
	at := time.Date(2025, 3, 4, 5, 6, 7, 0, time.UTC)
	h := file("bin/su", "x")
	h.Mode, h.Uid, h.Gid, h.ModTime = 0o4755, 70000, 5, at
	if err := b.apply(bytes.NewReader(tarOf(t, h))); err != nil {
		t.Fatal(err)
	}
	sealed(t, b, f)
	root, err := erofs.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	n := root.Children["bin"].Children["su"]
	if n.Mode != syscall.S_IFREG|0o4755 || n.UID != 70000 || n.GID != 5 || !n.ModTime.Equal(at) {
		t.Errorf("got %+v", n)
	}
}

func TestApply_linksStayInTheRoot(t *testing.T) {
	b, f := build(t)
	err := b.apply(bytes.NewReader(tarOf(t,
		symlink("out", "/etc"), file("out/passwd", "in the image"), symlink("up", "../../../../tmp"), file("up/x", "in the image"),
	)))
	if err != nil {
		t.Fatal(err)
	}
	got := sealed(t, b, f)
	if got["/etc/passwd"] != "in the image" || got["/tmp/x"] != "in the image" {
		t.Errorf("got %v", got)
	}
}

func TestApply_leavesDevicesOut(t *testing.T) {
	b, f := build(t)
	err := b.apply(bytes.NewReader(tarOf(t,
		tar.Header{Typeflag: tar.TypeBlock, Name: "dev/sda", Devmajor: 8}, tar.Header{Typeflag: tar.TypeChar, Name: "mem", Devmajor: 1, Devminor: 1}, file("ok", ""),
	)))
	if err != nil {
		t.Fatal(err)
	}
	if got := sealed(t, b, f); len(got) != 1 || b.devices != 2 {
		t.Errorf("the root holds %v, %d devices left out", got, b.devices)
	}
}

func TestApply_refuses(t *testing.T) {
	many := make([]tar.Header, 1001)
	for i := range many {
		many[i] = file("f", "")
	}
	for name, tc := range map[string]struct {
		layer []byte
		want  string
	}{
		"a path that climbs":       {tarOf(t, file("a/../../etc/passwd", "x")), "leads out"},
		"a link that climbs":       {tarOf(t, hardlink("x", "../etc/shadow")), "leads out"},
		"a hard link to nothing":   {tarOf(t, hardlink("x", "etc/shadow")), "not a file in the archive"},
		"a hard link to a dir":     {tarOf(t, directory("d"), hardlink("x", "d")), "not a file in the archive"},
		"a circle of links":        {tarOf(t, symlink("a", "b"), symlink("b", "a"), file("a/x", "")), "circles"},
		"a link to itself":         {tarOf(t, symlink("a", "a/b"), file("a/x", "")), "circles"},
		"a file as a directory":    {tarOf(t, file("a", ""), file("a/b", "")), "not a directory"},
		"the root as a file":       {tarOf(t, file(".", "x")), "replaces the root"},
		"too many bytes":           {tarOf(t, file("a", strings.Repeat("x", 1<<20)), file("b", "x")), "size limit"},
		"too many entries":         {tarOf(t, many...), "too many entries"},
		"too many parents":         {tarOf(t, directory(strings.Repeat("d/", 1500))), "too many entries"},
		"a long name":              {tarOf(t, file(strings.Repeat("n", 256), "")), "255"},
		"a long path":              {tarOf(t, file(strings.Repeat("nnn/", 1100)+"x", "")), "bytes"},
		"a long link":              {tarOf(t, symlink("a", strings.Repeat("n", 5000))), "5000 bytes"},
		"an owner below zero":      {tarOf(t, tar.Header{Typeflag: tar.TypeReg, Name: "a", Uid: -5, Format: tar.FormatGNU}), "no Linux user"},
		"an end in mid-file":       {tarOf(t, file("a", strings.Repeat("x", 4000)))[:1000], "unexpected EOF"},
		"something else entirely":  {bytes.Repeat([]byte("moorage "), 200), "not a valid tar"},
		"a whiteout that climbs":   {tarOf(t, file("a/../../.wh.etc", "")), "leads out"},
		"a whiteout of a parent":   {tarOf(t, file("a/.wh...", "")), "hides no file"},
		"a directory in two forms": {tarOf(t, directory("d"), file("d", "x"), file("d/x", "")), "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := build(t)
			err := b.apply(bytes.NewReader(tc.layer))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v, want an error with %q", err, tc.want)
			}
			if code := moorage.CodeOf(explain(err)); code != moorage.Invalid {
				t.Errorf("its code is %s", code)
			}
		})
	}
}

// FuzzApply holds that no layer does more than fail, and that what it makes can be read back.
func FuzzApply(f *testing.F) {
	f.Add(tarOf(f, directory("a"), file("a/b", "x"), symlink("l", "a"), hardlink("h", "a/b"), file("l/.wh.b", "")))
	f.Add(tarOf(f, symlink("a", "b"), symlink("b", "/a/.."), file("a/../c", "")))
	f.Add(tarOf(f, file("a/.wh..wh..opq", ""), file("dev/.wh.", "")))
	f.Fuzz(func(t *testing.T, layer []byte) {
		b, img := build(t)
		if b.apply(bytes.NewReader(layer)) != nil || b.apply(bytes.NewReader(layer)) != nil || b.finish() != nil {
			return
		}
		sealed(t, b, img)
	})
}
