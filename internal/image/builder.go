package image

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/image/erofs"
)

// builder makes one root file system: archives in, EROFS out.
type builder struct {
	*tree
	out     *erofs.Writer
	budget  int64 // bytes of contents that may still be stored
	devices int   // device files left out
}

func newBuilder(f *os.File, maxBytes int64, maxEntries int) (*builder, error) {
	out, err := erofs.NewWriter(f)
	return &builder{tree: newTree(maxEntries), out: out, budget: maxBytes}, err
}

// errBudget is given words by whoever set the budget.
var errBudget = errors.New("contents exceed the size limit")

// store keeps the contents of one file and charges them to the budget.
func (b *builder) store(r io.Reader) (erofs.Extent, error) {
	e, err := b.out.Add(io.LimitReader(r, b.budget+1))
	if err != nil {
		return e, err
	}
	if b.budget -= e.Size; b.budget < 0 {
		return e, errBudget
	}
	return e, nil
}

// write puts a file of our own at name.
func (b *builder) write(name, text string) error {
	e, err := b.store(strings.NewReader(text))
	if err != nil {
		return err
	}
	n := erofs.File(0o644, e)
	n.ModTime = epoch
	return b.put(name, n)
}

// read returns the contents of the file at name, nil if there is none. More than 1 MiB is an error.
func (b *builder) read(name string) ([]byte, error) {
	n, err := b.lookup(name, true)
	if err != nil || n == nil || !n.IsRegular() {
		return nil, err
	}
	if n.Data.Size > 1<<20 {
		return nil, moorage.Errorf(moorage.Invalid, "%s has %d bytes", name, n.Data.Size)
	}
	return b.out.Contents(n.Data)
}

// epoch is the time of what we add ourselves: the earliest that zip files can hold.
var epoch = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

const hosts = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"

// finish adds what every root has, whatever it was made from: the mount points, and name
// resolution through the sandbox's gateway at 10.0.2.2.
func (b *builder) finish() error {
	for _, dir := range []struct {
		name string
		perm uint32
	}{{"/proc", 0o555}, {"/sys", 0o555}, {"/dev", 0o755}, {"/mnt", 0o755}, {"/tmp", 0o1777}, {"/etc", 0o755}} {
		if err := b.mountPoint(dir.name, dir.perm); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{"/etc/resolv.conf": "nameserver 10.0.2.2\n", "/etc/hosts": hosts} {
		if err := b.write(name, text); err != nil {
			return err
		}
	}
	delete(b.root.Children, ".dockerenv")
	return nil
}

// mountPoint makes sure that a directory stands at name itself: a link there could point anywhere.
func (b *builder) mountPoint(name string, perm uint32) error {
	base := path.Base(name)
	if n := b.root.Children[base]; n != nil && n.IsDir() {
		return nil
	}
	dir := erofs.Dir(perm)
	dir.ModTime = epoch
	return b.put(name, dir)
}

// graft puts the contents of the directory n at name, over what is there.
func (b *builder) graft(name string, n *erofs.Node) error {
	if err := b.put(name, n); err != nil {
		return err
	}
	at, err := b.lookup(name, true)
	if err != nil || at == n {
		return err
	}
	for _, child := range n.Names() {
		c := n.Children[child]
		if old := at.Children[child]; old == nil || !c.IsDir() {
			at.Children[child] = c
		} else if err := b.graft(path.Join(name, child), c); err != nil {
			return err
		}
	}
	return nil
}

// explain gives causes that the machine is to blame for words and a code.
func explain(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return &moorage.Error{Code: moorage.Unavailable, Message: "no space is left on the disk for artifacts; free some and deploy again", Err: err}
	case errors.Is(err, errBudget):
		return &moorage.Error{Code: moorage.Invalid, Message: "the unpacked root file system is larger than this server allows", Err: err}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &moorage.Error{Code: moorage.Invalid, Message: "the archive ends early", Err: err}
	}
	return err
}

// quoted lists the last lines of a program's output for a message.
func quoted(lines []string) string {
	var out bytes.Buffer
	for _, l := range lines {
		fmt.Fprintf(&out, "\n  %s", l)
	}
	return out.String()
}
