package object_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/object"
)

func newStore(t *testing.T) *object.Store {
	t.Helper()
	s := &object.Store{Dir: filepath.Join(t.TempDir(), "objects [1]")} // a name that a pattern would not match
	if created, err := s.CreateBucket("bucket"); err != nil || !created {
		t.Fatal(created, err)
	}
	return s
}

func put(t *testing.T, s *object.Store, key, text string) object.Info {
	t.Helper()
	info, err := s.Put(t.Context(), "bucket", key, "text/plain", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func get(t *testing.T, s *object.Store, key string) (string, object.Info) {
	t.Helper()
	f, info, err := s.Open("bucket", key)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(text), info
}

// files lists what lies in the bucket's directory.
func files(t *testing.T, s *object.Store) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(s.Dir, "bucket"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func wantCode(t *testing.T, what string, err error, want moorage.Code) {
	t.Helper()
	if moorage.CodeOf(err) != want {
		t.Errorf("%s: %v, want %q", what, err, want)
	}
}

func TestPut_hostileKeysStayInTheirBucket(t *testing.T) {
	s := newStore(t)
	for _, key := range []string{"../../etc/passwd", "/abs", "a//b", ".", "..", "a\x00b", "C:\\x", "a\nb", "\xff\xfe", "日本/語", strings.Repeat("k", 1024), "x.json", ".put-1"} {
		put(t, s, key, "content of "+key)
		if text, info := get(t, s, key); text != "content of "+key || info.Size != int64(len(text)) {
			t.Errorf("%q came back as %q, %+v", key, text, info)
		}
	}
	for _, name := range files(t, s) {
		if strings.ContainsAny(name, "/\\\x00") || !strings.HasSuffix(name, ".data") && !strings.HasSuffix(name, ".json") {
			t.Errorf("a key became the file %q", name)
		}
	}
	for _, key := range []string{"", strings.Repeat("k", 1025)} {
		_, err := s.Put(t.Context(), "bucket", key, "", strings.NewReader(""))
		wantCode(t, fmt.Sprintf("a key of %d bytes", len(key)), err, moorage.Invalid)
	}
	for _, bucket := range []string{"..", "a/b", "Bucket", "", "x", strings.Repeat("b", 64), "../bucket"} {
		_, err := s.CreateBucket(bucket)
		wantCode(t, "bucket "+bucket, err, moorage.Invalid)
	}
}

func TestPut_replacesWholeAndLeavesNothingOfTheOld(t *testing.T) {
	s := newStore(t)
	put(t, s, "key", "first")
	f, _, err := s.Open("bucket", "key")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	second := put(t, s, "key", "second!")
	if text, info := get(t, s, "key"); text != "second!" || info.MD5 != second.MD5 {
		t.Errorf("it is %q, %+v", text, info)
	}
	if text, err := io.ReadAll(f); err != nil || string(text) != "first" {
		t.Errorf("a reader of the old one reads %q, %v", text, err)
	}
	if names := files(t, s); len(names) != 2 {
		t.Errorf("files: %v", names)
	}
}

func TestPut_failureLeavesTheOldObject(t *testing.T) {
	s := newStore(t)
	s.MaxBytes = 100
	put(t, s, "key", "old")
	broken := errors.New("connection reset")
	_, err := s.Put(t.Context(), "bucket", "key", "", io.MultiReader(strings.NewReader("new"), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) {
		t.Errorf("Put = %v", err)
	}
	_, err = s.Put(t.Context(), "bucket", "key", "", strings.NewReader(strings.Repeat("x", 101)))
	wantCode(t, "an object over the limit", err, moorage.Invalid)
	_, err = s.Put(t.Context(), "none", "key", "", strings.NewReader("x"))
	wantCode(t, "no such bucket", err, moorage.NotFound)
	if text, _ := get(t, s, "key"); text != "old" || len(files(t, s)) != 2 {
		t.Errorf("it is %q, with the files %v", text, files(t, s))
	}
}

// TestOpen_neverMixesTwoObjects reads while others write: what is read must match its own description.
func TestOpen_neverMixesTwoObjects(t *testing.T) {
	s := newStore(t)
	put(t, s, "key", "x")
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			for i := range 50 {
				put(t, s, "key", strings.Repeat("x", w*100+i))
			}
		})
		all.Go(func() {
			for range 100 {
				if text, info := get(t, s, "key"); int64(len(text)) != info.Size {
					t.Errorf("%d bytes described as %d", len(text), info.Size)
				}
			}
		})
	}
	all.Wait()
	if names := files(t, s); len(names) != 2 {
		t.Errorf("files: %v", names)
	}
}

func TestRecover_removesWhatACrashLeft(t *testing.T) {
	s := newStore(t)
	put(t, s, "key", "kept")
	kept := files(t, s)
	id, err := s.CreateUpload("bucket", "big", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".put-123", strings.Repeat("0", 64) + "-ABC.data"} {
		if err := os.WriteFile(filepath.Join(s.Dir, "bucket", name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Recover(); err != nil {
		t.Fatal(err)
	}
	if names := files(t, s); len(names) != len(kept)+1 {
		t.Errorf("files: %v, want %v and the upload", names, kept)
	}
	if _, err := s.PutPart("bucket", "big", id, 1, strings.NewReader("part")); err != nil {
		t.Errorf("an upload under way: %v", err)
	}
	if text, _ := get(t, s, "key"); text != "kept" {
		t.Errorf("it is %q", text)
	}
}

func TestUpload_joinsItsPartsInOrder(t *testing.T) {
	s := newStore(t)
	id, err := s.CreateUpload("bucket", "big", "application/zip")
	if err != nil {
		t.Fatal(err)
	}
	var parts []object.Part
	var want bytes.Buffer
	for n := 1; n <= 3; n++ {
		text := strings.Repeat(fmt.Sprint(n), 1<<20)
		etag, err := s.PutPart("bucket", "big", id, n, strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, object.Part{Number: n, ETag: etag})
		want.WriteString(text)
	}
	stale := parts[1].ETag
	if parts[1].ETag, err = s.PutPart("bucket", "big", id, 2, strings.NewReader("again")); err != nil || parts[1].ETag == stale {
		t.Fatal(parts, err)
	}
	for what, list := range map[string][]object.Part{
		"none": nil, "out of order": {parts[1], parts[0]}, "twice": {parts[0], parts[0]}, "replaced": {parts[0], {Number: 2, ETag: stale}},
		"unknown": {{Number: 9, ETag: stale}}, "a path": {{Number: 1, ETag: "../../../x"}}, "no ETag": {{Number: 1}},
	} {
		_, err := s.CompleteUpload(t.Context(), "bucket", "big", id, list)
		wantCode(t, "parts: "+what, err, moorage.Invalid)
	}
	info, err := s.CompleteUpload(t.Context(), "bucket", "big", id, parts)
	if err != nil || info.Size != 2<<20+5 || info.ContentType != "application/zip" {
		t.Fatalf("complete = %+v, %v", info, err)
	}
	if text, _ := get(t, s, "big"); text != strings.Repeat("1", 1<<20)+"again"+strings.Repeat("3", 1<<20) {
		t.Errorf("the object is %d bytes of something else", len(text))
	}
	_, err = s.PutPart("bucket", "big", id, 1, strings.NewReader(""))
	wantCode(t, "a part of a completed upload", err, moorage.NotFound)
	if names := files(t, s); len(names) != 2 {
		t.Errorf("files: %v", names)
	}
}

func TestUpload_isBoundToItsKey(t *testing.T) {
	s := newStore(t)
	id, err := s.CreateUpload("bucket", "mine", "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.PutPart("bucket", "yours", id, 1, strings.NewReader(""))
	wantCode(t, "another key", err, moorage.NotFound)
	_, err = s.PutPart("bucket", "mine", "../"+id, 1, strings.NewReader(""))
	wantCode(t, "an id that is a path", err, moorage.NotFound)
	_, err = s.PutPart("bucket", "mine", id, 10001, strings.NewReader(""))
	wantCode(t, "part 10001", err, moorage.Invalid)
	wantCode(t, "abort", s.AbortUpload("bucket", "mine", id), "")
	wantCode(t, "abort again", s.AbortUpload("bucket", "mine", id), moorage.NotFound)
}

func TestDeleteBucket(t *testing.T) {
	s := newStore(t)
	put(t, s, "key", "x")
	wantCode(t, "with an object", s.DeleteBucket("bucket"), moorage.Conflict)
	wantCode(t, "delete the object", s.Delete("bucket", "key"), "")
	wantCode(t, "delete it again", s.Delete("bucket", "key"), "")
	if _, err := s.CreateUpload("bucket", "never completed", ""); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "with an upload alone", s.DeleteBucket("bucket"), "")
	wantCode(t, "again", s.DeleteBucket("bucket"), moorage.NotFound)
}

func TestLink_outlivesTheObject(t *testing.T) {
	s := newStore(t)
	put(t, s, "key", "held")
	path := filepath.Join(s.Dir, "held")
	wantCode(t, "link", s.Link("bucket", "key", path), "")
	wantCode(t, "delete", s.Delete("bucket", "key"), "")
	if text, err := os.ReadFile(path); err != nil || string(text) != "held" {
		t.Errorf("%q, %v", text, err)
	}
	wantCode(t, "link of nothing", s.Link("bucket", "key", path), moorage.NotFound)
}

func TestList_byPrefixAndPage(t *testing.T) {
	s := newStore(t)
	for _, key := range []string{"b/2", "a/1", "b/1", "c", "b/3"} {
		put(t, s, key, "x")
	}
	found, err := s.List("bucket", "b/", "b/1", 1)
	if err != nil || len(found) != 1 || found[0].Key != "b/2" {
		t.Errorf("List = %+v, %v", found, err)
	}
}
