// Command mend makes the source that the engine is built from: gVisor as it is pinned in go.mod, with
// the faults mended that would lose a caller's bytes, leave a call waiting for ever, or cost each sleep and wake twice its time.
//
//	go run ./internal/sandbox/gvisor/mend -out .cache/engine
//	GOWORK=$PWD/.cache/engine/go.work go build ./cmd/moorage
//
// It copies the module and writes a workspace that uses the copy. A mend replaces one exact passage of
// one file, so that a version in which the passage changed fails the build instead of being mended
// wrongly. The copy is made on the machine that builds and is not part of this repository.
package main

import (
	_ "embed"
	"flag"
	"fmt"
	"hash/fnv"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const engine = "gvisor.dev/gvisor"

// mend is one fault: where it is, what is wrong, and what its passage has to say instead. One without a from is a file
// that another mend needs.
type mend struct {
	file, why string
	from, to  string
}

const forward = "runsc/boot/portforward/"

// lookAgain makes a waiter try once more after it registered: what became possible between its last
// try and the registration wakes nobody.
const lookAgain = `
			select {
			case %s <- struct{}{}:
			default:
			}
`

// forgetful empties a root's cache of names before it is saved. They are looked up again in the image, which is mapped into memory.
const forgetful = `// PrepareSave implements vfs.FilesystemImplSaveRestoreExtension.PrepareSave.
func (fs *filesystem) PrepareSave(ctx context.Context) error {
	fs.evictAllCachedDentries(ctx)
	return nil
}

// BeforeResume implements vfs.FilesystemImplSaveRestoreExtension.BeforeResume.
func (*filesystem) BeforeResume(context.Context) {}

// CompleteRestore implements vfs.FilesystemImplSaveRestoreExtension.CompleteRestore.
func (*filesystem) CompleteRestore(context.Context, vfs.CompleteRestoreOptions) error { return nil }

`

//go:embed copier.go.txt
var copier string

//go:embed filters.go.txt
var filters string

const systrap = "pkg/sentry/platform/systrap/"

// hasty lets an engine's heap grow while it saves itself, and gives its Go scheduler spare processors: a goroutine that waits
// for a pipe's reader keeps one for up to 10 ms. An engine that is saved usually goes right after.
const hasty = `	gomaxprocs.Add(2)
	defer gomaxprocs.Add(-2)
	defer debug.SetGCPercent(debug.SetGCPercent(400))
`

var mends = []mend{
	{
		file: "pkg/unet/unet.go",
		why:  "an engine that is started in this moment inherits the socket, and refuses to start when its number is one that it needs",
		from: "unix.Socket(unix.AF_UNIX, socketType(packet), 0)",
		to:   "unix.Socket(unix.AF_UNIX, socketType(packet)|unix.SOCK_CLOEXEC, 0)",
	},
	{
		file: "pkg/eventfd/eventfd.go",
		why:  "as above; the filters of engines and their gofers, which start nothing, know the call without the flag only",
		from: "unix.RawSyscall(unix.SYS_EVENTFD2, 0, 0, 0)",
		to:   "unix.RawSyscall(unix.SYS_EVENTFD2, 0, mark(), 0)",
	},
	{
		file: "pkg/eventfd/eventfd.go",
		why:  "the flag of the mend before",
		from: "// Create returns an initialized eventfd.\n",
		to: "func mark() uintptr {\n\tif strings.HasPrefix(os.Args[0], \"runsc-\") {\n\t\treturn 0\n\t}\n\treturn unix.EFD_CLOEXEC\n}\n\n" +
			"// Create returns an initialized eventfd.\n",
	},
	{
		file: "pkg/eventfd/eventfd.go",
		why:  "what the flag needs",
		from: "	\"io\"\n",
		to:   "	\"io\"\n	\"os\"\n	\"strings\"\n",
	},
	{
		file: forward + "portforward.go",
		why:  "a short write is taken for a whole one, and the rest of the chunk is lost",
		from: "	_, err = dst.Write(ctx, buf[0:n], cancel)\n",
		to: "	for rest := buf[0:n]; len(rest) > 0 && err == nil; rest = rest[n:] {\n" +
			"		n, err = dst.Write(ctx, rest, cancel)\n" +
			"	}\n",
	},
	{
		file: forward + "portforward_netstack.go",
		why:  "an answer that arrives while the reader registers is waited for for ever",
		from: "waiter.NewChannelEntry(waiter.ReadableEvents | waiter.EventIn | waiter.EventHUp | waiter.EventErr)\n			n.wq.EventRegister(&e)\n",
		to: "waiter.NewChannelEntry(waiter.ReadableEvents | waiter.EventIn | waiter.EventHUp | waiter.EventErr)\n			n.wq.EventRegister(&e)" +
			fmt.Sprintf(lookAgain, "ch"),
	},
	{
		file: forward + "portforward_netstack.go",
		why:  "room that comes while the writer registers is waited for for ever",
		from: "waiter.NewChannelEntry(waiter.WritableEvents | waiter.EventIn | waiter.EventHUp | waiter.EventErr)\n			n.wq.EventRegister(&e)\n",
		to: "waiter.NewChannelEntry(waiter.WritableEvents | waiter.EventIn | waiter.EventHUp | waiter.EventErr)\n			n.wq.EventRegister(&e)" +
			fmt.Sprintf(lookAgain, "ch"),
	},
	{
		file: forward + "portforward_fd_rw.go",
		why:  "as above, for what the host sends",
		from: "readable or disconnected.\n			r.file.EventRegister(&waitEntry)\n",
		to:   "readable or disconnected.\n			r.file.EventRegister(&waitEntry)" + fmt.Sprintf(lookAgain, "notifyCh"),
	},
	{
		file: forward + "portforward_fd_rw.go",
		why:  "as above, for room on the host's side",
		from: "writable or disconnected.\n			r.file.EventRegister(&waitEntry)\n",
		to:   "writable or disconnected.\n			r.file.EventRegister(&waitEntry)" + fmt.Sprintf(lookAgain, "notifyCh"),
	},
	{
		file: forward + "portforward_fd_rw.go",
		why:  "a write that was taken in part is made again from its start",
		from: "	n, err := r.file.Write(ctx, usermem.BytesIOSequence(buf), vfs.WriteOptions{})\n	for linuxerr",
		to:   "	n, err := r.file.Write(ctx, usermem.BytesIOSequence(buf), vfs.WriteOptions{})\n	for n == 0 && linuxerr",
	},
	{
		file: forward + "portforward_fd_rw.go",
		why:  "as above: what was taken is no error",
		from: "		n, err = r.file.Write(ctx, usermem.BytesIOSequence(buf), vfs.WriteOptions{})\n	}\n",
		to:   "		n, err = r.file.Write(ctx, usermem.BytesIOSequence(buf), vfs.WriteOptions{})\n	}\n	if n > 0 {\n		err = nil\n	}\n",
	},
	{
		file: "pkg/sentry/control/state.go",
		why:  "pages can be saved to a file only, which has to be in memory, and cannot be sealed before all are there",
		from: "		pagesFileFD, err := unix.Dup(int(o.Files[2].Fd()))\n",
		to:   "		pagesFile, err := o.ReleaseFD(2)\n",
	},
	{
		file: "pkg/sentry/control/state.go",
		why:  "as above: a pipe has no offsets",
		from: "stateio.NewPagesFileFDWriterDefault(int32(pagesFileFD))",
		to:   "stateio.NewIOWriter(pagesFile, 256<<10, 64, 128)",
	},
	{
		file: "pkg/sentry/control/state.go",
		why:  "says that the mends before were made",
		from: "// ConvertToStateSaveOpts converts",
		to:   "// PagesTakePipe does nothing.\nfunc (*SaveOpts) PagesTakePipe() {}\n\n// ConvertToStateSaveOpts converts",
	},
	{
		file: "pkg/sentry/control/state.go",
		why:  "an engine that saves itself collects garbage again and again, and waits for a processor while a pipe is full",
		from: "	if err := preSave(s.Kernel, saveOpts, execOpts); err != nil {\n",
		to:   hasty + "	if err := preSave(s.Kernel, saveOpts, execOpts); err != nil {\n",
	},
	{
		file: "pkg/sentry/control/state.go",
		why:  "what the mend before needs",
		from: "	\"strings\"\n	\"time\"\n\n	\"golang.org/x/sys/unix\"\n",
		to:   "	\"runtime/debug\"\n	\"strings\"\n	\"time\"\n\n	\"golang.org/x/sys/unix\"\n	\"gvisor.dev/gvisor/pkg/gomaxprocs\"\n",
	},
	{
		file: "pkg/sentry/fsimpl/erofs/filesystem.go",
		why:  "what was looked up and is not in use any more is saved too: half of the time that saving and loading a kernel takes",
		from: "// Sync implements vfs.FilesystemImpl.Sync.\n",
		to:   forgetful + "// Sync implements vfs.FilesystemImpl.Sync.\n",
	},
	{
		file: "pkg/sentry/state/stateio/copier.go",
		why:  "what the next mend reads pages with",
		to:   copier,
	},
	{
		file: "runsc/boot/controller.go",
		why:  "128 threads read pages at once, beside the one that builds the kernel; see copier.go.txt",
		from: "	cu.Release()\n	// //pkg/state/wire",
		to:   "	pages, err := stateio.NewCopier(int32(pagesFile.Release()), o.PagesKey)\n	if err != nil {\n		return nil, nil, nil, err\n	}\n	cu.Release()\n	// //pkg/state/wire",
	},
	{
		file: "runsc/boot/controller.go",
		why:  "as above",
		from: "stateio.NewPagesFileFDReaderDefault(int32(pagesFile.Release())),\n		nil\n",
		to:   "pages,\n		nil\n",
	},
	{
		file: "runsc/boot/controller.go",
		why:  "pages are sealed on disk, and would have to be in memory twice while they are loaded",
		from: "	Background     bool\n",
		to:   "	Background     bool\n	PagesKey       []byte\n",
	},
	{
		file: "runsc/boot/controller.go",
		why:  "how an engine that may not be mended is told",
		from: "// Restore loads a container from a statefile.\n",
		to: "// SetPagesKey says what opens the pages file.\nfunc (o *RestoreOpts) SetPagesKey(key []byte) { o.PagesKey = key }\n\n" +
			"// Restore loads a container from a statefile.\n",
	},
	{
		file: "pkg/state/decode.go",
		why:  "the clock is read twice for each of a kernel's objects, for a table in a log that nobody has",
		from: "	// Track stats if relevant.\n	if ods.callbacks != nil && ods.typ != 0 {\n		ds.stats.start(ods.typ)\n		defer ds.stats.done()\n	}\n\n",
	},
	{
		file: "pkg/state/decode.go",
		why:  "as above",
		from: "	ds.stats.start(ods.typ)\n	defer ds.stats.done()\n	if sl,",
		to:   "	if sl,",
	},
	{
		file: "pkg/state/wire/wire.go",
		why:  "most of what a kernel's image has is read byte by byte, each in a call for a slice",
		from: "	n, err := r.Read(r.buf[:])\n	if n != 1 {\n",
		to: "	if in, ok := r.Reader.(io.ByteReader); ok {\n		b, err := in.ReadByte()\n		if err != nil {\n			panic(err)\n		}\n		return b\n	}\n" +
			"	n, err := r.Read(r.buf[:])\n	if n != 1 {\n",
	},
	{
		file: "pkg/compressio/nocompressio.go",
		why:  "what the mend before asks for",
		from: "// Close implements io.Closer.Close.\nfunc (r *SimpleReader)",
		to: "// ReadByte implements io.ByteReader.\nfunc (r *SimpleReader) ReadByte() (byte, error) {\n	if r.h == nil {\n		return r.bin.ReadByte()\n	}\n" +
			"	var one [1]byte\n	_, err := io.ReadFull(r, one[:])\n	return one[0], err\n}\n\n" +
			"// Close implements io.Closer.Close.\nfunc (r *SimpleReader)",
	},
	{
		file: systrap + "filters_compiled.go",
		why:  "what the next mends make and install the filters of stubs with",
		to:   filters,
	},
	{
		file: systrap + "subprocess_linux.go",
		why:  "the filter of stub processes is compiled at every start, 3 ms",
		from: "func attachedThread(flags uintptr, defaultAction seccomp.Action) (*thread, error) {\n	// Create a BPF",
		to: "func attachedThread(flags uintptr) (*thread, error) {\n	instrs, err := stubFilter(\"process\", stubStart, stubROMapEnd-stubStart)\n" +
			"	if err != nil {\n		return nil, err\n	}\n	return forkStub(flags, instrs)\n}\n\n" +
			"func processProgram(defaultAction seccomp.Action, stubStart, stubROMapLen uintptr) *seccomp.Program {\n	// Create a BPF",
	},
	{
		file: systrap + "subprocess_linux.go",
		why:  "as above",
		from: "return attachedThread(unix.CLONE_FILES|uintptr(unix.SIGCHLD), seccomp.Trap)",
		to:   "return attachedThread(unix.CLONE_FILES | uintptr(unix.SIGCHLD))",
	},
	{
		file: systrap + "subprocess_linux.go",
		why:  "as above",
		from: "seccomp.EqualTo(stubROMapEnd - stubStart)",
		to:   "seccomp.EqualTo(stubROMapLen)",
	},
	{
		file: systrap + "subprocess_linux.go",
		why:  "as above",
		from: "	program := &seccomp.Program{\n		RuleSets: rules,\n		Options: seccomp.ProgramOptions{\n			DefaultAction: defaultAction,\n			BadArchAction: defaultAction,\n" +
			"		},\n	}\n	instrs, _, err := program.Build()\n	if err != nil {\n		return nil, err\n	}\n\n	return forkStub(flags, instrs)\n",
		to: "	return &seccomp.Program{\n		RuleSets: rules,\n		Options: seccomp.ProgramOptions{\n			DefaultAction: defaultAction,\n			BadArchAction: defaultAction,\n" +
			"		},\n	}\n",
	},
	{
		file: systrap + "sysmsg_thread.go",
		why:  "as above, for their threads, 2 ms",
		from: "func sysmsgThreadRules(stubStart uintptr) []bpf.Instruction {\n	var rules",
		to: "func sysmsgThreadRules(stubStart uintptr) []bpf.Instruction {\n	instrs, err := stubFilter(\"thread\", stubStart)\n" +
			"	if err != nil {\n		panic(fmt.Sprintf(\"failed to build rules for sysmsg threads: %v\", err))\n	}\n	return instrs\n}\n\n" +
			"func threadProgram(stubStart uintptr) *seccomp.Program {\n	var rules",
	},
	{
		file: systrap + "sysmsg_thread.go",
		why:  "as above",
		from: "	program := &seccomp.Program{\n		RuleSets: rules,\n		Options: seccomp.ProgramOptions{\n			DefaultAction: seccomp.Trap,\n			BadArchAction: seccomp.Trap,\n" +
			"		},\n	}\n	instrs, _, err := program.Build()\n	if err != nil {\n		panic(fmt.Sprintf(\"failed to build rules for sysmsg threads: %v\", err))\n	}\n\n	return instrs\n",
		to: "	return &seccomp.Program{\n		RuleSets: rules,\n		Options: seccomp.ProgramOptions{\n			DefaultAction: seccomp.Trap,\n			BadArchAction: seccomp.Trap,\n" +
			"		},\n	}\n",
	},
}

func main() {
	log.SetFlags(0)
	out := flag.String("out", "", "folder for the mended files and overlay.json")
	flag.Parse()
	if err := run(*out); err != nil {
		log.Fatal("mend: ", err)
	}
}

func run(out string) error {
	out, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	source, err := download()
	if err != nil {
		return fmt.Errorf("fetch %s: %w", engine, err)
	}
	// The copy is named after what it was made from: another version, or another list of mends, is
	// another copy, and one that is there is whole.
	mended := filepath.Join(out, filepath.Base(source)+"-"+fingerprint())
	if _, err := os.Stat(mended); err != nil {
		if err := copyMended(source, mended); err != nil {
			return err
		}
	}
	return writeWorkspace(filepath.Join(out, "go.work"), mended)
}

// download has the pinned module in the module cache, and returns where that is.
func download() (dir string, err error) {
	if _, err := output("go", "mod", "download", engine); err != nil {
		return "", err
	}
	return output("go", "list", "-m", "-f", "{{.Dir}}", engine)
}

func output(name string, args ...string) (string, error) {
	text, err := exec.Command(name, args...).Output()
	return strings.TrimSpace(string(text)), err
}

func fingerprint() string {
	sum := fnv.New64a()
	for _, m := range mends {
		fmt.Fprint(sum, m)
	}
	return fmt.Sprintf("%x", sum.Sum64())
}

// copyMended makes the copy beside its place and moves it there when it is whole.
func copyMended(source, mended string) error {
	tmp := mended + ".new"
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(mended), 0o755); err != nil {
		return err
	}
	if err := os.CopyFS(tmp, os.DirFS(source)); err != nil {
		return fmt.Errorf("copy %s: %w", engine, err)
	}
	for _, m := range mends {
		if err := m.apply(filepath.Join(tmp, m.file)); err != nil {
			return err
		}
	}
	return os.Rename(tmp, mended)
}

func (m mend) apply(name string) error {
	if m.from == "" {
		return os.WriteFile(name, []byte(m.to), 0o644)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if n := strings.Count(string(text), m.from); n != 1 {
		return fmt.Errorf("%s has the passage %d times instead of once; see whether this version still needs the mend: %s", m.file, n, m.why)
	}
	if err := os.Chmod(name, 0o644); err != nil { // the module cache is read-only, and so is its copy
		return err
	}
	return os.WriteFile(name, []byte(strings.Replace(string(text), m.from, m.to, 1)), 0o644)
}

// writeWorkspace copies the repository's go.work, with its folders made absolute and the mended engine
// in place of the pinned one.
func writeWorkspace(name, mended string) error {
	root, err := output("go", "env", "GOWORK")
	if err != nil || root == "" || root == "off" {
		return fmt.Errorf("no go.work above this folder: %v", err)
	}
	text, err := os.ReadFile(root)
	if err != nil {
		return err
	}
	var work strings.Builder
	for line := range strings.Lines(string(text)) {
		if folder, ok := strings.CutPrefix(strings.TrimSpace(line), "."); ok {
			line = "\t" + filepath.Join(filepath.Dir(root), folder) + "\n"
		}
		work.WriteString(line)
	}
	fmt.Fprintf(&work, "\nreplace %s => %s\n", engine, mended)
	if sums, err := os.ReadFile(root + ".sum"); err == nil {
		if err := os.WriteFile(name+".sum", sums, 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(name, []byte(work.String()), 0o644)
}
