package object

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/moorage-dev/moorage"
)

// An upload in parts is a directory BUCKET/.upload-ID that holds key.json and one file per part.

var uploadID = regexp.MustCompile(`^[0-9a-f]{32}$`)

// MaxParts is how many parts an upload may have. Source: S3 multipart upload limits.
const MaxParts = 10000

// CreateUpload begins an upload in parts and returns its id.
func (s *Store) CreateUpload(bucket, key, contentType string) (id string, err error) {
	if _, _, err := s.paths(bucket, key); err != nil {
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
	return id, writeFile(filepath.Join(dir, "key.json"), doc)
}

func (s *Store) uploadDir(bucket, id string) string {
	return filepath.Join(s.Dir, bucket, ".upload-"+id)
}

// upload checks that an upload exists and is for key.
func (s *Store) upload(bucket, key, id string) (dir string, info Info, err error) {
	unknown := moorage.Errorf(moorage.NotFound, "no upload %q of %q is under way", id, key)
	if s.HasBucket(bucket) != nil || !uploadID.MatchString(id) {
		return "", Info{}, unknown
	}
	dir = s.uploadDir(bucket, id)
	doc, err := os.ReadFile(filepath.Join(dir, "key.json"))
	if err != nil {
		return "", Info{}, unknown
	}
	if err := json.Unmarshal(doc, &info); err != nil || info.Key != key {
		return "", Info{}, unknown
	}
	return dir, info, nil
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
	return info.MD5, os.Rename(tmp, filepath.Join(dir, strconv.Itoa(number)))
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
	var files []*os.File
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	var readers []io.Reader
	for i, p := range parts {
		if i > 0 && p.Number <= parts[i-1].Number {
			return Info{}, moorage.Errorf(moorage.Invalid, "the parts are not in rising order")
		}
		f, err := openPart(dir, p)
		if err != nil {
			return Info{}, err
		}
		files, readers = append(files, f), append(readers, f)
	}
	if info, err = s.Put(ctx, bucket, key, info.ContentType, io.MultiReader(readers...)); err != nil {
		return Info{}, err
	}
	return info, os.RemoveAll(dir)
}

func openPart(dir string, p Part) (*os.File, error) {
	bad := moorage.Errorf(moorage.Invalid, "part %d was not uploaded, or its ETag is another", p.Number)
	f, err := os.Open(filepath.Join(dir, strconv.Itoa(p.Number)))
	if err != nil {
		return nil, bad
	}
	sum := md5.New()
	if _, err = io.Copy(sum, f); err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if p.ETag != "" && hex.EncodeToString(sum.Sum(nil)) != p.ETag {
		f.Close()
		return nil, bad
	}
	return f, nil
}

// AbortUpload forgets an upload and its parts.
func (s *Store) AbortUpload(bucket, key, id string) error {
	dir, _, err := s.upload(bucket, key, id)
	if err != nil {
		return err
	}
	return os.RemoveAll(dir)
}
