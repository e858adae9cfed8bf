package image

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/moorage-dev/moorage/internal/image/erofs"
)

// Directory returns the host path of the artifact's root as a directory, for engines that cannot
// read EROFS. It is unpacked on first use, belongs to the artifact and goes when that is swept.
// Owners are kept where the server runs as root.
func (s *Store) Directory(ctx context.Context, a Artifact) (string, error) {
	s.sweeping.RLock()
	defer s.sweeping.RUnlock()
	dir := strings.TrimSuffix(a.EROFS, ".erofs") + ".dir"
	_, err := s.flights.do(ctx, "directory "+a.Digest, func(ctx context.Context) (string, error) {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		return "", explain(s.unpackTo(ctx, a, dir))
	})
	return dir, err
}

func (s *Store) unpackTo(ctx context.Context, a Artifact, dir string) error {
	tmp, err := os.MkdirTemp(s.path("tmp"), "directory-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	image, err := os.Open(a.EROFS)
	if err != nil {
		return err
	}
	defer image.Close()
	root, err := erofs.Read(image)
	if err != nil {
		return err
	}
	u := &unpacker{ctx: ctx, image: image, first: map[*erofs.Node]string{}}
	out := filepath.Join(tmp, "root")
	if err := u.node(root, out); err != nil {
		return err
	}
	return os.Rename(out, dir)
}

// unpacker writes a tree to the host. Every directory on the way is one that it made itself, so
// no link of the tree is ever followed.
type unpacker struct {
	ctx   context.Context // of the one call that it serves
	image *os.File
	first map[*erofs.Node]string // where a file with several names was written
}

func (u *unpacker) node(n *erofs.Node, name string) error {
	if err := u.ctx.Err(); err != nil {
		return err
	}
	if at := u.first[n]; at != "" {
		return os.Link(at, name)
	}
	u.first[n] = name
	switch {
	case n.IsDir():
		return u.dir(n, name)
	case n.IsSymlink():
		if err := os.Symlink(n.Target, name); err != nil {
			return err
		}
		return own(n, name)
	case n.IsRegular():
		return u.file(n, name)
	}
	return nil // a named pipe has no contents and no reader
}

func (u *unpacker) dir(n *erofs.Node, name string) error {
	if err := os.Mkdir(name, 0o700); err != nil {
		return err
	}
	for _, child := range n.Names() {
		if err := u.node(n.Children[child], filepath.Join(name, child)); err != nil {
			return err
		}
	}
	return finishNode(n, name)
}

func (u *unpacker) file(n *erofs.Node, name string) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(f, erofs.Open(u.image, n)); err != nil {
		return err
	}
	return finishNode(n, name)
}

// finishNode sets owner, mode and time, in the order in which none undoes another. Set-id bits
// stay in the image: on the host they would mean something.
func finishNode(n *erofs.Node, name string) error {
	if err := own(n, name); err != nil {
		return err
	}
	mode := fs.FileMode(n.Mode & 0o777)
	if n.Mode&syscall.S_ISVTX != 0 {
		mode |= fs.ModeSticky
	}
	if err := os.Chmod(name, mode); err != nil {
		return err
	}
	return os.Chtimes(name, n.ModTime, n.ModTime)
}

func own(n *erofs.Node, name string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return os.Lchown(name, int(n.UID), int(n.GID))
}
