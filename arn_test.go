package moorage_test

import (
	"strings"
	"testing"

	"github.com/moorage-dev/moorage"
)

func TestARN_runtimeID(t *testing.T) {
	long := strings.Repeat("a", 100)
	for resource, want := range map[string][2]string{
		"runtime/hello-0123456789":                               {"hello-0123456789", ""},
		"runtime/h-abcdefghiJ":                                   {"h-abcdefghiJ", ""},
		"runtime/" + long + "-0123456789":                        {long + "-0123456789", ""},
		"runtime/he_11o-0123456789/runtime-endpoint/DEFAULT":     {"he_11o-0123456789", "DEFAULT"},
		"runtime/hello-0123456789/runtime-endpoint/" + long[:48]: {"hello-0123456789", long[:48]},
		"runtime/hello-0123456789/runtime-endpoint/" + long[:49]: {},
		"runtime/hello-0123456789/runtime-endpoint/":             {},
		"runtime/hello-0123456789/runtime-endpoint/a/b":          {},
		"runtime/hello-0123456789/runtime-endpoint/9a":           {},
		"runtime/hello-0123456789/":                              {},
		"runtime/a" + long + "-0123456789":                       {},
		"runtime/hello-012345678":                                {},
		"runtime/hello-01234567890":                              {},
		"runtime/hel-lo-0123456789":                              {},
		"runtime/-0123456789":                                    {},
		"runtime/9ello-0123456789":                               {},
		"runtime/_ello-0123456789":                               {},
		"runtime/hello-012345678_":                               {},
		"runtime/hello-012345678é":                               {},
		"runtime/héllo-0123456789":                               {},
		"runtime/hello-0123456789\n":                             {},
		"runtime/../hello-0123456789":                            {},
		"runtime/":                                               {},
		"memory/hello-0123456789":                                {},
	} {
		arn, err := moorage.ParseARN("arn:aws:bedrock-agentcore:us-east-1:123456789012:" + resource)
		if err != nil {
			t.Fatal(err)
		}
		id, endpoint, err := arn.RuntimeID()
		if got := [2]string{id, endpoint}; got != want || (err == nil) != (want[0] != "") {
			t.Errorf("%s: %q, %v", resource, got, err)
		}
	}
	if _, _, err := (moorage.ARN{Service: "lambda", Resource: "runtime/hello-0123456789"}).RuntimeID(); err == nil {
		t.Error("a function is no runtime")
	}
}
