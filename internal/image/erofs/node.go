package erofs

import (
	"maps"
	"slices"
	"syscall"
	"time"
)

// Node is one file, directory or other inode. A node that stands in several directories is one
// inode with several hard links.
type Node struct {
	Mode     uint32 // type, permission and set-id bits, as in st_mode
	UID, GID uint32
	ModTime  time.Time
	Target   string           // of a symbolic link
	Data     Extent           // of a regular file
	Children map[string]*Node // of a directory

	// Layer is for whoever builds the tree: which layer made the node. The writer ignores it.
	Layer int
}

// Extent is where a file's contents lie in an image.
type Extent struct {
	Block uint32 // first block
	Size  int64  // bytes
}

// Dir returns an empty directory owned by root.
func Dir(perm uint32) *Node {
	return &Node{Mode: syscall.S_IFDIR | perm, Children: map[string]*Node{}}
}

// File returns a regular file owned by root.
func File(perm uint32, data Extent) *Node {
	return &Node{Mode: syscall.S_IFREG | perm, Data: data}
}

// Symlink returns a symbolic link to target.
func Symlink(target string) *Node {
	return &Node{Mode: syscall.S_IFLNK | 0o777, Target: target}
}

func (n *Node) IsDir() bool     { return n.Mode&syscall.S_IFMT == syscall.S_IFDIR }
func (n *Node) IsRegular() bool { return n.Mode&syscall.S_IFMT == syscall.S_IFREG }
func (n *Node) IsSymlink() bool { return n.Mode&syscall.S_IFMT == syscall.S_IFLNK }

// Names returns a directory's names in byte order.
func (n *Node) Names() []string { return slices.Sorted(maps.Keys(n.Children)) }

// fileType is the type as directory entries hold it.
func (n *Node) fileType() byte {
	switch n.Mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		return 1
	case syscall.S_IFDIR:
		return 2
	case syscall.S_IFIFO:
		return 5
	case syscall.S_IFLNK:
		return 7
	}
	return 0
}
