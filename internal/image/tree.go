package image

import (
	"path"
	"strings"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/image/erofs"
)

const (
	maxPath = 4096 // bytes of a path, as Linux has it
	maxHops = 64   // symbolic links on one way
)

// tree is a root file system while it is made. Paths are resolved in it as in a chroot: symbolic
// links are followed, and ".." stops at the root.
type tree struct {
	root  *erofs.Node
	layer int // that is being applied
	left  int // entries that may still be made
}

func newTree(maxEntries int) *tree { return &tree{root: erofs.Dir(0o755), left: maxEntries} }

// lookup returns the node at name, or nil. A last symbolic link is followed only if asked.
func (t *tree) lookup(name string, follow bool) (*erofs.Node, error) {
	w := &walk{tree: t, stack: []*erofs.Node{t.root}}
	return w.to(name, follow)
}

// directory returns the directory at name, making what is missing.
func (t *tree) directory(name string) (*erofs.Node, error) {
	w := &walk{tree: t, stack: []*erofs.Node{t.root}, create: true}
	return w.to(name, true)
}

// put places n at name. A directory over a directory changes its attributes and keeps its
// children; anything else replaces what was there.
func (t *tree) put(name string, n *erofs.Node) error {
	if err := t.count(); err != nil {
		return err
	}
	n.Layer = t.layer
	dir, base, err := t.parent(name)
	if err != nil {
		return err
	}
	old := t.root
	if base != "" {
		old = dir.Children[base]
	}
	if old != nil && old.IsDir() && n.IsDir() {
		old.Mode, old.UID, old.GID, old.ModTime, old.Layer = n.Mode, n.UID, n.GID, n.ModTime, n.Layer
		return nil
	}
	if base == "" {
		return moorage.Errorf(moorage.Invalid, "the archive replaces the root directory by a file")
	}
	dir.Children[base] = n
	return nil
}

// link makes name another name of the file at target.
func (t *tree) link(name, target string) error {
	if err := t.count(); err != nil {
		return err
	}
	n, err := t.lookup(target, false)
	if err != nil {
		return err
	}
	if n == nil || n.IsDir() {
		return moorage.Errorf(moorage.Invalid, "%q is a hard link to %q, which is not a file in the archive", name, target)
	}
	dir, base, err := t.parent(name)
	if err != nil {
		return err
	}
	if base == "" {
		return moorage.Errorf(moorage.Invalid, "the archive replaces the root directory by a link")
	}
	dir.Children[base] = n
	return nil
}

// hide removes what earlier layers put at name; the layer's own entries stay.
func (t *tree) hide(name string) error {
	dir, base := path.Split(name)
	parent, err := t.lookup(dir, true)
	if err != nil || parent == nil || !parent.IsDir() {
		return err
	}
	if n := parent.Children[base]; n != nil && !t.prune(n) {
		delete(parent.Children, base)
	}
	return nil
}

// hideChildren empties the directory at name of what earlier layers put there.
func (t *tree) hideChildren(name string) error {
	dir, err := t.lookup(name, true)
	if err == nil && dir != nil && dir.IsDir() {
		t.pruneChildren(dir)
	}
	return err
}

// prune reports whether anything of the layer being applied stays in n.
func (t *tree) prune(n *erofs.Node) bool {
	kept := n.Layer == t.layer
	if n.IsDir() {
		kept = t.pruneChildren(n) || kept
	}
	return kept
}

func (t *tree) pruneChildren(dir *erofs.Node) (kept bool) {
	for name, child := range dir.Children {
		if t.prune(child) {
			kept = true
		} else {
			delete(dir.Children, name)
		}
	}
	return kept
}

// parent returns the directory that holds name, made if missing. The root's own base is "".
func (t *tree) parent(name string) (*erofs.Node, string, error) {
	dir, base := path.Split(path.Clean("/" + name))
	parent, err := t.directory(dir)
	return parent, base, err
}

func (t *tree) count() error {
	if t.left--; t.left < 0 {
		return moorage.Errorf(moorage.Invalid, "the archive has too many entries")
	}
	return nil
}

// walk goes through a tree component by component.
type walk struct {
	tree   *tree
	stack  []*erofs.Node // from the root to where it stands
	hops   int
	create bool
}

func (w *walk) to(name string, follow bool) (*erofs.Node, error) {
	if len(name) > maxPath {
		return nil, moorage.Errorf(moorage.Invalid, "a path of %d bytes; the limit is %d", len(name), maxPath)
	}
	parts := strings.Split(name, "/")
	for i, part := range parts {
		last := i == len(parts)-1
		n, err := w.step(part)
		if err != nil || n == nil {
			return nil, err
		}
		if n.IsSymlink() && (follow || !last) {
			if err := w.followLink(n, part); err != nil {
				return nil, err
			}
			if w.top() == nil {
				return nil, nil
			}
		} else if !last && !n.IsDir() {
			if w.create {
				return nil, moorage.Errorf(moorage.Invalid, "%q goes through %q, which is not a directory", name, part)
			}
			return nil, nil
		}
	}
	n := w.top()
	if w.create && !n.IsDir() {
		return nil, moorage.Errorf(moorage.Invalid, "%q is not a directory", name)
	}
	return n, nil
}

func (w *walk) top() *erofs.Node { return w.stack[len(w.stack)-1] }

// step enters one component and returns where that leads, nil for nowhere.
func (w *walk) step(part string) (*erofs.Node, error) {
	switch part {
	case "", ".":
		return w.top(), nil
	case "..":
		w.stack = w.stack[:max(1, len(w.stack)-1)]
		return w.top(), nil
	}
	if !w.top().IsDir() {
		return nil, nil
	}
	n := w.top().Children[part]
	if n == nil && w.create {
		if err := w.tree.count(); err != nil {
			return nil, err
		}
		n = erofs.Dir(0o755)
		n.Layer = w.tree.layer
		w.top().Children[part] = n
	}
	if n != nil {
		w.stack = append(w.stack, n)
	}
	return n, nil
}

// followLink replaces the link on top of the stack by what it points to.
func (w *walk) followLink(link *erofs.Node, name string) error {
	if w.hops++; w.hops > maxHops {
		return moorage.Errorf(moorage.Invalid, "symbolic link %q leads in circles", name)
	}
	w.stack = w.stack[:len(w.stack)-1]
	if strings.HasPrefix(link.Target, "/") {
		w.stack = w.stack[:1]
	}
	n, err := w.to(link.Target, true)
	if err == nil && n == nil {
		w.stack = append(w.stack, nil)
	}
	return err
}
