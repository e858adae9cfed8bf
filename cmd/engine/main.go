// Command engine is the shim and the engine in each sandbox: the part of moorage that sandboxes need. It
// is not for people to start; moorage carries it, see package engine.
package main

import (
	"fmt"
	"os"
	"runtime"

	"github.com/moorage-dev/moorage/internal/sandbox/shim"
)

func main() {
	runtime.MemProfileRate = 0 // nobody reads such a profile, and each sandbox would take the samples
	shim.Enter()               // does not return when this process is a shim or an engine
	fmt.Fprintln(os.Stderr, "this is a part of moorage, which starts it by itself")
	os.Exit(2)
}
