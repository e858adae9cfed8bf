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

// What parses is written as it was read, and whatever it names is named by what it says.
func FuzzParseARN(f *testing.F) {
	for _, text := range []string{
		"arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/hello-0123456789", "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/hello-0123456789/runtime-endpoint/DEFAULT",
		"arn:aws:iam::123456789012:role/app/x", "arn:aws:s3:::bucket/a:b", "arn:::::", "arn:aws:bedrock-agentcore:::workload-identity-directory/default/workload-identity/x", "arn:aws:x:y:z:\x00",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		arn, err := moorage.ParseARN(text)
		if err != nil {
			if moorage.CodeOf(err) != moorage.Invalid {
				t.Fatalf("%v is not coded", err)
			}
			return
		}
		if arn.String() != text {
			t.Fatalf("%q is written %q", text, arn)
		}
		if name := arn.WorkloadName(); name != "" && moorage.WorkloadIdentityARN(arn.Region, arn.Account, name).Resource != arn.Resource {
			t.Fatalf("%q names the workload %q", text, name)
		}
		id, endpoint, err := arn.RuntimeID()
		if err != nil {
			return
		}
		named := moorage.RuntimeARN(arn.Region, arn.Account, id)
		if endpoint != "" {
			named = moorage.EndpointARN(arn.Region, arn.Account, id, endpoint)
		}
		if named.Resource != arn.Resource || strings.ContainsAny(id+endpoint, "/:.\\\x00") {
			t.Fatalf("%q names %q and %q", text, id, endpoint)
		}
	})
}
