package image

import (
	"errors"
	"io/fs"
	"path"
	"path/filepath"
)

// addNode puts Node.js under /usr/local, with npm where it lies beside the executable.
func (b *bake) addNode(t toolchain) error {
	if err := b.program("/usr/local/bin/node", t.Exe); err != nil {
		return err
	}
	for _, f := range t.Files {
		if !path.IsAbs(f) {
			continue // inside the executable; distributions move some out of it
		}
		if err := b.file(f, f); err != nil {
			return err
		}
	}
	npm := filepath.Join(t.Prefix, "lib/node_modules/npm")
	err := filepath.WalkDir(npm, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(t.Prefix, name)
		if err != nil {
			return err
		}
		return b.copied(path.Join("/usr/local", rel), name, npm)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil // code that brings its packages along still runs
	}
	b.link("/usr/local/bin/npm", "../lib/node_modules/npm/bin/npm-cli.js")
	return err
}
