// Package cell is the first life of an engine's process: it makes the bare room that the engine lives
// in, before anything else of this program begins.
//
// An engine starts as nobody in namespaces of its own, with just the rights to arrange them. It makes an
// empty root with nothing but a /proc, leaves behind a helper that takes that away again, gives up every
// right in all its threads at once by replacing itself, and is the engine from then on.
//
// gVisor can do this by itself, and does wherever this package stands aside. But each of the three
// processes would then first initialise the hundreds of packages of a large program: two thirds of the
// time that a sandbox takes to start. That is why this package works in its init function, which nothing
// else in this program may do, and imports so little that it comes before all that is expensive. In any
// other process of the program it does nothing.
package cell

import (
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// nobody is the user that the driver starts an engine as. An engine of another user is one in a
// namespace that maps a single user: its rights are changed in another way, by gVisor.
const nobody = 65534

// self is how a process names its own program, in the empty root too.
const self = "/proc/self/exe"

func init() {
	if err := live(os.Args); err != nil {
		unix.Write(logOf(os.Args), []byte("set up the engine's process: "+err.Error()+"\n"))
		os.Exit(128)
	}
}

// logOf is the descriptor that an engine writes its last words to: stderr, when it was given none.
func logOf(args []string) int {
	for _, arg := range args {
		if value, ok := strings.CutPrefix(arg, "--log-fd="); ok {
			if fd, err := strconv.Atoi(value); err == nil {
				return fd
			}
		}
	}
	return unix.Stderr
}

// live does what the process was started for, and returns nil only if that is none of this package's business.
func live(args []string) error {
	if isFirstLife(args) && os.Getuid() == nobody {
		return enter(args)
	}
	return nil
}

// isFirstLife reports whether an engine is to make its root.
func isFirstLife(args []string) bool {
	at := slices.Index(args, "boot")
	return at > 0 && args[0] == "runsc-sandbox" && slices.Contains(args[at:], setupRoot)
}

// The flags of gVisor's boot command that matter here.
const (
	setupRoot  = "--setup-root"
	procSyncFD = "--proc-mount-sync-fd="
)

// enter makes the root, gives up all rights and begins the second life. It does not return but with an error.
func enter(args []string) error {
	flags := hostFlags() // before the host's files are out of reach
	if err := makeRoot(); err != nil {
		return err
	}
	door, err := startUnmounter()
	if err != nil {
		return err
	}
	if err := dropRights(); err != nil {
		return err
	}
	flags = append(flags, procSyncFD+strconv.Itoa(door))
	return fail("begin the engine", unix.Exec(self, secondLife(args, flags), nil))
}

// secondLife is the command line of an engine whose root is made.
func secondLife(args, flags []string) []string {
	args = slices.DeleteFunc(slices.Clone(args), func(a string) bool { return a == setupRoot })
	return slices.Insert(args, slices.Index(args, "boot")+1, flags...)
}

// hostFlags hands on what the engine wants to know of the host and cannot read from within. What this
// host does not tell stays unsaid.
func hostFlags() (flags []string) {
	const pages = "/sys/kernel/mm/transparent_hugepage/"
	add := func(name, value string) {
		if value != "" {
			flags = append(flags, "--"+name+"="+value)
		}
	}
	product, _ := os.ReadFile("/sys/devices/virtual/dmi/id/product_name")
	add("product-name", strings.TrimSpace(string(product)))
	add("host-thp-shmem-enabled", chosen(pages+"shmem_enabled"))
	add("host-thp-defrag", chosen(pages+"defrag"))
	return flags
}

// chosen reads a file that lists alternatives with the chosen one in brackets.
func chosen(path string) string {
	text, _ := os.ReadFile(path)
	_, rest, _ := strings.Cut(string(text), "[")
	word, _, closed := strings.Cut(rest, "]")
	if !closed {
		return ""
	}
	return word
}

// dropRights takes every capability from this thread, for good. The other threads end at exec.
func dropRights() error {
	for c := uintptr(0); ; c++ {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if err == unix.EINVAL { // past the last that this kernel knows
			break
		}
		if err != nil {
			return fail("bound the engine's capabilities", err)
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fail("clear ambient capabilities", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	return fail("drop capabilities", unix.Capset(&header, &none[0]))
}

// fail says what could not be done; nil stays nil.
func fail(what string, err error) error {
	if err == nil {
		return nil
	}
	return &os.SyscallError{Syscall: what, Err: err}
}
