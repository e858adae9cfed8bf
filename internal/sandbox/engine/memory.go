package engine

import (
	"io"
	"math"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// InMemory copies a program into memory that nobody can write to, of huge pages where the kernel gives
// them (Linux 6.1). A process that is started from it, and every one that this starts from /proc/self/exe,
// shares that memory, and takes a page fault for 2 MiB of the program instead of one for 64 KiB. What
// /proc/PID/exe says of it holds the file's name.
func InMemory(program string) (*os.File, error) {
	in, err := os.Open(program)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return nil, err
	}
	out, err := executable(program)
	if err != nil {
		return nil, err
	}
	if err := fill(out, in, info.Size()); err != nil {
		out.Close()
		return nil, err
	}
	return out, nil
}

// maxName is how long the name of a file in memory may be, in bytes. Source: memfd_create(2).
const maxName = 249

// executable makes a file in memory that may be executed, on a machine too where that has to be asked for.
func executable(name string) (*os.File, error) {
	name = name[max(0, len(name)-maxName):]
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate(name, flags|unix.MFD_EXEC)
	if err == unix.EINVAL { // before Linux 6.3
		fd, err = unix.MemfdCreate(name, flags)
	}
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

func fill(out, in *os.File, size int64) error {
	if _, err := io.Copy(out, io.LimitReader(in, size)); err != nil {
		return err
	}
	giveHugePages(out, size)
	const seals = unix.F_SEAL_WRITE | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
	_, err := unix.FcntlInt(out.Fd(), unix.F_ADD_SEALS, seals)
	return os.NewSyscallError("seal a program in memory", err)
}

const hugePage = 2 << 20

// giveHugePages has a file in memory consist of huge pages, which only a mapping that is aligned to them
// can ask for. Where the kernel refuses, its pages are small.
func giveHugePages(file *os.File, size int64) {
	size &^= hugePage - 1
	if size == 0 || size > math.MaxInt-hugePage {
		return
	}
	room := uintptr(size) + hugePage
	start, err := unix.MmapPtr(-1, 0, nil, room, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return
	}
	defer unix.MunmapPtr(start, room)
	aligned := unsafe.Add(start, hugePage-uintptr(start)%hugePage)
	if _, err := unix.MmapPtr(int(file.Fd()), 0, aligned, uintptr(size), unix.PROT_READ, unix.MAP_SHARED|unix.MAP_FIXED); err != nil {
		return
	}
	unix.Madvise(unsafe.Slice((*byte)(aligned), size), unix.MADV_COLLAPSE)
}
