package gvisor

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/subcommands"
	"github.com/moorage-dev/moorage/internal/sandbox/cgroup"
	_ "github.com/moorage-dev/moorage/internal/sandbox/gvisor/cell" // makes an engine's root before all else
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/gomaxprocs"
	"gvisor.dev/gvisor/pkg/log"
	"gvisor.dev/gvisor/runsc/cli"
	"gvisor.dev/gvisor/runsc/cmd"
	"gvisor.dev/gvisor/runsc/cmd/sentry/sentrycmd"
	"gvisor.dev/gvisor/runsc/cmd/util"
	"gvisor.dev/gvisor/runsc/flag"
)

// IsEngine reports whether this process was started to be an engine or one of its helpers. args is
// os.Args. gVisor names the processes it starts runsc-sandbox and runsc-gofer, and calls itself
// again as /proc/self/exe.
func IsEngine(args []string) bool {
	return args[0] == "/proc/self/exe" || strings.HasPrefix(filepath.Base(args[0]), "runsc")
}

// Main is the engine's main function. It does not return.
//
// Only the commands that a running sandbox needs are linked: the rest of gVisor's command line
// would more than double the binary.
func Main() {
	useCompiledFilters()
	openSealedPages()
	withoutTracePoints()
	debug.SetGCPercent(bootGCPercent)
	log.SetLevel(log.Warning) // what it says goes nowhere unless asked for, and was put in words all the same
	boot := new(reportingBoot)
	if notes, err := donatedAnnotations(os.Args); err == nil {
		boot.report, boot.call = notes[statusAnnotation], notes[callAnnotation]
		enterGroups(notes)
		os.Args = withVisibleLimits(os.Args, notes)
	}
	cli.Run(nil, map[util.SubCommand]string{
		boot:                  "internal",
		new(sentrycmd.Umount): "internal",
		new(cmd.Gofer):        "internal",
	}, []subcommands.Command{})
}

// An engine's heap grows by so many percent between collections. While it boots, collections would
// only take time from it. After that most of what a session costs beyond its agent is this heap, there
// is one for each session, and it is small.
const (
	bootGCPercent   = 400
	engineGCPercent = 30
)

// settleAfter is when an engine gives back the memory that booting or loading took. It costs milliseconds of processor, which a session
// that is over sooner never pays, and a burst of starts pays when it is over.
const settleAfter = 10 * time.Second

func settle() {
	debug.SetGCPercent(engineGCPercent)
	debug.FreeOSMemory()
}

// spareProcessors are what an engine's Go scheduler has beyond the processors that the sandbox sees, until it has loaded a
// snapshot and what was in it runs. One is taken by each task that does no more than wait for the agent's code, by each
// goroutine that has just begun to wait for a socket, and by each that copies pages; Go takes those back every 10 ms only,
// where an engine was quiet. Without spare ones it is deaf for as long.
const spareProcessors = 4

// hurryWhenCalled waits for a byte on a descriptor: the snapshot that this engine was booted for is about to come. To load one
// makes as much garbage as to boot, which may not be given back yet.
func hurryWhenCalled(fd int, settling *time.Timer) {
	defer unix.Close(fd)
	var call [1]byte
	n, err := unix.Read(fd, call[:])
	for err == unix.EINTR {
		n, err = unix.Read(fd, call[:])
	}
	if n == len(call) {
		settling.Stop()
		debug.SetGCPercent(bootGCPercent)
		time.AfterFunc(settleAfter, func() {
			gomaxprocs.Add(-spareProcessors)
			settle()
		})
	}
}

// The annotations that carry what gVisor has no place for.
const (
	cpusAnnotation   = "dev.moorage.cpus"   // processors that the agent shall see
	memoryAnnotation = "dev.moorage.memory" // bytes of memory that it shall see
	doorsAnnotation  = "dev.moorage.doors"  // descriptors through which the engine enters its control groups
	callAnnotation   = "dev.moorage.call"   // descriptor by which an engine that waits is told that its snapshot comes
	statusAnnotation = "dev.moorage.status" // descriptor to which the engine writes how the agent ended
)

// reportingBoot is gVisor's boot command, which says at its end how the agent ended: an agent that
// exits at once may be gone, its engine with it, before anybody could ask.
type reportingBoot struct {
	sentrycmd.Boot
	report, call string // numbers of descriptors
}

func (b *reportingBoot) Execute(ctx context.Context, f *flag.FlagSet, args ...any) subcommands.ExitStatus {
	settling := time.AfterFunc(settleAfter, settle)
	defer settling.Stop()
	if call, err := strconv.Atoi(b.call); err == nil {
		gomaxprocs.Add(spareProcessors) // before boot sets the number, for each later change stops all goroutines
		go hurryWhenCalled(call, settling)
	}
	code := b.Boot.Execute(ctx, f, args...)
	if fd, err := strconv.Atoi(b.report); err == nil && code == subcommands.ExitSuccess {
		status := args[1].(*unix.WaitStatus)
		unix.Write(fd, binary.NativeEndian.AppendUint32(nil, uint32(*status)))
	}
	return code
}

// enterGroups takes an engine or its proxy into the sandbox's control groups before it takes memory.
// A failure is no reason to stop: the driver moves the engine itself, later.
func enterGroups(notes map[string]string) {
	for number := range strings.SplitSeq(notes[doorsAnnotation], ",") {
		if door, err := strconv.Atoi(number); err == nil {
			cgroup.Enter(door)
		}
	}
}

// withVisibleLimits tells a booting engine how many processors and how much memory to show inside.
// gVisor would derive them from a control group of its own making; and a runtime that sizes its
// heap or its threads by the host's would not fit its sandbox.
func withVisibleLimits(args []string, notes map[string]string) []string {
	at := slices.Index(args, "boot")
	if at < 0 {
		return args
	}
	for i, arg := range args {
		if arg == "--total-memory" && i+1 < len(args) {
			args[i+1] = atMost(args[i+1], notes[memoryAnnotation])
		}
	}
	if cpus := notes[cpusAnnotation]; cpus != "" {
		args = slices.Insert(args, at+1, "--cpu-num="+cpus)
	}
	return args
}

func atMost(have, want string) string {
	h, err1 := strconv.ParseUint(have, 10, 64)
	w, err2 := strconv.ParseUint(want, 10, 64)
	if err1 != nil || err2 != nil || h < w {
		return have
	}
	return want
}

// donatedAnnotations reads the spec's annotations from the descriptor that the engine was given, without
// moving its offset.
func donatedAnnotations(args []string) (map[string]string, error) {
	for _, arg := range args {
		value, ok := strings.CutPrefix(arg, "--spec-fd=")
		if !ok {
			continue
		}
		b, err := readDonated(value)
		if err != nil {
			return nil, err
		}
		var spec struct {
			Annotations map[string]string `json:"annotations"`
		}
		err = json.Unmarshal(b, &spec)
		return spec.Annotations, err
	}
	return nil, os.ErrNotExist
}

// readDonated reads a whole file by its descriptor, which stays open and where it was. The engine
// may no longer open the file by name.
func readDonated(value string) ([]byte, error) {
	fd, err := strconv.Atoi(value)
	if err != nil {
		return nil, err
	}
	var whole []byte
	buf := make([]byte, 32<<10)
	for {
		n, err := unix.Pread(fd, buf, int64(len(whole)))
		if n <= 0 || err != nil {
			return whole, err
		}
		whole = append(whole, buf[:n]...)
	}
}
