package journal

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func open(t *testing.T, dir string, maxBytes int64) *Writer {
	t.Helper()
	w, err := Open(dir, maxBytes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func texts(lines []Line) string {
	var out []string
	for _, l := range lines {
		out = append(out, l.Stream+":"+l.Text)
	}
	return strings.Join(out, "|")
}

func TestCopy_keepsLinesOfBothStreamsInOrder(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, 1<<20)
	w.Copy(Stdout, strings.NewReader("one\r\ntwo\n"))
	w.Copy(Stderr, strings.NewReader("last words"))
	lines, err := Last(dir, 10, "")
	if err != nil || texts(lines) != "stdout:one|stdout:two|stderr:last words" {
		t.Fatalf("%q, %v", texts(lines), err)
	}
	if lines, _ = Last(dir, 1, Stdout); texts(lines) != "stdout:two" {
		t.Fatalf("%q", texts(lines))
	}
}

func TestCopy_splitsLongLinesBetweenCharactersAndMakesBytesSafe(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, 4<<20)
	long := strings.Repeat("é€", 40_000)
	w.Copy(Stdout, io.MultiReader(strings.NewReader(long), strings.NewReader("\nbad \xff\x00 byte\n")))
	lines, err := Last(dir, 100, "")
	if err != nil {
		t.Fatal(err)
	}
	var joined strings.Builder
	for _, l := range lines[:len(lines)-1] {
		if len(l.Text) > MaxLine || !utf8.ValidString(l.Text) {
			t.Fatalf("a line of %d bytes, valid %v", len(l.Text), utf8.ValidString(l.Text))
		}
		joined.WriteString(l.Text)
	}
	if joined.String() != long {
		t.Fatal("the parts do not make the whole")
	}
	if got := lines[len(lines)-1].Text; got != "bad \uFFFD\x00 byte" {
		t.Fatalf("%q", got)
	}
}

func TestCopy_dropsTheOldestAndSaysHowMuch(t *testing.T) {
	dir := t.TempDir()
	const bound = 1 << 20
	w := open(t, dir, bound)
	pr, pw := io.Pipe()
	go func() {
		for i := range 60_000 {
			fmt.Fprintf(pw, "line %d\n", i)
		}
		pw.Close()
	}()
	if err := w.Copy(Stdout, pr); err != nil {
		t.Fatal(err)
	}
	if size := diskUse(t, dir); size > bound+MaxLine {
		t.Fatalf("%d bytes on disk, bound %d", size, bound)
	}
	lines, err := Last(dir, 1_000_000, "")
	if err != nil {
		t.Fatal(err)
	}
	if lines[0].Stream != Note || !strings.Contains(lines[0].Text, "were dropped") {
		t.Fatalf("first line %+v", lines[0])
	}
	if last := lines[len(lines)-1].Text; last != "line 59999" {
		t.Fatalf("last line %q", last)
	}
}

func diskUse(t *testing.T, dir string) (total int64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	return total
}

func TestFollow_seesWhatIsWrittenLaterAndResumes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "absent-yet")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got := make(chan Line)
	go func() {
		defer close(got)
		for l, err := range Follow(ctx, dir, 0) {
			if err != nil {
				t.Error(err)
				return
			}
			got <- l
		}
	}()
	w := open(t, dir, 1<<20)
	w.Copy(Stdout, strings.NewReader("a\nb\n"))
	first, second := <-got, <-got
	if texts([]Line{first, second}) != "stdout:a|stdout:b" {
		t.Fatal(first, second)
	}
	w.Close()
	w = open(t, dir, 1<<20) // another writer goes on where the first one ended
	w.Copy(Stderr, strings.NewReader("c\n"))
	if l := <-got; l.Text != "c" {
		t.Fatal(l)
	}
	cancel()
	for range got {
	}
	for l, err := range Follow(t.Context(), dir, first.Next) {
		if err != nil || l.Text != "b" {
			t.Fatal(l, err)
		}
		break
	}
}

func TestFollow_skipsWhatWasDroppedWhileItLookedAway(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, 2*minSegment)
	for range 40 {
		w.Copy(Stdout, bytes.NewReader(append(bytes.Repeat([]byte("x"), minSegment/4), '\n')))
	}
	for l, err := range Follow(t.Context(), dir, 0) {
		if err != nil || l.Stream != Note {
			t.Fatal(l, err)
		}
		break
	}
}

func TestLast_skipsATornLine(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, 1<<20)
	w.Copy(Stdout, strings.NewReader("whole\n"))
	f, err := os.OpenFile(w.current.path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString(`{"t":"2026-`)
	f.Close()
	lines, err := Last(dir, 5, "")
	if err != nil || texts(lines) != "stdout:whole" {
		t.Fatal(lines, err)
	}
}

func FuzzScan(f *testing.F) {
	f.Add([]byte("{\"t\":\"2026-11-22T06:10:00Z\",\"s\":\"stdout\",\"m\":\"x\"}\n{}\n\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var at int64
		scan(bytes.NewReader(b), 0, func(l Line) bool {
			if l.Next <= at || l.Next > int64(len(b)) {
				t.Fatalf("offset %d after %d", l.Next, at)
			}
			at = l.Next
			return true
		})
	})
}

func BenchmarkCopy(b *testing.B) {
	w, err := Open(b.TempDir(), 16<<20)
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	line := []byte(strings.Repeat("log ", 24) + "\n")
	chunk := bytes.Repeat(line, 100)
	b.SetBytes(int64(len(chunk)))
	for b.Loop() {
		w.Copy(Stdout, bytes.NewReader(chunk))
	}
}
