//go:build !amd64

package gvisor

import "gvisor.dev/gvisor/pkg/seccomp/precompiledseccomp"

func bootFilters() map[string]precompiledseccomp.Program  { return nil }
func goferFilters() map[string]precompiledseccomp.Program { return nil }
func stubFilters() map[string]precompiledseccomp.Program  { return nil }
