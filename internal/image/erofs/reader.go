package erofs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"
)

// Read returns the tree of an image that a Writer made; [Open] gives a file's contents.
// It is for tools and tests that look into an artifact, not for images from elsewhere.
func Read(r io.ReaderAt) (*Node, error) {
	sb := make([]byte, 128)
	if _, err := r.ReadAt(sb, superblock); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	if le.Uint32(sb) != magic || sb[12] != 12 {
		return nil, errors.New("not an EROFS image of ours")
	}
	rd := &reader{r: r, meta: int64(le.Uint32(sb[40:])) * BlockSize, seen: map[uint64]*Node{}}
	return rd.node(uint64(le.Uint16(sb[14:])))
}

// Open returns the contents of a regular file of the image in r.
func Open(r io.ReaderAt, n *Node) *io.SectionReader {
	return io.NewSectionReader(r, int64(n.Data.Block)*BlockSize, n.Data.Size)
}

type reader struct {
	r    io.ReaderAt
	meta int64
	seen map[uint64]*Node
}

func (rd *reader) node(nid uint64) (*Node, error) {
	if n := rd.seen[nid]; n != nil {
		return n, nil
	}
	b := make([]byte, inodeSize)
	if _, err := rd.r.ReadAt(b, rd.meta+int64(nid)*slotSize); err != nil {
		return nil, fmt.Errorf("inode %d: %w", nid, err)
	}
	n := decode(b)
	rd.seen[nid] = n
	switch n.Mode & syscall.S_IFMT {
	case syscall.S_IFLNK:
		target, err := io.ReadAll(Open(rd.r, n))
		n.Target = string(target)
		return n, err
	case syscall.S_IFDIR:
		n.Children = map[string]*Node{}
		return n, rd.children(n)
	}
	return n, nil
}

func decode(b []byte) *Node {
	le := binary.LittleEndian
	return &Node{
		Mode: uint32(le.Uint16(b[4:])), UID: le.Uint32(b[24:]), GID: le.Uint32(b[28:]),
		ModTime: time.Unix(int64(le.Uint64(b[32:])), int64(le.Uint32(b[40:]))),
		Data:    Extent{Block: le.Uint32(b[16:]), Size: int64(le.Uint64(b[8:]))},
	}
}

func (rd *reader) children(n *Node) error {
	raw, err := io.ReadAll(Open(rd.r, n))
	if err != nil {
		return err
	}
	le := binary.LittleEndian
	for ; len(raw) > 0; raw = raw[min(len(raw), BlockSize):] {
		block := raw[:min(len(raw), BlockSize)]
		count := int(le.Uint16(block[8:])) / direntSize
		for i := range count {
			from, to := int(le.Uint16(block[direntSize*i+8:])), len(block)
			if i+1 < count {
				to = int(le.Uint16(block[direntSize*(i+1)+8:]))
			}
			name := trimZero(block[from:to])
			if name == "." || name == ".." {
				continue
			}
			if n.Children[name], err = rd.node(le.Uint64(block[direntSize*i:])); err != nil {
				return err
			}
		}
	}
	return nil
}

// trimZero cuts the padding after the last name of a full block.
func trimZero(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
