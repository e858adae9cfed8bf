package session

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
)

// branch gives a branch a copy of its parent's session storage, and returns its mount. The parent sleeps
// meanwhile, so the copy is of one moment. What the branch's name held before is wiped.
func (st *Storage) branch(parent, branch Key, v moorage.Version) ([]sandbox.Mount, error) {
	if v.Config.Storage == "" {
		return nil, nil
	}
	if err := st.remove(branch, v); err != nil {
		return nil, fmt.Errorf("session storage: %w", err)
	}
	mounts, err := st.mounts(branch, v)
	if err != nil {
		return nil, err
	}
	from := filepath.Join(st.path(parent), strconv.Itoa(v.Number))
	if err := copyTree(from, mounts[0].Source); err != nil {
		return nil, fmt.Errorf("copy session storage: %w", err)
	}
	return mounts, nil
}

// remove wipes the storage of one session.
func (st *Storage) remove(key Key, v moorage.Version) error {
	if v.Config.Storage == "" {
		return nil
	}
	return os.RemoveAll(st.path(key))
}

// copyTree copies what is in one directory into another that exists, with owners, modes and times. It follows
// no symbolic link, and passes over what is neither file, directory nor link.
func copyTree(from, to string) error {
	var dirs []func() error // last: a directory may be closed to writing
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil || name == "." {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		if d.IsDir() {
			dirs = append(dirs, func() error { return copyMeta(target, info) })
			return os.Mkdir(target, 0o700)
		}
		return copyEntry(path, target, info)
	})
	for _, finish := range slices.Backward(dirs) {
		err = errors.Join(err, finish())
	}
	return err
}

func copyEntry(path, target string, info fs.FileInfo) error {
	switch {
	case info.Mode().Type() == fs.ModeSymlink:
		return copyLink(path, target, info)
	case !info.Mode().IsRegular():
		return nil
	}
	if err := copyFile(path, target); err != nil {
		return err
	}
	return copyMeta(target, info)
}

func copyLink(path, target string, info fs.FileInfo) error {
	to, err := os.Readlink(path)
	if err == nil {
		err = os.Symlink(to, target)
	}
	if err == nil {
		err = copyOwner(target, info)
	}
	return err
}

func copyFile(path, target string) error {
	in, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err = io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

func copyMeta(target string, info fs.FileInfo) error {
	if err := copyOwner(target, info); err != nil {
		return err
	}
	if err := os.Chmod(target, info.Mode().Perm()); err != nil {
		return err
	}
	return os.Chtimes(target, info.ModTime(), info.ModTime())
}

// copyOwner matters where files belong to users of the sandbox; who may not give files away has only its own.
func copyOwner(target string, info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 {
		return nil
	}
	return os.Lchown(target, int(st.Uid), int(st.Gid))
}
