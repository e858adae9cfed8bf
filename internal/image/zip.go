package image

import (
	"archive/zip"
	"errors"
	"io"
	"io/fs"
	"math"
	"path"
	"strings"
	"syscall"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/image/erofs"
)

// maxDirectory bounds what the list of a zip's files may take to read, and so in memory.
const maxDirectory = 32 << 20

// unzip returns the tree of a zip of code. Its paths and links are its own: neither can leave it.
func (b *builder) unzip(r io.ReaderAt, size int64) (*erofs.Node, error) {
	z, err := openZip(r, size)
	if err != nil {
		return nil, err
	}
	inner := &builder{tree: newTree(b.left), out: b.out, budget: b.budget}
	inner.layer = b.layer
	for _, f := range z.File {
		if err := inner.unzipFile(f); err != nil {
			return nil, zipError(err)
		}
	}
	b.left, b.budget = inner.left, inner.budget
	return inner.root, nil
}

// openZip reads the list of a zip's files, and gives up on one that is made to fill memory.
func openZip(r io.ReaderAt, size int64) (*zip.Reader, error) {
	list := &metered{ReaderAt: r, left: maxDirectory}
	z, err := zip.NewReader(list, size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) { // unzipFile says which path
		return nil, zipError(err)
	}
	list.left = math.MaxInt64
	return z, nil
}

func (b *builder) unzipFile(f *zip.File) error {
	if strings.HasPrefix(f.Name, "/") || strings.Contains(f.Name, `\`) {
		return moorage.Errorf(moorage.Invalid, "%q is not a relative path with forward slashes", f.Name)
	}
	name, err := inside(f.Name)
	if err != nil {
		return err
	}
	if name == "/" {
		return nil
	}
	n, err := b.zipNode(f, name)
	if err != nil || n == nil {
		return err
	}
	n.ModTime = since1970(f.Modified)
	return b.put(name, n)
}

func (b *builder) zipNode(f *zip.File, name string) (*erofs.Node, error) {
	mode := f.Mode()
	perm := uint32(mode.Perm())
	switch mode.Type() {
	case 0:
		return b.zipContents(f, perm|0o444)
	case fs.ModeDir:
		return erofs.Dir(perm | 0o555), nil
	case fs.ModeSymlink:
		return zipLink(f, name)
	}
	return nil, moorage.Errorf(moorage.Invalid, "%q is a device, pipe or socket; code is files, directories and links", f.Name)
}

func (b *builder) zipContents(f *zip.File, perm uint32) (*erofs.Node, error) {
	if f.UncompressedSize64 > uint64(b.budget) {
		return nil, errBudget
	}
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := b.store(r)
	return erofs.File(perm, data), err
}

func zipLink(f *zip.File, name string) (*erofs.Node, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	raw, err := io.ReadAll(io.LimitReader(r, maxPath))
	if err != nil {
		return nil, err
	}
	target := string(raw)
	if err := checkTarget(f.Name, target); err != nil {
		return nil, err
	}
	if strings.HasPrefix(target, "/") || climbs(path.Join(path.Dir(strings.TrimPrefix(name, "/")), target)) {
		return nil, moorage.Errorf(moorage.Invalid, "symbolic link %q points to %q, outside the zip", f.Name, target)
	}
	return erofs.Symlink(target), nil
}

func climbs(rel string) bool { return rel == ".." || strings.HasPrefix(rel, "../") }

// metered fails once more than left bytes were read.
type metered struct {
	io.ReaderAt
	left int64
}

var errLongDirectory = errors.New("the zip lists too many files")

func (m *metered) ReadAt(p []byte, off int64) (int, error) {
	if m.left -= int64(len(p)); m.left < 0 {
		return 0, errLongDirectory
	}
	return m.ReaderAt.ReadAt(p, off)
}

// zipError words what archive/zip found; the machine's own failures pass through.
func zipError(err error) error {
	var coded *moorage.Error
	if errors.As(err, &coded) || errors.Is(err, errBudget) || errors.Is(err, syscall.ENOSPC) {
		return err
	}
	return &moorage.Error{Code: moorage.Invalid, Message: "the code is not a zip file that can be read", Err: err}
}
