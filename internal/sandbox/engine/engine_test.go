package engine

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUnpack_givesWhatWasPacked(t *testing.T) {
	packed := filepath.Join(t.TempDir(), "moorage")
	if err := Pack(packed, write(t, "the program"), write(t, "its engine")); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(packed)
	if err != nil || !bytes.HasPrefix(whole, []byte("the program")) {
		t.Errorf("the packed file is %q, %v; the program must come first, to be executable", whole, err)
	}
	to := filepath.Join(t.TempDir(), "engine")
	if carried, err := Unpack(packed, to); !carried || err != nil {
		t.Fatalf("carried %v, %v", carried, err)
	}
	got, err := os.ReadFile(to)
	if err != nil || string(got) != "its engine" {
		t.Errorf("unpacked %q, %v", got, err)
	}
	if info, err := os.Stat(to); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v; an engine runs as another user", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Dir(to) + "/*"); len(left) != 1 {
		t.Errorf("left behind: %q", left)
	}
}

func TestUnpack_ofAProgramWithoutEngine(t *testing.T) {
	for _, content := range []string{"", "short", "a program that is longer than any trailer could ever be"} {
		to := filepath.Join(t.TempDir(), "engine")
		if carried, err := Unpack(write(t, content), to); carried || err != nil {
			t.Errorf("%q: carried %v, %v", content, carried, err)
		}
		if _, err := os.Stat(to); !os.IsNotExist(err) {
			t.Errorf("%q: there is an engine, %v", content, err)
		}
	}
}

func TestUnpack_refusesWhatWasCutShort(t *testing.T) {
	packed := filepath.Join(t.TempDir(), "moorage")
	if err := Pack(packed, write(t, "the program"), write(t, "its engine")); err != nil {
		t.Fatal(err)
	}
	whole, _ := os.ReadFile(packed)
	if carried, err := Unpack(write(t, string(whole[15:])), filepath.Join(t.TempDir(), "engine")); carried || err == nil {
		t.Errorf("carried %v, %v", carried, err)
	}
}

func TestInMemory_isTheSameAndStaysSo(t *testing.T) {
	content := strings.Repeat("a program of three huge pages and a bit. ", 160_000)
	file, err := InMemory(write(t, content))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	got := make([]byte, len(content))
	if _, err := file.ReadAt(got, 0); err != nil || string(got) != content {
		t.Errorf("what is in memory differs, %v", err)
	}
	if _, err := file.WriteAt([]byte("x"), 0); err == nil {
		t.Error("it could be written to")
	}
	if err := file.Truncate(0); err == nil {
		t.Error("it could be cut short")
	}
}
