package gvisor

import (
	_ "unsafe" // for go:linkname

	"gvisor.dev/gvisor/pkg/seccomp/precompiledseccomp"
	_ "gvisor.dev/gvisor/pkg/sentry/seccheck"
	"gvisor.dev/gvisor/pkg/sync"
	_ "gvisor.dev/gvisor/runsc/boot/filter"
	_ "gvisor.dev/gvisor/runsc/fsgofer/filter"
)

//go:generate go run ./gen

// gVisor has a place for precompiled system call filters, which its own build fills and a Go
// module's cannot. These name the variables behind that place.

//go:linkname bootFiltersOnce gvisor.dev/gvisor/runsc/boot/filter.registerPrecompiledProgramsOnce
var bootFiltersOnce sync.Once

//go:linkname bootFilterPrograms gvisor.dev/gvisor/runsc/boot/filter.precompiledPrograms
var bootFilterPrograms map[string]precompiledseccomp.Program

//go:linkname goferFiltersOnce gvisor.dev/gvisor/runsc/fsgofer/filter.registerPrecompiledProgramsOnce
var goferFiltersOnce sync.Once

//go:linkname goferFilterPrograms gvisor.dev/gvisor/runsc/fsgofer/filter.precompiledPrograms
var goferFilterPrograms map[string]precompiledseccomp.Program

//go:linkname stubFilterPrograms gvisor.dev/gvisor/pkg/sentry/platform/systrap.CompiledFilters
var stubFilterPrograms map[string]precompiledseccomp.Program

// gVisor registers some hundred points at which a tracer could watch a sandbox. Nobody may here.
//
//go:linkname tracePointsOnce gvisor.dev/gvisor/pkg/sentry/seccheck.initOnce
var tracePointsOnce sync.Once

// withoutTracePoints spares an engine the registering, 3 ms.
func withoutTracePoints() { tracePointsOnce.Do(func() {}) }

// useCompiledFilters spares an engine the compiling, 24 ms. An architecture that has no generated
// programs, or a configuration that is not among them, compiles as before.
func useCompiledFilters() {
	bootFiltersOnce.Do(func() { bootFilterPrograms = bootFilters() })
	goferFiltersOnce.Do(func() { goferFilterPrograms = goferFilters() })
	stubFilterPrograms = stubFilters()
}
