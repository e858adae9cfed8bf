package gvisor

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/moorage-dev/moorage/internal/sandbox/snapshot"
	"golang.org/x/sys/unix"
)

const (
	// imageLinger is how long an image that was cloned stays decrypted: sessions come in bursts.
	imageLinger = 5 * time.Second

	// imagesKept bounds what lingers, in bytes.
	imagesKept = 256 << 20
)

// images are those that clones are being made of, or were a moment ago. Decrypting one costs as much
// time of a processor as building a kernel from it. The zero value is empty.
type images struct {
	mu   sync.Mutex
	of   map[string]*shared // by the snapshot's directory
	kept int64              // bytes of those that nobody uses
}

// shared is one image that several clones use.
type shared struct {
	*plain
	mark   string // of the files that it was decrypted from
	bytes  int64
	users  int
	expiry *time.Timer // while nobody uses it
}

// take returns the image of a snapshot, for the caller to release. One whose files are not those any
// more that it was decrypted from is not used again.
func (c *images) take(dir string, s *snapshot.Snapshot, parts []string) *shared {
	mark, bytes := markOf(dir, parts)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[string]*shared{}
	}
	image := c.of[dir]
	if image == nil || image.mark != mark {
		image = &shared{plain: decrypt(s, parts), mark: mark, bytes: bytes}
		c.drop(dir)
		c.of[dir] = image
	}
	if image.users++; image.users == 1 && image.expiry != nil {
		image.expiry.Stop()
		image.expiry = nil
		c.kept -= image.bytes
	}
	return image
}

// release lets go of an image, which stays for a while unless it is damaged, large, or there is a
// newer one.
func (c *images) release(dir string, image *shared) {
	err := image.wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if image.users--; image.users > 0 {
		return
	}
	if c.of[dir] != image {
		image.close()
		return
	}
	if err != nil || c.kept+image.bytes > imagesKept {
		delete(c.of, dir)
		image.close()
		return
	}
	c.kept += image.bytes
	image.expiry = time.AfterFunc(imageLinger, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if image.users == 0 && c.of[dir] == image {
			c.drop(dir)
		}
	})
}

// drop forgets an image. Those who use it close it. The caller holds mu.
func (c *images) drop(dir string) {
	image := c.of[dir]
	if image == nil {
		return
	}
	delete(c.of, dir)
	if image.expiry != nil {
		image.expiry.Stop()
		c.kept -= image.bytes
		image.close()
	}
}

// clear forgets all.
func (c *images) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for dir := range c.of {
		c.drop(dir)
	}
}

// markOf tells the files of an image from others by the same names, and adds up their sizes.
func markOf(dir string, parts []string) (mark string, bytes int64) {
	var all strings.Builder
	for _, part := range parts {
		var info unix.Stat_t
		if err := unix.Stat(filepath.Join(dir, part), &info); err != nil {
			return err.Error(), 0 // it will not be decrypted, either
		}
		fmt.Fprintln(&all, info.Dev, info.Ino, info.Size, info.Mtim, info.Ctim)
		bytes += info.Size
	}
	return all.String(), bytes
}

// reopen opens the image's files for one engine, which reads them from their beginning. The caller closes them.
func (p *plain) reopen() (files []*os.File, err error) {
	for _, f := range p.files {
		again, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
		if err != nil {
			closeFiles(files)
			return nil, err
		}
		files = append(files, again)
	}
	return files, nil
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
