package cli

import (
	"archive/zip"
	"compress/flate"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Limits of a code upload. Source: AgentCore quotas, direct code deployment.
const (
	maxBundleBytes   = 250 << 20 // of the zip
	maxUnpackedBytes = 750 << 20
)

// neverBundled are the names that no agent needs at run time, and .env files, which hold the
// secrets of the machine they are on.
var neverBundled = []string{
	".git", ".hg", ".svn", ".env", ".env.*", "__pycache__", "*.pyc", ".venv", ".pytest_cache", ".mypy_cache", ".ruff_cache",
	".DS_Store", ".idea", ".vscode", ".moorage", projectFile, toolkitFile, ".bedrock_agentcore",
}

// bundle is an agent's code as one zip file: the same files make the same bytes, whenever and by
// whomever it is made.
type bundle struct {
	file   *os.File // open, at its beginning; unlinked already
	sha256 string   // hex
	size   int64    // bytes
	files  int
}

func (b *bundle) Close() error { return b.file.Close() }

// pack makes the bundle of a directory. Ignore holds further names and paths, * matching any.
// The caller closes it.
func pack(dir string, ignore []string) (_ *bundle, err error) {
	paths, err := bundled(dir, ignore)
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp("", "moorage-code-*.zip")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if err := os.Remove(f.Name()); err != nil {
		return nil, err
	}
	sum := sha256.New()
	if err := writeZip(io.MultiWriter(f, sum), dir, paths); err != nil {
		return nil, fmt.Errorf("pack %s: %w", short(dir), err)
	}
	size, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, err
	}
	if size > maxBundleBytes {
		return nil, tooLarge("packed", size, maxBundleBytes)
	}
	_, err = f.Seek(0, io.SeekStart)
	return &bundle{file: f, sha256: hex.EncodeToString(sum.Sum(nil)), size: size, files: len(paths)}, err
}

func tooLarge(what string, have, limit int64) error {
	return advise(fmt.Errorf("the code is %s %s, and the limit is %s", size(have), what, size(limit)),
		"leave files out with `ignore:` in %s, or build an image and use --image", projectFile)
}

// bundled lists the files of dir that are packed, relative, with slashes, sorted.
func bundled(dir string, ignore []string) ([]string, error) {
	var out []string
	err := filepath.WalkDir(dir, func(full string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, full)
		if err != nil || rel == "." {
			return err
		}
		rel = filepath.ToSlash(rel)
		switch skip, err := ignored(rel, ignore); {
		case err != nil:
			return err
		case d.IsDir() && (skip || isVirtualEnv(full)):
			return fs.SkipDir
		case !d.IsDir() && !skip:
			out = append(out, rel)
		}
		return nil
	})
	slices.Sort(out)
	return out, err
}

func ignored(rel string, extra []string) (bool, error) {
	for _, pattern := range slices.Concat(neverBundled, extra) {
		for _, name := range []string{path.Base(rel), rel} {
			match, err := path.Match(strings.TrimSuffix(pattern, "/"), name)
			if err != nil {
				return false, usagef("%q in `ignore:` is not a pattern", pattern)
			}
			if match {
				return true, nil
			}
		}
	}
	return false, nil
}

// isVirtualEnv knows a Python environment whatever its name: it belongs to the machine it is on.
func isVirtualEnv(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "pyvenv.cfg"))
	return err == nil
}

func writeZip(w io.Writer, dir string, paths []string) error {
	z := zip.NewWriter(w)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, 6) })
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	var total int64
	for _, p := range paths {
		n, err := addFile(z, root, p)
		if err != nil {
			return err
		}
		if total += n; total > maxUnpackedBytes {
			return tooLarge("unpacked", total, maxUnpackedBytes)
		}
	}
	return z.Close()
}

// addFile adds one file without its time and owner. A symbolic link is followed where it stays
// inside the directory; one that leaves it is refused.
func addFile(z *zip.Writer, root *os.Root, name string) (int64, error) {
	info, err := root.Stat(name)
	if err != nil {
		return 0, advise(err, "leave the file out with `ignore:` in %s", projectFile)
	}
	if info.IsDir() { // a link to a directory inside: its files are packed where they are
		return 0, nil
	}
	if !info.Mode().IsRegular() {
		return 0, advise(fmt.Errorf("%s is not a regular file", name), "leave it out with `ignore:` in %s", projectFile)
	}
	f, err := root.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	h := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
	h.SetMode(0o644)
	if info.Mode()&0o111 != 0 {
		h.SetMode(0o755)
	}
	w, err := z.CreateHeader(h)
	if err != nil {
		return 0, err
	}
	return io.Copy(w, f)
}

// fingerprint changes whenever a file that is packed changes, appears or goes: names, sizes and
// times, so that it is cheap enough to ask twice a second.
func fingerprint(dir string, ignore []string) (string, error) {
	paths, err := bundled(dir, ignore)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	for _, p := range append(paths, projectFile) {
		info, err := os.Stat(filepath.Join(dir, p))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		fmt.Fprintf(sum, "%s\x00%d\x00%d\n", p, info.Size(), info.ModTime().UnixNano())
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
