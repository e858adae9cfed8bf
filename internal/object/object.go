// Package object keeps uploaded files under bucket and key, as the S3 face presents them.
//
// An object is one file under a name derived from its key, with a small JSON file beside it that
// holds the key and the metadata. Both appear by rename after they are on disk: a reader sees a
// whole object or none, and an acknowledged upload survives a crash. There are no versions: a
// second Put of a key replaces the first.
package object

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"syscall"
	"time"

	"github.com/moorage-dev/moorage"
)

// Store keeps objects in one directory.
type Store struct {
	Dir string
	// MaxBytes bounds one object; 0 is 5 GiB, as in S3.
	MaxBytes int64
}

// Info describes an object.
type Info struct {
	Bucket      string    `json:"bucket"`
	Key         string    `json:"key"`
	Size        int64     `json:"size"` // bytes
	MD5         string    `json:"md5"`  // hex; S3's ETag
	SHA256      string    `json:"sha256"`
	ContentType string    `json:"contentType,omitempty"`
	ModifiedAt  time.Time `json:"modifiedAt"`
}

// bucketName follows S3's rules for general purpose buckets.
var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

func (s *Store) bucketDir(bucket string) (string, error) {
	if !bucketName.MatchString(bucket) {
		return "", moorage.Errorf(moorage.Invalid, "the bucket name %q is not valid: use 3 to 63 lower-case letters, digits, dots and hyphens", bucket)
	}
	return filepath.Join(s.Dir, bucket), nil
}

// CreateBucket makes a bucket; one that exists is left as it is, and created is false.
func (s *Store) CreateBucket(bucket string) (created bool, err error) {
	dir, err := s.bucketDir(bucket)
	if err != nil {
		return false, err
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return false, fmt.Errorf("create bucket: %w", err)
	}
	err = os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	return err == nil, err
}

// HasBucket returns nil, or NotFound.
func (s *Store) HasBucket(bucket string) error {
	dir, err := s.bucketDir(bucket)
	if err != nil {
		return err
	}
	if _, err := os.Stat(dir); err != nil {
		return moorage.Errorf(moorage.NotFound, "the bucket %q does not exist", bucket)
	}
	return nil
}

// DeleteBucket removes an empty bucket; Conflict when objects are in it.
func (s *Store) DeleteBucket(bucket string) error {
	if err := s.HasBucket(bucket); err != nil {
		return err
	}
	err := os.Remove(filepath.Join(s.Dir, bucket))
	if errors.Is(err, syscall.ENOTEMPTY) {
		return moorage.Errorf(moorage.Conflict, "the bucket %q is not empty", bucket)
	}
	return err
}

// paths returns the data and metadata files of a key.
func (s *Store) paths(bucket, key string) (data, meta string, err error) {
	if err := s.HasBucket(bucket); err != nil {
		return "", "", err
	}
	if key == "" || len(key) > 1024 {
		return "", "", moorage.Errorf(moorage.Invalid, "an object key has 1 to 1024 bytes; this one has %d", len(key))
	}
	sum := sha256.Sum256([]byte(key))
	base := filepath.Join(s.Dir, bucket, hex.EncodeToString(sum[:]))
	return base + ".data", base + ".json", nil
}

// Put stores what body holds. A failure leaves the old object, if there was one.
func (s *Store) Put(ctx context.Context, bucket, key, contentType string, body io.Reader) (Info, error) {
	data, meta, err := s.paths(bucket, key)
	if err != nil {
		return Info{}, err
	}
	info := Info{Bucket: bucket, Key: key, ContentType: contentType, ModifiedAt: time.Now().UTC()}
	tmp, err := s.spool(body, &info)
	if err != nil {
		return Info{}, fmt.Errorf("put object: %w", diskFull(err))
	}
	defer os.Remove(tmp)
	if err := ctx.Err(); err != nil {
		return Info{}, err
	}
	if err := os.Rename(tmp, data); err != nil {
		return Info{}, err
	}
	doc, err := json.Marshal(info)
	if err != nil {
		return Info{}, err
	}
	return info, writeFile(meta, doc)
}

// spool writes body to a temporary file, on disk when it returns, and fills in size and sums.
func (s *Store) spool(body io.Reader, info *Info) (path string, err error) {
	limit := s.MaxBytes
	if limit == 0 {
		limit = 5 << 30
	}
	f, err := os.CreateTemp(filepath.Join(s.Dir, info.Bucket), ".put-*")
	if err != nil {
		return "", err
	}
	md, sha := md5.New(), sha256.New()
	info.Size, err = io.Copy(io.MultiWriter(f, md, sha), io.LimitReader(body, limit+1))
	if err == nil && info.Size > limit {
		err = moorage.Errorf(moorage.Invalid, "the object is larger than %d bytes", limit)
	}
	info.MD5, info.SHA256 = hex.EncodeToString(md.Sum(nil)), hex.EncodeToString(sha.Sum(nil))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

func writeFile(path string, data []byte) error {
	tmp := path + ".new"
	f, err := os.Create(tmp)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return os.Rename(tmp, path)
}

func diskFull(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return &moorage.Error{Code: moorage.Unavailable, Message: "the server's disk is full; the object was not stored", Err: err}
	}
	return err
}

// Open returns an object's contents and description, or NotFound. The caller closes the file.
func (s *Store) Open(bucket, key string) (*os.File, Info, error) {
	info, err := s.Stat(bucket, key)
	if err != nil {
		return nil, Info{}, err
	}
	data, _, err := s.paths(bucket, key)
	if err != nil {
		return nil, Info{}, err
	}
	f, err := os.Open(data)
	return f, info, err
}

// Stat describes an object, or says NotFound.
func (s *Store) Stat(bucket, key string) (info Info, err error) {
	_, meta, err := s.paths(bucket, key)
	if err != nil {
		return Info{}, err
	}
	return readInfo(meta, bucket, key)
}

func readInfo(meta, bucket, key string) (info Info, err error) {
	doc, err := os.ReadFile(meta)
	if errors.Is(err, fs.ErrNotExist) {
		return Info{}, moorage.Errorf(moorage.NotFound, "the bucket %q holds no object %q", bucket, key)
	}
	if err != nil {
		return Info{}, err
	}
	return info, json.Unmarshal(doc, &info)
}

// Delete removes an object; one that is not there is no error, as in S3.
func (s *Store) Delete(bucket, key string) error {
	data, meta, err := s.paths(bucket, key)
	if err != nil {
		return err
	}
	for _, path := range []string{meta, data} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// List returns up to limit objects of a bucket whose keys begin with prefix and follow after, by key.
func (s *Store) List(bucket, prefix, after string, limit int) ([]Info, error) {
	if err := s.HasBucket(bucket); err != nil {
		return nil, err
	}
	metas, err := filepath.Glob(filepath.Join(s.Dir, bucket, "*.json"))
	if err != nil {
		return nil, err
	}
	var out []Info
	for _, m := range metas {
		info, err := readInfo(m, bucket, "")
		if err != nil {
			continue // deleted meanwhile
		}
		if strings.HasPrefix(info.Key, prefix) && info.Key > after {
			out = append(out, info)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Key < out[j].Key })
	return out[:min(len(out), limit)], nil
}
