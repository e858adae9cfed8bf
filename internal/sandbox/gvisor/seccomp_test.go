package gvisor

import (
	"reflect"
	"testing"
	_ "unsafe" // for go:linkname

	"gvisor.dev/gvisor/pkg/seccomp"
	"gvisor.dev/gvisor/pkg/seccomp/precompiledseccomp"
)

//go:linkname stubFilterSources gvisor.dev/gvisor/pkg/sentry/platform/systrap.FilterPrograms
var stubFilterSources map[string]struct {
	Variables []string
	Of        func(precompiledseccomp.Values) *seccomp.Program
}

func TestStubFilters_areWhatGVisorCompiles(t *testing.T) {
	compiled := stubFilters()
	if compiled == nil {
		t.Skip("nobody generated them for this architecture")
	}
	if len(stubFilterSources) == 0 {
		t.Skip("needs the mended gVisor")
	}
	if len(stubFilterSources) != len(compiled) {
		t.Errorf("%d programs, want %d", len(compiled), len(stubFilterSources))
	}
	for name, source := range stubFilterSources {
		for _, address := range []uint64{0x7000_0000_0000, 0x7fff_1234_5000, 0x1_ffff_f000} {
			values := precompiledseccomp.Values{}
			for i, variable := range source.Variables {
				values.SetUint64(variable, address+uint64(i)<<12)
			}
			want, _, err := source.Of(values).Build()
			if err != nil {
				t.Fatal(err)
			}
			got, err := compiled[name].RenderInstructions(values)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("the %s filter at %#x is not what gVisor compiles: run go generate", name, address)
			}
		}
	}
}
