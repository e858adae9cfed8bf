package snapshot_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox/snapshot"
)

// write makes a snapshot whose image holds n random bytes.
func write(t *testing.T, n int) (dir string, content []byte) {
	t.Helper()
	dir, content = filepath.Join(t.TempDir(), "s"), make([]byte, n)
	rand.Read(content)
	w, err := snapshot.Create(dir, snapshot.Manifest{Driver: "gvisor", Build: "b1", Sandbox: "x", At: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Write("image", bytes.NewReader(content)), w.Commit()); err != nil {
		t.Fatal(err)
	}
	return dir, content
}

func read(dir string) ([]byte, error) {
	s, err := snapshot.Open(dir)
	if err != nil {
		return nil, err
	}
	return s.ReadPart("image")
}

func TestSnapshot_comesBackAsItWas(t *testing.T) {
	for _, n := range []int{0, 1, 1<<20 - 1, 1 << 20, 1<<20 + 1, 3 << 20, 5<<20 + 7} {
		dir, content := write(t, n)
		if got, err := read(dir); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes: %d came back, %v", n, len(got), err)
		}
	}
}

func TestSnapshot_isSealed(t *testing.T) {
	dir, content := write(t, 1<<20)
	sealed, err := os.ReadFile(filepath.Join(dir, "image"))
	if err != nil || bytes.Contains(sealed, content[:32]) {
		t.Errorf("the image is there in the clear (%v)", err)
	}
	info, err := os.Stat(filepath.Join(dir, "key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's mode is %v, %v", info.Mode(), err)
	}
}

func TestSnapshot_refusesWhatWasChanged(t *testing.T) {
	edit := func(name string, f func([]byte) []byte) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, name)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, f(b), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	const sealed = 1<<20 + 16
	for name, harm := range map[string]func(*testing.T, string){
		"a bit":             edit("image", func(b []byte) []byte { b[1000] ^= 1; return b }),
		"the last bit":      edit("image", func(b []byte) []byte { b[len(b)-1] ^= 1; return b }),
		"cut in a chunk":    edit("image", func(b []byte) []byte { return b[:len(b)-5] }),
		"cut after a chunk": edit("image", func(b []byte) []byte { return b[:2*sealed] }),
		"emptied":           edit("image", func([]byte) []byte { return nil }),
		"chunks swapped": edit("image", func(b []byte) []byte {
			return append(append([]byte{}, b[sealed:2*sealed]...), append(b[:sealed:sealed], b[2*sealed:]...)...)
		}),
		"more at the end": edit("image", func(b []byte) []byte { return append(b, 0) }),
		"another key":     edit("key", func(b []byte) []byte { b[0] ^= 1; return b }),
		"half a key":      edit("key", func(b []byte) []byte { return b[:16] }),
		"another build":   edit("snapshot.json", func(b []byte) []byte { return bytes.Replace(b, []byte("b1"), []byte("b2"), 1) }),
		"another format":  edit("snapshot.json", func(b []byte) []byte { return bytes.Replace(b, []byte(`"format":1`), []byte(`"format":9`), 1) }),
		"no manifest":     edit("snapshot.json", func([]byte) []byte { return nil }),
		"no image":        func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, "image")) },
		"no key":          func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, "key")) },
	} {
		t.Run(name, func(t *testing.T) {
			dir, _ := write(t, 3<<20+100)
			harm(t, dir)
			if _, err := read(dir); moorage.CodeOf(err) != moorage.Conflict {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestSnapshot_isNobodyElses(t *testing.T) {
	dir, _ := write(t, 100)
	elsewhere := filepath.Join(filepath.Dir(dir), "another")
	if err := os.Rename(dir, elsewhere); err != nil {
		t.Fatal(err)
	}
	if _, err := read(elsewhere); moorage.CodeOf(err) != moorage.Conflict {
		t.Errorf("got %v", err)
	}
}

func TestWriter_leavesNothingWhenItIsGivenUp(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	w, err := snapshot.Create(dir, snapshot.Manifest{})
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if err := w.Write("image", io.MultiReader(bytes.NewReader(make([]byte, 100)), failing{broken})); !errors.Is(err, broken) {
		t.Errorf("write: %v", err)
	}
	if err := w.Abort(); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(filepath.Dir(dir)); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := snapshot.Open(dir); moorage.CodeOf(err) != moorage.NotFound {
		t.Errorf("open: %v", err)
	}
}

func TestDiscard_leavesNothingThatOpens(t *testing.T) {
	dir, _ := write(t, 3<<20)
	room, err := snapshot.Discard(dir)
	if err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(filepath.Dir(dir)); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := snapshot.Open(dir); moorage.CodeOf(err) != moorage.NotFound {
		t.Errorf("open: %v", err)
	}
	if err := room.Close(); err != nil {
		t.Error(err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// FuzzOpen feeds an image that somebody else wrote.
func FuzzOpen(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, 100))
	f.Fuzz(func(t *testing.T, image []byte) {
		dir, _ := write(t, 10)
		if err := os.WriteFile(filepath.Join(dir, "image"), image, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := read(dir); moorage.CodeOf(err) != moorage.Conflict || len(got) != 0 {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	content := make([]byte, 18<<20)
	rand.Read(content)
	dir := filepath.Join(b.TempDir(), "s")
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		w, err := snapshot.Create(dir, snapshot.Manifest{})
		if err != nil {
			b.Fatal(err)
		}
		if err := errors.Join(w.Write("image", bytes.NewReader(content)), w.Commit()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "s")
	w, err := snapshot.Create(dir, snapshot.Manifest{})
	if err != nil {
		b.Fatal(err)
	}
	if err := errors.Join(w.Write("image", bytes.NewReader(make([]byte, 18<<20))), w.Commit()); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(18 << 20)
	for b.Loop() {
		s, err := snapshot.Open(dir)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.WritePart(io.Discard, "image"); err != nil {
			b.Fatal(err)
		}
	}
}
