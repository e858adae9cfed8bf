// Package object keeps uploaded files under bucket and key, as the S3 face presents them.
//
// A bucket is a directory. In it an object is a data file, and a small JSON file under a name derived
// from its key that says which data file that is, with the key and the metadata. The JSON file appears
// by rename once both are on disk: a reader sees a whole object or none, never one's data with another's
// metadata, and an acknowledged upload survives a crash. There are no versions: a second Put of a key
// replaces the first.
package object

import (
	"context"
	"crypto/md5"
	"crypto/rand"
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
	"sync"
	"syscall"
	"time"

	"github.com/moorage-dev/moorage"
)

// Store keeps objects in one directory, which no other Store has open.
type Store struct {
	Dir string
	// MaxBytes bounds one object; 0 is 5 GiB, as in S3.
	MaxBytes int64

	mu sync.RWMutex // held for writing while a name comes to stand for other data
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

// entry is the JSON file of an object.
type entry struct {
	Info
	File string `json:"file"` // name of the data file
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
		return false, fmt.Errorf("create bucket: %w", diskFull(err))
	}
	err = os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err == nil {
		err = syncDir(s.Dir)
	}
	return err == nil, diskFull(err)
}

// HasBucket returns nil, or NotFound.
func (s *Store) HasBucket(bucket string) error {
	dir, err := s.bucketDir(bucket)
	if err != nil {
		return err
	}
	if _, err := os.Stat(dir); err != nil {
		return noBucket(bucket)
	}
	return nil
}

func noBucket(bucket string) error {
	return moorage.Errorf(moorage.NotFound, "the bucket %q does not exist", bucket)
}

// DeleteBucket removes an empty bucket, and uploads in parts that were never completed with it;
// Conflict when objects are in it.
func (s *Store) DeleteBucket(bucket string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	names, err := s.names(bucket)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasSuffix(name, metaSuffix) {
			return moorage.Errorf(moorage.Conflict, "the bucket %q is not empty", bucket)
		}
	}
	return os.RemoveAll(filepath.Join(s.Dir, bucket))
}

// names lists the files of a bucket.
func (s *Store) names(bucket string) ([]string, error) {
	if err := s.HasBucket(bucket); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(filepath.Join(s.Dir, bucket))
	if errors.Is(err, fs.ErrNotExist) {
		err = noBucket(bucket)
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, err
}

// Names of the files in a bucket's directory.
const (
	metaSuffix   = ".json"
	dataSuffix   = ".data"
	tempPrefix   = ".put-"
	uploadPrefix = ".upload-"
)

// metaPath is the JSON file of a key.
func (s *Store) metaPath(bucket, key string) (string, error) {
	if err := s.HasBucket(bucket); err != nil {
		return "", err
	}
	if key == "" || len(key) > 1024 {
		return "", moorage.Errorf(moorage.Invalid, "an object key has 1 to 1024 bytes; this one has %d", len(key))
	}
	sum := sha256.Sum256([]byte(key))
	return filepath.Join(s.Dir, bucket, hex.EncodeToString(sum[:])+metaSuffix), nil
}

// Put stores what body holds. A failure leaves the old object, if there was one.
func (s *Store) Put(ctx context.Context, bucket, key, contentType string, body io.Reader) (Info, error) {
	meta, err := s.metaPath(bucket, key)
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
	return info, diskFull(s.commit(meta, tmp, info))
}

// commit makes the spooled file the object that meta describes.
func (s *Store) commit(meta, tmp string, info Info) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.HasBucket(info.Bucket); err != nil {
		return err
	}
	old, oldErr := readEntry(meta, info.Bucket, info.Key)
	e := entry{info, strings.TrimSuffix(filepath.Base(meta), metaSuffix) + "-" + rand.Text() + dataSuffix}
	data := filepath.Join(filepath.Dir(meta), e.File)
	if err := os.Rename(tmp, data); err != nil {
		return err
	}
	doc, err := json.Marshal(e)
	if err == nil {
		err = writeFile(meta, doc)
	}
	if err != nil {
		return errors.Join(err, os.Remove(data))
	}
	if oldErr == nil {
		os.Remove(filepath.Join(filepath.Dir(meta), old.File)) // what is left of it Recover finds
	}
	return nil
}

// spool writes body to a temporary file, on disk when it returns, and fills in size and sums.
func (s *Store) spool(body io.Reader, info *Info) (path string, err error) {
	limit := s.MaxBytes
	if limit == 0 {
		limit = 5 << 30
	}
	f, err := os.CreateTemp(filepath.Join(s.Dir, info.Bucket), tempPrefix+"*")
	if errors.Is(err, fs.ErrNotExist) {
		return "", noBucket(info.Bucket)
	}
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

// writeFile puts data at path, on disk when it returns, or leaves what was there.
func writeFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), tempPrefix+"*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func diskFull(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return &moorage.Error{Code: moorage.Unavailable, Message: "the server's disk is full; the object was not stored", Err: err}
	}
	return err
}

// Open returns an object's contents and description, or NotFound. The caller closes the file.
func (s *Store) Open(bucket, key string) (*os.File, Info, error) {
	meta, err := s.metaPath(bucket, key)
	if err != nil {
		return nil, Info{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	e, err := readEntry(meta, bucket, key)
	if err != nil {
		return nil, Info{}, err
	}
	f, err := os.Open(filepath.Join(filepath.Dir(meta), e.File))
	return f, e.Info, err
}

// Link gives an object's contents another name on the same file system, under which nothing that
// happens to the object changes them; or says NotFound.
func (s *Store) Link(bucket, key, path string) error {
	meta, err := s.metaPath(bucket, key)
	if err != nil {
		return err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	e, err := readEntry(meta, bucket, key)
	if err != nil {
		return err
	}
	return os.Link(filepath.Join(filepath.Dir(meta), e.File), path)
}

// Stat describes an object, or says NotFound.
func (s *Store) Stat(bucket, key string) (Info, error) {
	meta, err := s.metaPath(bucket, key)
	if err != nil {
		return Info{}, err
	}
	e, err := readEntry(meta, bucket, key)
	return e.Info, err
}

func readEntry(meta, bucket, key string) (e entry, err error) {
	doc, err := os.ReadFile(meta)
	if errors.Is(err, fs.ErrNotExist) {
		return e, moorage.Errorf(moorage.NotFound, "the bucket %q holds no object %q", bucket, key)
	}
	if err != nil {
		return e, err
	}
	return e, json.Unmarshal(doc, &e)
}

// Delete removes an object; one that is not there is no error, as in S3.
func (s *Store) Delete(bucket, key string) error {
	meta, err := s.metaPath(bucket, key)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := readEntry(meta, bucket, key)
	if moorage.CodeOf(err) == moorage.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(os.Remove(meta), os.Remove(filepath.Join(filepath.Dir(meta), e.File)), syncDir(filepath.Dir(meta)))
}

// List returns up to limit objects of a bucket whose keys begin with prefix and follow after, by key.
// It reads the description of every object in the bucket.
func (s *Store) List(bucket, prefix, after string, limit int) ([]Info, error) {
	names, err := s.names(bucket)
	if err != nil {
		return nil, err
	}
	var out []Info
	for _, name := range names {
		if !strings.HasSuffix(name, metaSuffix) {
			continue
		}
		e, err := readEntry(filepath.Join(s.Dir, bucket, name), bucket, "")
		if err != nil {
			continue // deleted meanwhile
		}
		if strings.HasPrefix(e.Key, prefix) && e.Key > after {
			out = append(out, e.Info)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Key < out[j].Key })
	return out[:min(len(out), limit)], nil
}
