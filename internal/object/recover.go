package object

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// uploadAge is how long an upload in parts may take, from its beginning.
const uploadAge = 7 * 24 * time.Hour

// Recover removes what crashes and callers who never came back left: half-written files, data that no
// object names, and uploads older than a week. Call it before anything is put.
func (s *Store) Recover() error {
	buckets, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, b := range buckets {
		if bucketName.MatchString(b.Name()) {
			err = errors.Join(err, s.recoverBucket(b.Name()))
		}
	}
	return err
}

func (s *Store) recoverBucket(bucket string) error {
	names, err := s.names(bucket)
	if err != nil {
		return err
	}
	dir := filepath.Join(s.Dir, bucket)
	named := map[string]bool{}
	for _, name := range names {
		if strings.HasSuffix(name, metaSuffix) {
			e, err := readEntry(filepath.Join(dir, name), bucket, "")
			if err != nil {
				return err // data is removed only when it is known whose it is not
			}
			named[e.File] = true
		}
	}
	var errs []error
	for _, name := range names {
		orphan := strings.HasSuffix(name, dataSuffix) && !named[name]
		if orphan || strings.HasPrefix(name, tempPrefix) || strings.HasPrefix(name, uploadPrefix) && old(filepath.Join(dir, name)) {
			errs = append(errs, os.RemoveAll(filepath.Join(dir, name)))
		}
	}
	return errors.Join(errs...)
}

// old reports whether an upload began too long ago.
func old(upload string) bool {
	info, err := os.Stat(filepath.Join(upload, uploadKey))
	return err != nil || time.Since(info.ModTime()) > uploadAge
}
