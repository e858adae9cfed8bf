// Package sandbox runs one agent per sandbox and says how it ended.
//
// A [Driver] is an isolation engine. It promises, and the conformance suite in sandboxtest holds
// every driver to it, that
//
//   - a sandbox that Create returned is running, and stays so until its process exits, Stop is
//     called, or a limit kills it: each with a cause that [Sandbox.Wait] reports;
//   - Stop leaves nothing behind: no process, mount, cgroup or file of the sandbox's own;
//   - whatever the process writes to stdout and stderr lands in the journal under Spec.LogDir,
//     bounded on disk, whether or not anybody reads it;
//   - nothing of the host can be reached from inside but what the Spec names.
//
// The package knows no sessions, callers or images: those rooms translate to a [Spec].
package sandbox

import (
	"context"
	"io"
	"net"
	"time"
)

// Isolation orders how far a driver keeps a sandbox from the host. A runtime may name the least
// that it accepts.
type Isolation int

const (
	None   Isolation = iota // a plain process: development only
	Kernel                  // a kernel of its own in user space (gVisor)
	VM                      // hardware virtualisation
)

func (i Isolation) String() string { return [...]string{"none", "kernel", "vm"}[i] }

// Driver is an isolation engine. Its methods may be called concurrently.
type Driver interface {
	Name() string
	Isolation() Isolation

	// Create starts a sandbox. It returns once the process runs, which is before the agent listens.
	// A failure leaves nothing behind. The same ID twice is a moorage.Conflict.
	Create(ctx context.Context, spec Spec) (Sandbox, error)

	// List returns the sandboxes that are alive, whoever created them: a server that restarts
	// finds its own again by their labels.
	List(ctx context.Context) ([]Sandbox, error)

	// Close lets go of the driver. Sandboxes behind a shim live on; those of an in-process driver end.
	Close() error
}

// Sandbox is one running agent.
type Sandbox interface {
	Info() Info

	// Relabel replaces the labels: a sandbox that was started ahead of need gets its owner's when
	// it is handed over. List shows the new ones from then on.
	Relabel(ctx context.Context, labels map[string]string) error

	// Pause stops every process in the sandbox where it is. It then uses no CPU and keeps its
	// memory and its open connections; what arrives on these waits. Pausing twice is pausing once.
	Pause(ctx context.Context) error

	// Resume lets the processes of a paused sandbox go on. It does nothing to one that runs.
	Resume(ctx context.Context) error

	// Dial opens a TCP connection to a port on the sandbox's own loopback.
	// It fails at once while nothing listens there, and with a moorage.Conflict while the sandbox is
	// paused: nobody would answer.
	Dial(ctx context.Context, port uint16) (net.Conn, error)

	// Exec starts another process in the sandbox; in a paused one it is a moorage.Conflict.
	Exec(ctx context.Context, cmd Command) (Process, error)

	Stats(ctx context.Context) (Stats, error)

	// Wait blocks until the sandbox has ended and says why. It may be called many times. Call Stop
	// after it: a driver that outlives its users remembers the exit until then.
	Wait(ctx context.Context) (Exit, error)

	// Stop sends SIGTERM, waits up to grace for the process to go, kills what is left and removes
	// every trace. Grace 0 kills at once. It may be called twice, and after the process ended; a
	// paused sandbox is resumed for its grace.
	Stop(ctx context.Context, grace time.Duration) error
}

// Sleeper is a Sandbox that can be put to sleep on disk.
type Sleeper interface {
	Sandbox

	// Checkpoint freezes the sandbox into dir, see package snapshot, and ends it: afterwards nothing
	// of it takes memory, and Wait reports an Exit that was asked for. What an earlier snapshot there
	// held is replaced. When it fails the sandbox lives on as it was, and dir holds what it held.
	// Commands that Exec started die; connections outward, and into the sandbox, are cut.
	// Errors: moorage.Unsupported for a sandbox that cannot sleep, moorage.Unavailable when the disk is full.
	Checkpoint(ctx context.Context, dir string) error
}

// Reseeder is a Sandbox that can be told to forget the randomness that it shares with other clones.
type Reseeder interface {
	Sandbox

	// Reseed has every process in the sandbox give its random generators new entropy, and returns once
	// each said that it did. A clone must not serve anybody before: see package reseed. What it wants to
	// send outward waits until Reseed has succeeded, for ten seconds at most. Reseed takes a few
	// milliseconds where all goes well; call it once before a snapshot is taken, too, so that what
	// cannot be cloned is known early, and clones find everything loaded.
	//
	// Errors: moorage.Unsupported, naming the process, when one did not say so in time or said that it
	// cannot, and for a sandbox that was created without Spec.Reseeder: it must not serve as a clone.
	// moorage.Conflict while the sandbox is paused.
	Reseed(ctx context.Context) error
}

// Waker is a Driver that can wake what sleeps.
type Waker interface {
	Driver

	// Restore wakes the sandbox that sleeps in dir, with its id, labels, limits and journal, its
	// memory and its files as they were, and removes the snapshot. It runs when Restore returns.
	// Errors: moorage.NotFound when nothing sleeps there; moorage.Conflict when it can never be woken
	// (damaged, or frozen by a build that is gone); others may pass. On failure the snapshot stays.
	Restore(ctx context.Context, dir string) (Sandbox, error)
}

// Cloner is a Waker that can start many sandboxes from one frozen moment.
type Cloner interface {
	Waker

	// Clone starts a further sandbox from what is frozen in dir, and leaves the snapshot as it is. The
	// clone has its own id, labels, journal, memory and files; what the original held open outward is
	// aborted, and none of it hangs. It runs when Clone returns.
	//
	// Clones share what programs made of chance before the moment: two of them may hand out the same
	// "random" bytes until each was reseeded. Whoever serves callers from a clone sees to that first.
	//
	// Errors are those of Restore, and moorage.Unsupported where a mount would be shared: see CloneSpec.
	// A failure leaves nothing behind.
	Clone(ctx context.Context, dir string, as CloneSpec) (Sandbox, error)
}

// Preparer is a Cloner that can do the first part of a clone's start ahead of need.
type Preparer interface {
	Cloner

	// Prepare starts an engine that waits to become a clone of what is frozen in dir. Until it has, nothing
	// runs in the sandbox, and nobody can connect to it. Errors are those of Clone.
	Prepare(ctx context.Context, dir string, as CloneSpec) (Prepared, error)
}

// Prepared is a sandbox that waits to become a clone.
type Prepared interface {
	Sandbox

	// Load makes the sandbox what Clone would have started. It is called once; a failure ends the sandbox.
	Load(ctx context.Context) error
}

// CloneSpec is what a clone does not have from its original.
type CloneSpec struct {
	ID     string            `json:"id"` // NewID
	Labels map[string]string `json:"labels,omitempty"`
	LogDir string            `json:"logDir"`

	// Mounts replace the original's of the same targets. One that the sandbox may write to has to be
	// replaced: its files would be several sandboxes', each sure to be alone with them.
	Mounts []Mount `json:"mounts,omitempty"`
}

// Info is what a driver remembers of a sandbox for whoever finds it by List.
type Info struct {
	ID        string            `json:"id"`
	Labels    map[string]string `json:"labels,omitempty"` // of the Spec, or of the last Relabel; never interpreted
	LogDir    string            `json:"logDir"`
	Engine    string            `json:"engine"` // driver name and build, such as "gvisor 3f9c…"
	Isolation Isolation         `json:"isolation"`
	CreatedAt time.Time         `json:"createdAt"`
	Cloned    bool              `json:"cloned,omitempty"` // it began, at CreatedAt, as a copy of what another one remembers

	// Unenforced names the limits that this machine cannot hold the sandbox to, such as "memory"
	// where no cgroup is writable. Empty on a machine where all hold.
	Unenforced []string `json:"unenforced,omitempty"`
}

// Spec describes a sandbox. The zero value of each limit means the driver's default.
type Spec struct {
	ID      string            `json:"id"` // NewID; engines match ids by prefix, so all have one length
	Labels  map[string]string `json:"labels,omitempty"`
	Root    Root              `json:"root"`
	Process ProcessSpec       `json:"process"`
	Mounts  []Mount           `json:"mounts,omitempty"`
	Limits  Limits            `json:"limits"`
	Network Network           `json:"network"`
	LogDir  string            `json:"logDir"` // host directory for the journal; made if absent, kept after Stop

	// Reseeder gives the sandbox what Reseed needs: a read-only directory of the platform's, two
	// variables in the environment and a link to the platform. Plain processes ignore it.
	Reseeder bool `json:"reseeder,omitempty"`
}

// Root is the root file system, read-only below an overlay in memory.
// Exactly one of its members is set. With egress, its /etc/resolv.conf must name 10.0.2.2.
type Root struct {
	EROFS string `json:"erofs,omitempty"` // host path of an EROFS image
	Dir   string `json:"dir,omitempty"`   // host directory, where EROFS cannot be
	Host  string `json:"host,omitempty"`  // process driver only: the host's own root; the working directory of the agent
}

// ProcessSpec is the first process of a sandbox.
type ProcessSpec struct {
	Args []string `json:"args"`
	Env  []string `json:"env,omitempty"`  // KEY=VALUE; nothing of a session may be here
	Dir  string   `json:"dir,omitempty"`  // default "/"
	User string   `json:"user,omitempty"` // "uid[:gid]" in numbers; empty is root inside the sandbox
}

// Mount binds a host directory into the sandbox.
type Mount struct {
	Source   string `json:"source"`
	Target   string `json:"target"`
	ReadOnly bool   `json:"readOnly,omitempty"`
}

// Limits bound what one sandbox can take from the host.
type Limits struct {
	MemoryBytes  int64 `json:"memoryBytes,omitempty"`  // default 8 GiB; more is a kill, reported as OutOfMemory
	MilliCPU     int64 `json:"milliCPU,omitempty"`     // default 2000
	PIDs         int64 `json:"pids,omitempty"`         // default 1024 processes of the agent
	OverlayBytes int64 `json:"overlayBytes,omitempty"` // default 1 GiB of writes above the root; more is ENOSPC inside
	JournalBytes int64 `json:"journalBytes,omitempty"` // default 16 MiB on disk, oldest dropped first
}

// Network says what the sandbox may reach. The zero value reaches nothing.
type Network struct {
	Egress Egress `json:"egress,omitempty"`
	// Hosts, when set with EgressPublic, is the whole allow-list: names or name:port.
	Hosts []string `json:"hosts,omitempty"`
	// Allow holds exceptions that the platform grants, never the tenant: "host:port" or
	// "CIDR:port", with "*" for any port. They hold with EgressNone too, and for private addresses:
	// a company's package index, say. What an entry names on the host's own loopback is reached
	// from inside at the gateway's address, 10.0.2.2, where our DNS sends the name.
	Allow []string `json:"allow,omitempty"`
	// Door is the host path of a socket, see package door: what the sandbox sends to the platform's own
	// addresses, such as 169.254.169.254, goes there. Empty is none. It needs no egress. A driver
	// without isolation has no such address to offer, and ignores it.
	Door string `json:"door,omitempty"`
}

// Egress is the outward rule of a sandbox's gateway.
type Egress string

const (
	EgressNone   Egress = "none"   // loopback only
	EgressPublic Egress = "public" // public addresses; never private ranges, link-local, the host or other sandboxes
)

// Command is a further process in a running sandbox.
type Command struct {
	Args []string
	Env  []string // added to the agent's own environment
	Dir  string   // default: the agent's
	// Stdin is read by the driver until EOF or until the process ends. Nil is /dev/null.
	Stdin  io.Reader
	Stdout io.Writer // nil discards
	Stderr io.Writer
	// Terminal, when there is one, is what the command runs on: it is of that size, Stdin is typed on
	// it, and Stdout gets what it shows. Stderr is nil then. Exec returns a TerminalProcess.
	Terminal *Size
}

// Process is a running Command.
type Process interface {
	// Wait returns once the process ended and all its output was written.
	Wait() (Exit, error)
	Kill() error
}

// Exit says how a sandbox or a process ended.
type Exit struct {
	Code        int       `json:"code"`             // exit status; -1 when a signal or the platform ended it
	Signal      string    `json:"signal,omitempty"` // such as "SIGSEGV"
	OutOfMemory bool      `json:"outOfMemory,omitempty"`
	Stopped     bool      `json:"stopped,omitempty"` // Stop asked for it
	Cause       string    `json:"cause"`             // for people, who read it after "the agent": "exited with status 1"
	At          time.Time `json:"at"`
}

// Stats is what a sandbox has used so far.
type Stats struct {
	CPU         time.Duration `json:"cpu"`         // of all its processes and its kernel
	MemoryBytes int64         `json:"memoryBytes"` // now
	PeakBytes   int64         `json:"peakBytes"`
	EgressBytes int64         `json:"egressBytes"` // sent outward through the gateway
	Outward     int           `json:"outward"`     // connections outward that are open now
}
