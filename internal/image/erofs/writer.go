package erofs

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// BlockSize is the unit of allocation, in bytes. gVisor wants a multiple of the page size.
	BlockSize = 4096

	magic      = 0xe0f5e1e2
	superblock = 1024 // offset within the first block
	inodeSize  = 64   // the extended form
	slotSize   = 32   // unit of inode numbers
	direntSize = 12
	attrHeader = 12

	maxName   = 255
	maxTarget = 4095
)

// Writer writes one image. It is for one goroutine.
type Writer struct {
	f     *os.File
	buf   *bufio.Writer
	next  uint32 // first free block
	added []Extent
}

// NewWriter starts an image in f, which must be empty and stays the caller's to close.
func NewWriter(f *os.File) (*Writer, error) {
	w := &Writer{f: f, buf: bufio.NewWriterSize(f, 1<<20), next: 1}
	_, err := w.buf.Write(make([]byte, BlockSize)) // the superblock follows in Close
	return w, err
}

// Add stores the contents of one file. Whoever reads from the outside bounds r.
func (w *Writer) Add(r io.Reader) (Extent, error) {
	start := w.next
	n, err := io.Copy(w.buf, r)
	if err != nil {
		return Extent{}, err
	}
	e := Extent{Block: start, Size: n}
	w.added = append(w.added, e)
	return e, w.pad(n)
}

// Contents reads back what Add stored, for the few files that decide how an image is run.
func (w *Writer) Contents(e Extent) ([]byte, error) {
	if err := w.buf.Flush(); err != nil {
		return nil, err
	}
	b := make([]byte, e.Size)
	_, err := w.f.ReadAt(b, int64(e.Block)*BlockSize)
	return b, err
}

// pad completes the last block of n bytes just written and moves on.
func (w *Writer) pad(n int64) error {
	if tail := n % BlockSize; tail != 0 {
		if _, err := w.buf.Write(make([]byte, BlockSize-tail)); err != nil {
			return err
		}
	}
	blocks := blocksOf(n)
	if blocks > int64(math.MaxUint32-w.next) {
		return errors.New("image exceeds 16 TiB")
	}
	w.next += uint32(blocks)
	return nil
}

// Close lays out the tree behind the contents and returns the image's length in bytes. The file
// is complete then, but not synced. Contents that no node of the tree uses become a hole.
func (w *Writer) Close(root *Node) (int64, error) {
	t := &table{nids: map[*Node]uint64{}, links: map[*Node]uint32{}}
	if err := t.add(root); err != nil {
		return 0, err
	}
	if err := w.writeNames(t, root, root); err != nil {
		return 0, err
	}
	meta := w.next
	if err := w.writeInodes(t); err != nil {
		return 0, err
	}
	if err := w.buf.Flush(); err != nil {
		return 0, err
	}
	if _, err := w.f.WriteAt(w.superblock(len(t.inodes), meta), 0); err != nil {
		return 0, err
	}
	w.punch(t)
	return int64(w.next) * BlockSize, nil
}

// table numbers the inodes: the root is 0, which the superblock's 16 bits always hold.
type table struct {
	inodes []*Node
	nids   map[*Node]uint64
	links  map[*Node]uint32
}

func (t *table) add(n *Node) error {
	t.links[n]++
	if _, again := t.nids[n]; again {
		if n.IsDir() {
			return errors.New("a directory stands in two places")
		}
		return nil
	}
	t.nids[n] = uint64(len(t.inodes)) * (inodeSize / slotSize)
	t.inodes = append(t.inodes, n)
	if len(n.Target) > maxTarget {
		return fmt.Errorf("symbolic link of %d bytes", len(n.Target))
	}
	if !n.IsDir() {
		return nil
	}
	t.links[n]++ // its own "."
	for _, name := range n.Names() {
		if name == "" || name == "." || name == ".." || len(name) > maxName || strings.ContainsAny(name, "/\x00") {
			return fmt.Errorf("bad file name %q", name)
		}
		child := n.Children[name]
		if err := t.add(child); err != nil {
			return err
		}
		if child.IsDir() {
			t.links[n]++ // the child's ".."
		}
	}
	return nil
}

// writeNames stores directories and link targets, parents before children.
func (w *Writer) writeNames(t *table, n, parent *Node) error {
	if n.IsSymlink() {
		if n.Data.Size > 0 {
			return nil // another hard link to it came first
		}
		return w.store(n, []byte(n.Target))
	}
	if !n.IsDir() {
		return nil
	}
	if err := w.store(n, t.dirents(n, parent)); err != nil {
		return err
	}
	for _, name := range n.Names() {
		if err := w.writeNames(t, n.Children[name], n); err != nil {
			return err
		}
	}
	return nil
}

func (w *Writer) store(n *Node, b []byte) error {
	n.Data = Extent{Block: w.next, Size: int64(len(b))}
	if _, err := w.buf.Write(b); err != nil {
		return err
	}
	return w.pad(n.Data.Size)
}

// dirents encodes a directory: in each block the fixed entries, then the names. Readers search by
// halving, so the names, "." and ".." among them, are in byte order.
func (t *table) dirents(n, parent *Node) []byte {
	names := append(n.Names(), ".", "..")
	slices.Sort(names)
	node := func(name string) *Node {
		switch name {
		case ".":
			return n
		case "..":
			return parent
		}
		return n.Children[name]
	}
	var out []byte
	for len(names) > 0 {
		fit, used := 0, 0
		for fit < len(names) && used+direntSize+len(names[fit]) <= BlockSize {
			used += direntSize + len(names[fit])
			fit++
		}
		block := make([]byte, BlockSize)
		at := direntSize * fit
		for i, name := range names[:fit] {
			c := node(name)
			d := block[direntSize*i:]
			binary.LittleEndian.PutUint64(d, t.nids[c])
			binary.LittleEndian.PutUint16(d[8:], uint16(at))
			d[10] = c.fileType()
			at += copy(block[at:], name)
		}
		if names = names[fit:]; len(names) == 0 {
			block = block[:used]
		}
		out = append(out, block...)
	}
	return out
}

func (w *Writer) writeInodes(t *table) error {
	for i, n := range t.inodes {
		if _, err := w.buf.Write(t.inode(i, n)); err != nil {
			return err
		}
	}
	// erofs-utils looks for attributes behind the last inode, even where there are none.
	if _, err := w.buf.Write(make([]byte, attrHeader)); err != nil {
		return err
	}
	return w.pad(int64(len(t.inodes))*inodeSize + attrHeader)
}

// inode encodes n in the extended form, contents flat and plain.
func (t *table) inode(i int, n *Node) []byte {
	b := make([]byte, inodeSize)
	le := binary.LittleEndian
	le.PutUint16(b, 1)
	le.PutUint16(b[4:], uint16(n.Mode))
	le.PutUint64(b[8:], uint64(n.Data.Size))
	le.PutUint32(b[16:], n.Data.Block)
	le.PutUint32(b[20:], uint32(i+1))
	le.PutUint32(b[24:], n.UID)
	le.PutUint32(b[28:], n.GID)
	if !n.ModTime.IsZero() {
		le.PutUint64(b[32:], uint64(n.ModTime.Unix()))
		le.PutUint32(b[40:], uint32(n.ModTime.Nanosecond()))
	}
	le.PutUint32(b[44:], t.links[n])
	return b
}

func (w *Writer) superblock(inodes int, meta uint32) []byte {
	b := make([]byte, BlockSize)
	s := b[superblock:]
	le := binary.LittleEndian
	le.PutUint32(s, magic)
	s[12] = 12 // log2 of the block size
	le.PutUint64(s[16:], uint64(inodes))
	le.PutUint32(s[36:], w.next)
	le.PutUint32(s[40:], meta)
	return b
}

// punch gives back the space of contents that a later layer replaced. It is best effort: a file
// system without holes keeps the dead bytes.
func (w *Writer) punch(t *table) {
	used := map[uint32]bool{}
	for _, n := range t.inodes {
		used[n.Data.Block] = true
	}
	for _, e := range w.added {
		if e.Size == 0 || used[e.Block] {
			continue
		}
		off, n := int64(e.Block)*BlockSize, blocksOf(e.Size)*BlockSize
		err := unix.Fallocate(int(w.f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
		if errors.Is(err, syscall.EOPNOTSUPP) {
			return
		}
	}
}

func blocksOf(n int64) int64 { return (n + BlockSize - 1) / BlockSize }
