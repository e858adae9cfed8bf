package reseed

import (
	"fmt"
	"io/fs"
	"os"

	"github.com/moorage-dev/moorage/internal/image/erofs"
)

// WriteImage writes Files as an EROFS image into f, which is empty and stays the caller's to close:
// an image needs no file proxy, as a mounted directory would.
func WriteImage(f *os.File) error {
	w, err := erofs.NewWriter(f)
	if err != nil {
		return err
	}
	root := erofs.Dir(0o755)
	if err := addFiles(w, root, Files()); err != nil {
		return fmt.Errorf("write the reseeder's image: %w", err)
	}
	_, err = w.Close(root)
	return err
}

// addFiles puts files, among which are no directories, into dir.
func addFiles(w *erofs.Writer, dir *erofs.Node, files fs.FS) error {
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		f, err := files.Open(e.Name())
		if err != nil {
			return err
		}
		contents, err := w.Add(f)
		f.Close()
		if err != nil {
			return err
		}
		dir.Children[e.Name()] = erofs.File(0o644, contents)
	}
	return nil
}
