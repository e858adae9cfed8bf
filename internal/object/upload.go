package object

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/moorage-dev/moorage"
)

// An upload in parts is a directory BUCKET/.upload-ID that holds key.json and a file NUMBER-MD5 per part.

const uploadKey = "key.json"

var (
	uploadID = regexp.MustCompile(`^[0-9a-f]{32}$`)
	partETag = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

// MaxParts is how many parts an upload may have. Source: S3 multipart upload limits.
const MaxParts = 10000

// CreateUpload begins an upload in parts and returns its id.
func (s *Store) CreateUpload(bucket, key, contentType string) (id string, err error) {
	if _, err := s.metaPath(bucket, key); err != nil {
		return "", err
	}
	var b [16]byte
	rand.Read(b[:])
	id = hex.EncodeToString(b[:])
	dir := s.uploadDir(bucket, id)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", diskFull(err)
	}
	doc, err := json.Marshal(Info{Bucket: bucket, Key: key, ContentType: contentType})
	if err != nil {
		return "", err
	}
	return id, diskFull(writeFile(filepath.Join(dir, uploadKey), doc))
}

func (s *Store) uploadDir(bucket, id string) string {
	return filepath.Join(s.Dir, bucket, uploadPrefix+id)
}

// upload checks that an upload exists and is for key.
func (s *Store) upload(bucket, key, id string) (dir string, info Info, err error) {
	if s.HasBucket(bucket) != nil || !uploadID.MatchString(id) {
		return "", Info{}, noUpload(key, id)
	}
	dir = s.uploadDir(bucket, id)
	doc, err := os.ReadFile(filepath.Join(dir, uploadKey))
	if err != nil {
		return "", Info{}, noUpload(key, id)
	}
	if err := json.Unmarshal(doc, &info); err != nil || info.Key != key {
		return "", Info{}, noUpload(key, id)
	}
	return dir, info, nil
}

func noUpload(key, id string) error {
	return moorage.Errorf(moorage.NotFound, "no upload %q of %q is under way", id, key)
}

// PutPart stores one part, from 1, and returns its MD5 in hex. The same number again replaces it.
func (s *Store) PutPart(bucket, key, id string, number int, body io.Reader) (etag string, err error) {
	dir, _, err := s.upload(bucket, key, id)
	if err != nil {
		return "", err
	}
	if number < 1 || number > MaxParts {
		return "", moorage.Errorf(moorage.Invalid, "part numbers go from 1 to %d; %d is not one", MaxParts, number)
	}
	info := Info{Bucket: bucket}
	tmp, err := s.spool(body, &info)
	if err != nil {
		return "", fmt.Errorf("put part: %w", diskFull(err))
	}
	defer os.Remove(tmp)
	s.mu.Lock()
	defer s.mu.Unlock()
	before, err := partFiles(dir, number)
	if err != nil {
		return "", err
	}
	part := filepath.Join(dir, strconv.Itoa(number)+"-"+info.MD5)
	if err = os.Rename(tmp, part); errors.Is(err, fs.ErrNotExist) {
		return "", noUpload(key, id) // aborted or completed meanwhile
	}
	for _, name := range before {
		if name != part {
			err = errors.Join(err, os.Remove(name))
		}
	}
	return info.MD5, err
}

// partFiles are the files of a part: one, or none yet.
func partFiles(dir string, number int) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var out []string
	for _, e := range entries {
		var n int
		var sum string
		if c, _ := fmt.Sscanf(e.Name(), "%d-%s", &n, &sum); c == 2 && n == number {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	return out, err
}

// Part names one part of a finished upload.
type Part struct {
	Number int
	ETag   string // MD5 in hex, as PutPart returned it
}

// CompleteUpload joins the parts, which must be in rising order, into the object.
func (s *Store) CompleteUpload(ctx context.Context, bucket, key, id string, parts []Part) (Info, error) {
	dir, info, err := s.upload(bucket, key, id)
	if err != nil {
		return Info{}, err
	}
	if len(parts) == 0 {
		return Info{}, moorage.Errorf(moorage.Invalid, "an upload is completed with at least one part")
	}
	joined := &partReader{}
	defer joined.Close()
	for i, p := range parts {
		if i > 0 && p.Number <= parts[i-1].Number {
			return Info{}, moorage.Errorf(moorage.Invalid, "the parts are not in rising order")
		}
		file := filepath.Join(dir, strconv.Itoa(p.Number)+"-"+p.ETag)
		if _, err := os.Stat(file); err != nil || !partETag.MatchString(p.ETag) {
			return Info{}, moorage.Errorf(moorage.Invalid, "part %d was not uploaded, or its ETag is another", p.Number)
		}
		joined.files = append(joined.files, file)
	}
	if info, err = s.Put(ctx, bucket, key, info.ContentType, joined); err != nil {
		return Info{}, err
	}
	return info, os.RemoveAll(dir)
}

// partReader reads files one after the other, one open at a time.
type partReader struct {
	files []string
	open  *os.File
}

func (r *partReader) Read(p []byte) (n int, err error) {
	for {
		if r.open == nil {
			if len(r.files) == 0 {
				return 0, io.EOF
			}
			if r.open, err = os.Open(r.files[0]); err != nil {
				return 0, err
			}
			r.files = r.files[1:]
		}
		n, err = r.open.Read(p)
		if err != io.EOF || n > 0 {
			return n, err
		}
		if err := r.Close(); err != nil {
			return 0, err
		}
	}
}

// Close closes the file that is being read, if there is one.
func (r *partReader) Close() error {
	if r.open == nil {
		return nil
	}
	f := r.open
	r.open = nil
	return f.Close()
}

// AbortUpload forgets an upload and its parts.
func (s *Store) AbortUpload(bucket, key, id string) error {
	dir, _, err := s.upload(bucket, key, id)
	if err != nil {
		return err
	}
	return os.RemoveAll(dir)
}
