package image

import (
	"archive/tar"
	"errors"
	"io"
	"math"
	"path"
	"strings"
	"syscall"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/image/erofs"
)

// Whiteouts. Source: OCI image specification, "Layer Filesystem Changeset".
const (
	whiteout       = ".wh."
	whiteoutOpaque = ".wh..wh..opq"
	whiteoutMeta   = ".wh..wh." // of AUFS itself: never content
)

// apply puts one layer, an uncompressed tar stream, over what the tree holds.
func (b *builder) apply(r io.Reader) error {
	b.layer++
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if errors.Is(err, tar.ErrHeader) || errors.Is(err, tar.ErrFieldTooLong) {
			return &moorage.Error{Code: moorage.Invalid, Message: "a layer is not a valid tar archive", Err: err}
		}
		if err != nil {
			return err
		}
		if err := b.entry(h, tr); err != nil {
			return err
		}
	}
}

func (b *builder) entry(h *tar.Header, r io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	name, err := inside(h.Name)
	if err != nil {
		return err
	}
	dir, base := path.Split(name)
	if base == whiteoutOpaque {
		return b.hideChildren(dir)
	}
	if strings.HasPrefix(name, "/"+whiteoutMeta) || strings.HasPrefix(base, whiteoutMeta) {
		return nil
	}
	if hidden, ok := strings.CutPrefix(base, whiteout); ok {
		if hidden == "" || hidden == "." || hidden == ".." {
			return moorage.Errorf(moorage.Invalid, "%q hides no file", h.Name)
		}
		return b.hide(dir + hidden)
	}
	if h.Typeflag == tar.TypeLink {
		target, err := inside(h.Linkname)
		if err != nil {
			return err
		}
		return b.link(name, target)
	}
	n, err := b.node(h, r)
	if err != nil || n == nil {
		return err
	}
	return b.put(name, n)
}

// inside returns name as a path from the root, and refuses one that climbs.
func inside(name string) (string, error) {
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", moorage.Errorf(moorage.Invalid, "%q leads out of the archive", name)
		}
		if len(part) > 255 {
			return "", moorage.Errorf(moorage.Invalid, "a file name of %d bytes; the limit is 255", len(part))
		}
	}
	if len(name) > maxPath || strings.ContainsRune(name, 0) {
		return "", moorage.Errorf(moorage.Invalid, "a path of %d bytes that Linux cannot hold", len(name))
	}
	return path.Clean("/" + name), nil
}

// node turns a header into a node, nil for what a root never holds: the sandbox has devices of its own.
func (b *builder) node(h *tar.Header, r io.Reader) (*erofs.Node, error) {
	if h.Uid < 0 || h.Gid < 0 || h.Uid > math.MaxUint32 || h.Gid > math.MaxUint32 {
		return nil, moorage.Errorf(moorage.Invalid, "%q belongs to %d:%d, which no Linux user can be", h.Name, h.Uid, h.Gid)
	}
	n := &erofs.Node{Mode: uint32(h.Mode & 0o7777), UID: uint32(h.Uid), GID: uint32(h.Gid), ModTime: since1970(h.ModTime)}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse:
		if h.Size > b.budget {
			return nil, errBudget
		}
		n.Mode |= syscall.S_IFREG
		data, err := b.store(r)
		n.Data = data
		return n, err
	case tar.TypeDir:
		n.Mode |= syscall.S_IFDIR
		n.Children = map[string]*erofs.Node{}
	case tar.TypeSymlink:
		n.Mode |= syscall.S_IFLNK
		n.Target = h.Linkname
		return n, checkTarget(h.Name, h.Linkname)
	case tar.TypeFifo:
		n.Mode |= syscall.S_IFIFO
	case tar.TypeChar, tar.TypeBlock:
		b.devices++
		return nil, nil
	default:
		return nil, moorage.Errorf(moorage.Invalid, "%q is of tar type %q, which no image holds", h.Name, h.Typeflag)
	}
	return n, nil
}

func checkTarget(name, target string) error {
	if target == "" || len(target) >= maxPath || strings.ContainsRune(target, 0) {
		return moorage.Errorf(moorage.Invalid, "symbolic link %q points to a path of %d bytes", name, len(target))
	}
	return nil
}

// since1970 clamps times that the image format cannot hold.
func since1970(t time.Time) time.Time {
	if t.Unix() < 0 || t.Unix() > math.MaxUint32 {
		return epoch
	}
	return t
}
