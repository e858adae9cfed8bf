package gvisor

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// scratchDirs are what gVisor wants for each sandbox beside its engine, in the driver's directory: a control socket, files
// about it, its bundle. Nobody but this process uses them, and nothing of them outlives it.
var scratchDirs = []string{"state", "bundles"}

// openScratch makes the directories, empty. On a disk the five or six files of each sandbox cost 5 ms of a processor where many
// come and go, so they are in memory; but on disk for an ordinary user, who may mount nothing.
func (d *Driver) openScratch() (err error) {
	within := d.opts.Dir
	if d.memory, err = mountMemory(); err == nil {
		within = fmt.Sprintf("/proc/self/fd/%d", d.memory.Fd())
	}
	for _, dir := range scratchDirs {
		if err := os.Mkdir(filepath.Join(within, dir), 0o711); err != nil {
			return err
		}
		if d.memory == nil {
			continue
		}
		if err := os.Symlink(filepath.Join(within, dir), filepath.Join(d.opts.Dir, dir)); err != nil {
			return err
		}
	}
	return nil
}

// mountMemory makes a file system that is in memory and mounted nowhere: it is reached through the descriptor, and gone with it.
func mountMemory() (*os.File, error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, err
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "scratch"), nil
}

// closeAny closes a file that may be nil.
func closeAny(f *os.File) error {
	if f == nil {
		return nil
	}
	return f.Close()
}
