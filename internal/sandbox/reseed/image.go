package reseed

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"os"

	"github.com/moorage-dev/moorage/internal/image/erofs"
)

//go:embed python
var source embed.FS

// layout says which source is where below Dir. Each directory but the last is on PYTHONPATH, and leaves
// Python's path as soon as the file in it has run.
var layout = []struct{ dir, name, source string }{
	{"site", "sitecustomize.py", "python/start.py"},
	{"user", "usercustomize.py", "python/start.py"},
	{"lib", "moorage_clone.py", "python/moorage_clone.py"},
}

// ImageID names what WriteImage writes: another build's may be another.
func ImageID() string {
	sum := sha256.New()
	for _, file := range layout {
		text, _ := source.ReadFile(file.source) // WriteImage says what is wrong
		fmt.Fprintf(sum, "%s/%s %d %s", file.dir, file.name, len(text), text)
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

// WriteImage writes what sandboxes have at Dir into f, which is empty and stays the caller's to close.
// It is an EROFS image: that needs no file proxy, as a mounted directory would.
func WriteImage(f *os.File) error {
	w, err := erofs.NewWriter(f)
	if err != nil {
		return err
	}
	root := erofs.Dir(0o755)
	for _, file := range layout {
		text, err := source.ReadFile(file.source)
		if err != nil {
			return err
		}
		contents, err := w.Add(bytes.NewReader(text))
		if err != nil {
			return fmt.Errorf("write the reseeder's image: %w", err)
		}
		dir := erofs.Dir(0o755)
		dir.Children[file.name] = erofs.File(0o644, contents)
		root.Children[file.dir] = dir
	}
	_, err = w.Close(root)
	return err
}
