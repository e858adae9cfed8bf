package gvisor

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// words is where an engine writes why it gives up, and Go's runtime how it failed. They are in memory,
// and that is the sandbox's own: an engine that went mad fills no disk.
type words struct{ file *os.File }

func openWords() (words, error) {
	fd, err := unix.MemfdCreate("engine's words", unix.MFD_CLOEXEC)
	if err != nil {
		return words{}, fmt.Errorf("make room for an engine's words: %w", err)
	}
	return words{os.NewFile(uintptr(fd), "engine's words")}, nil
}

// path is a name under which gVisor can open the file in this process.
func (w words) path() string { return fmt.Sprintf("/proc/self/fd/%d", w.file.Fd()) }

// maxWords is how much of what an engine said is worth quoting, in bytes. The reason comes first.
const maxWords = 2000

// said returns what the engine wrote, in one line; empty when it was killed.
func (w words) said() string {
	b := make([]byte, maxWords)
	n, err := w.file.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return ""
	}
	return strings.Join(strings.Fields(string(b[:n])), " ")
}
