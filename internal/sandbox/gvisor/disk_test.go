package gvisor

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/sandboxtest"
	"golang.org/x/sys/unix"
)

func TestCreate_onAFullDiskSaysSoAndWorksWithSpaceAgain(t *testing.T) {
	image := sandboxtest.BuildImage(t)
	if image.EROFS == "" {
		t.Skip("needs mkfs.erofs")
	}
	disk := smallDisk(t)
	d := open(t, Options{Dir: disk})
	filler := fillNames(t, disk)
	spec := sandbox.Spec{
		ID: sandbox.NewID(), Root: sandbox.Root{EROFS: image.EROFS}, LogDir: filepath.Join(disk, "logs"), Process: sandbox.ProcessSpec{Args: []string{"/agent"}},
	}
	_, err := d.Create(t.Context(), spec)
	var coded *moorage.Error
	if !errors.As(err, &coded) || coded.Code != moorage.Unavailable || !strings.Contains(coded.Message, "disk is full") {
		t.Errorf("on a full disk: %v", err)
	}
	if err := os.RemoveAll(filler); err != nil {
		t.Fatal(err)
	}
	box, err := d.Create(t.Context(), spec)
	if err != nil {
		t.Fatal("with space again:", err)
	}
	if err := box.Stop(t.Context(), 0); err != nil {
		t.Error(err)
	}
}

// smallDisk is a disk of one megabyte and 64 files.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m,nr_inodes=64"); err != nil {
		t.Skip("needs to mount a file system:", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill leaves no byte.
func fill(t *testing.T, dir string) (path string) {
	t.Helper()
	path = filepath.Join(dir, "filler")
	err := os.WriteFile(path, make([]byte, 2<<20), 0o600)
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk did not fill: %v", err)
	}
	return path
}

// fillNames leaves no room for another file.
func fillNames(t *testing.T, dir string) (path string) {
	t.Helper()
	path = filepath.Join(dir, "filler")
	err := os.Mkdir(path, 0o700)
	for n := 0; err == nil; n++ {
		err = os.WriteFile(filepath.Join(path, strconv.Itoa(n)), nil, 0o600)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk did not fill: %v", err)
	}
	return path
}
