// Command moorage is the whole product: server, shim, sandbox engine and commands.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/moorage-dev/moorage/internal/cli"
	"github.com/moorage-dev/moorage/internal/lazy"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/shim"
	"github.com/moorage-dev/moorage/internal/server"
)

// version is set by the linker.
var version = "dev"

func main() {
	runtime.MemProfileRate = 0 // nobody reads such a profile, and to take the samples is 1 % of a call
	shim.Enter()               // does not return when this process is a shim or an engine
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, cli.Hooks{Serve: serve, Down: server.Down, Version: version})
	stop()
	os.Exit(code)
}

// collectLess trades memory for time: a server's own heap is small, so that at Go's default a garbage
// collection comes every few hundred calls and takes a fifth of their CPU. Four times what lives is
// garbage at most, and no more than brings the process to half of the machine's memory. GOGC and
// GOMEMLIMIT go before.
func collectLess() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	var info unix.Sysinfo_t
	if os.Getenv("GOMEMLIMIT") == "" && unix.Sysinfo(&info) == nil {
		debug.SetMemoryLimit(int64(info.Totalram) * int64(info.Unit) / 2)
	}
}

// When garbage is given back: so much of it, and so little that was made since it was looked at last, are a busy
// time that is over. A server that rests does not look: its next collection, which the Go runtime has every two
// minutes at the latest, says when there is something to look at.
const (
	giveBackEvery = 5 * time.Second
	muchGarbage   = 32 << 20
	quiet         = 8 << 20
)

// giveBack returns to the machine what a busy time left behind, until ctx ends: else it would lie there until as much
// garbage came again, and sandboxes need the memory.
func giveBack(ctx context.Context) {
	read := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}}
	made := uint64(0)
	looks := lazy.NewTicker(giveBackEvery)
	afterCollections(looks.Wake)
	looks.Run(ctx, func() time.Duration {
		metrics.Read(read)
		live, held := read[1].Value.Uint64(), read[2].Value.Uint64()+read[3].Value.Uint64()+read[4].Value.Uint64()
		busy := read[0].Value.Uint64()-made >= quiet
		made = read[0].Value.Uint64()
		if busy {
			return giveBackEvery
		}
		if held > live+muchGarbage {
			debug.FreeOSMemory()
		}
		return 0
	})
}

// afterCollections calls f after every garbage collection from now on: each finds an object that nobody holds, and
// leaves one for the next.
func afterCollections(f func()) {
	runtime.AddCleanup(&struct{ _ *int }{}, func(f func()) { f(); afterCollections(f) }, f)
}

func serve(ctx context.Context, o cli.ServeOptions) error {
	collectLess()
	go giveBack(ctx)
	return server.Run(ctx, server.Options{
		Dir: o.Dir, Listen: o.Listen, PublicURL: o.PublicURL, TLSCert: o.TLSCert, TLSKey: o.TLSKey, BehindProxy: o.BehindProxy,
		Isolation: o.Isolation, MaxSessions: o.MaxSessions, Quotas: o.Quotas, Starts: o.Starts, PauseAfter: o.PauseAfter, SleepAfter: o.SleepAfter, PoolMemory: o.PoolMemory, LocalRegistries: o.LocalRegistries,
		Forward: o.Forward, ForwardHeaders: o.ForwardHeaders, KeepTelemetry: o.KeepTelemetry, TelemetryLimit: o.TelemetryLimit, ProviderNetworks: o.ProviderNetworks, PrivateEndpoints: o.PrivateEndpoints, PrivateCAs: o.PrivateCAs, Limits: sandbox.Limits{MemoryBytes: o.MemoryLimit, MilliCPU: o.CPULimit},
		Console:  server.ConsoleLogin{Issuer: o.ConsoleIssuer, ClientID: o.ConsoleClientID, ClientSecret: o.ConsoleSecret, Scopes: o.ConsoleScopes, Grants: o.ConsoleGrants},
		Embedder: o.Embedder, EmbedderKey: o.EmbedderKey, VaultKeys: o.VaultKeys, Transit: o.Transit,
		Version: version, Log: o.Log, Ready: o.Ready,
	})
}
