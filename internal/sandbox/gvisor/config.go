package gvisor

import (
	"fmt"
	"strconv"

	"github.com/moorage-dev/moorage/internal/sandbox"
	"gvisor.dev/gvisor/runsc/config"
	"gvisor.dev/gvisor/runsc/flag"
)

// engineConfig returns gVisor's settings for one sandbox.
//
// Direct access to the file system lets the engine open files of the host by itself. It is off
// wherever it can be: an engine with an EROFS root needs none, and one with mounts asks its proxy.
// A user namespace that maps a single user leaves no choice: there the engine cannot become nobody.
//
// words is a file that the engine says its last words to.
func engineConfig(stateDir, words string, spec sandbox.Spec, singleUser bool, debugDir string) (*config.Config, error) {
	args := []string{
		"--root=" + stateDir,
		"--log=" + words,
		"--panic-log=" + words,
		"--network=sandbox",
		"--platform=systrap",
		"--ignore-cgroups", // ours: see package cgroup
		"--host-settings=ignore",
		"--gofer-network-namespace=new", // a shared one would be a mount that nobody removes
		"--allow-live-tcp-migration=false",
		"--software-gso=false",
		"--directfs=" + strconv.FormatBool(singleUser),
		"--overlay2=" + overlayFlag(spec),
	}
	if debugDir != "" {
		args = append(args, "--debug", "--debug-log="+debugDir+"/")
	}
	flags := flag.NewFlagSet("engine", flag.ContinueOnError)
	config.RegisterFlags(flags)
	if err := flags.Parse(args); err != nil {
		return nil, fmt.Errorf("engine settings: %w", err)
	}
	return config.NewFromFlags(flags)
}

// overlayFlag puts writes above the root into memory. Mounts are written through.
func overlayFlag(spec sandbox.Spec) string {
	return "root:memory,size=" + strconv.FormatInt(spec.Limits.OverlayBytes, 10)
}

// mended is "yes" in a binary that make built: its engine has the faults mended that cmd mend names.
var mended string

// Mended reports whether this program's engine hands on every byte of a large request to an agent
// that reads slowly. A plain go build links gVisor as it is, which does not.
func Mended() bool { return mended != "" }
