package erofs

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func image(t *testing.T, fill func(w *Writer, root *Node)) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "image.erofs"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	w, err := NewWriter(f)
	if err != nil {
		t.Fatal(err)
	}
	root := Dir(0o755)
	fill(w, root)
	size, err := w.Close(root)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := f.Stat(); err != nil || info.Size() != size || size%BlockSize != 0 {
		t.Errorf("%d bytes on disk, %d said: %v", info.Size(), size, err)
	}
	return f
}

func add(t *testing.T, w *Writer, text string) *Node {
	t.Helper()
	e, err := w.Add(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	n := File(0o644, e)
	n.ModTime = time.Unix(1_700_000_000, 123_456_789)
	return n
}

// many fills a directory over several blocks, with names that sort around "." and "..".
func many(t *testing.T, w *Writer, root *Node) {
	dir := Dir(0o700)
	root.Children["many"] = dir
	for i := range 1000 {
		dir.Children[fmt.Sprintf("file-%04d-%s", i, strings.Repeat("x", i%200))] = add(t, w, strings.Repeat("y", i*7))
	}
	dir.Children["-"], dir.Children["..."], dir.Children["0"] = add(t, w, "dash"), add(t, w, "dots"), add(t, w, "")
	dir.Children["same"] = dir.Children["-"]
	root.Children["link"] = Symlink("many/-")
}

func TestWriter_isReadByErofsUtils(t *testing.T) {
	fsck, err := exec.LookPath("fsck.erofs")
	if err != nil {
		t.Skip("fsck.erofs: not installed")
	}
	f := image(t, func(w *Writer, root *Node) { many(t, w, root) })
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), fsck, "--extract="+dir, "--overwrite", f.Name()).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, want := range map[string]string{"-": "dash", "...": "dots", "0": "", "same": "dash", "file-0003-xxx": strings.Repeat("y", 21)} {
		if got, err := os.ReadFile(filepath.Join(dir, "many", name)); err != nil || string(got) != want {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
	if entries, err := os.ReadDir(filepath.Join(dir, "many")); err != nil || len(entries) != 1004 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
}

func TestRead_returnsWhatWasWritten(t *testing.T) {
	f := image(t, func(w *Writer, root *Node) { many(t, w, root) })
	root, err := Read(f)
	if err != nil {
		t.Fatal(err)
	}
	dir := root.Children["many"]
	n := dir.Children["file-0150-"+strings.Repeat("x", 150)]
	raw, err := io.ReadAll(Open(f, n))
	if err != nil || len(raw) != 1050 || !n.ModTime.Equal(time.Unix(1_700_000_000, 123_456_789)) {
		t.Errorf("%d bytes of %v, %v", len(raw), n.ModTime, err)
	}
	if dir.Children["same"] != dir.Children["-"] || root.Children["link"].Target != "many/-" || dir.Mode&0o777 != 0o700 {
		t.Error("a link or a mode was lost")
	}
}

func TestWriter_isDeterministic(t *testing.T) {
	var images [2][]byte
	for i := range images {
		f := image(t, func(w *Writer, root *Node) { many(t, w, root) })
		raw, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		images[i] = raw
	}
	if !bytes.Equal(images[0], images[1]) {
		t.Error("the same tree gave two images")
	}
}

func TestWriter_refusesBadNames(t *testing.T) {
	for _, name := range []string{"", ".", "..", "a/b", "a\x00", strings.Repeat("n", 256)} {
		f, err := os.Create(filepath.Join(t.TempDir(), "image"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		w, err := NewWriter(f)
		if err != nil {
			t.Fatal(err)
		}
		root := Dir(0o755)
		root.Children[name] = Dir(0o755)
		if _, err := w.Close(root); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
}
