package cli

import (
	"archive/zip"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
)

func writeTree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func packed(t *testing.T, dir string, ignore ...string) (*bundle, []string) {
	t.Helper()
	b, err := pack(dir, ignore)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	z, err := zip.NewReader(b.file, b.size)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range z.File {
		names = append(names, f.Name)
	}
	return b, names
}

func TestPack_sameFilesSameBytesWhereverAndWhenever(t *testing.T) {
	files := map[string]string{"agent.py": "print(1)", "lib/a.py": "a = 1", "requirements.txt": ""}
	one, two := writeTree(t, files), writeTree(t, files)
	if err := os.Chmod(filepath.Join(two, "agent.py"), 0o600); err != nil {
		t.Fatal(err)
	}
	a, names := packed(t, one)
	b, _ := packed(t, two)
	if a.sha256 != b.sha256 || a.size != b.size {
		t.Errorf("two bundles of the same files differ: %s, %s", a.sha256, b.sha256)
	}
	if want := []string{"agent.py", "lib/a.py", "requirements.txt"}; !slices.Equal(names, want) {
		t.Errorf("packed %v, want %v", names, want)
	}
}

func TestPack_leavesOutWhatNoAgentNeedsAndSecrets(t *testing.T) {
	dir := writeTree(t, map[string]string{
		"agent.py": "", ".env": "KEY=secret", ".env.local": "", ".git/config": "", "__pycache__/agent.pyc": "", "my-venv/pyvenv.cfg": "", "my-venv/bin/python": "",
		"moorage.yaml": "env: {KEY: secret}", "data/big.bin": "", "data/keep.txt": "", "notes.tmp": "",
	})
	_, names := packed(t, dir, "*.tmp", "data/big.bin")
	if want := []string{"agent.py", "data/keep.txt"}; !slices.Equal(names, want) {
		t.Errorf("packed %v, want %v", names, want)
	}
}

func TestPack_linkThatLeavesTheDirectoryIsRefused(t *testing.T) {
	dir := writeTree(t, map[string]string{"agent.py": "", "real.txt": "inside"})
	if err := os.Symlink("real.txt", filepath.Join(dir, "inside.txt")); err != nil {
		t.Fatal(err)
	}
	if _, names := packed(t, dir); !slices.Contains(names, "inside.txt") {
		t.Errorf("a link inside was not packed: %v", names)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "outside.txt")); err != nil {
		t.Fatal(err)
	}
	if _, err := pack(dir, nil); err == nil {
		t.Error("a link to /etc/passwd was packed")
	}
}

func TestPrintEvents_showsTextAsItIsMeant(t *testing.T) {
	for _, test := range []struct{ name, stream, want string }{
		{"strings are text", "data: \"Hel\"\n\ndata: \"lo\"\n\n", "Hello"},
		{"carriage returns", "data: \"a\"\r\n\r\ndata: \"b\"\r\n\r\n", "ab"},
		{"strands", `data: {"data":"x"}` + "\n\n" + `data: {"event":{"contentBlockDelta":{"delta":{"text":"y"}}}}` + "\n\n", "xy"},
		{"ag-ui", `data: {"type":"TEXT_MESSAGE_CONTENT","delta":"z"}` + "\n\n", "z"},
		{"other objects are lines", `data: {"step":1}` + "\n\n" + `data: {"step":2}` + "\n\n", "{\"step\":1}\n{\"step\":2}\n"},
		{"not JSON", "data: plain\n\n", "plain\n"},
		{"several data lines are one event", "data: {\"step\":\ndata: 1}\n\n", "{\"step\":\n1}\n"},
		{"comments and names are skipped", ": hello\nevent: x\nid: 1\ndata: \"a\"\n\n", "a"},
		{"no blank line at the end", "data: \"a\"", "a"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out strings.Builder
			if err := printEvents(&out, strings.NewReader(test.stream)); err != nil || out.String() != test.want {
				t.Errorf("printed %q, %v; want %q", out.String(), err, test.want)
			}
		})
	}
}

func TestPrintEvents_errorEventFails(t *testing.T) {
	var out strings.Builder
	err := printEvents(&out, strings.NewReader("data: \"a\"\n\ndata: {\"error\":\"boom\",\"error_type\":\"ValueError\",\"message\":\"An error occurred during streaming\"}\n\n"))
	if err == nil || !strings.Contains(err.Error(), "boom (ValueError)") || out.String() != "a" {
		t.Errorf("printed %q, %v", out.String(), err)
	}
}

func TestSettings_whatRunsEqualsWhatWasWanted(t *testing.T) {
	p := &project{Name: "hello", Protocol: "HTTP", Env: map[string]string{"A": "1"}, Headers: []string{"X-B", "x-a"}}
	private := privateEndpoint{VPC: &vpcResource{ID: "vpc-0a1b2c3d", Subnets: []string{"subnet-0a1b2c3d"}, AddressType: "IPV4", RoutingDomain: "lb.corp.example"}}
	p.Authorizer = &authorizer{DiscoveryURL: "https://id/.well-known/openid-configuration", privateWay: privateWay{&private, []privateEndpointOverride{{"keys", private}}}, Workloads: workloadsNamed([]string{"gateway", "arn:aws:x"})}
	want := p.settings(artifact{Bucket: "b", Key: "k", Runtime: "PYTHON_3_11", EntryPoint: []string{"opentelemetry-instrument", "agent.py"}}, "role")
	in := want.createInput("hello", nil)
	running := &bedrockagentcorecontrol.GetAgentRuntimeOutput{
		AgentRuntimeArtifact: in.AgentRuntimeArtifact, RoleArn: in.RoleArn, EnvironmentVariables: in.EnvironmentVariables,
		RequestHeaderConfiguration: in.RequestHeaderConfiguration, LifecycleConfiguration: in.LifecycleConfiguration,
		NetworkConfiguration: in.NetworkConfiguration, Description: in.Description, AuthorizerConfiguration: in.AuthorizerConfiguration, // no protocol: HTTP goes without saying
	}
	if have := currentSettings(running); !want.equal(have) {
		t.Errorf("running %+v, wanted %+v", have, want)
	}
	for name, change := range map[string]func(*project){
		"env":         func(p *project) { p.Env = map[string]string{"A": "2"} },
		"header":      func(p *project) { p.Headers = nil },
		"idle":        func(p *project) { p.IdleTimeout = duration(60e9) },
		"description": func(p *project) { p.Description = "new" },
		"endpoint": func(p *project) {
			a := *p.Authorizer
			a.PrivateEndpoint, p.Authorizer = &privateEndpoint{Lattice: &latticeResource{"rcfg-0a1b2c3d4e5f6a7b8"}}, &a
		},
	} {
		q := *p
		change(&q)
		if q.settings(want.Artifact, "role").equal(currentSettings(running)) {
			t.Errorf("a change of %s was not seen", name)
		}
	}
}

func TestSettings_updateKeepsWhatTheProjectCannotSay(t *testing.T) {
	before := &bedrockagentcorecontrol.GetAgentRuntimeOutput{
		AgentRuntimeId:       aws.String("hello-0123456789"),
		NetworkConfiguration: &types.NetworkConfiguration{NetworkMode: types.NetworkModeVpc},
		FilesystemConfigurations: []types.FilesystemConfiguration{&types.FilesystemConfigurationMemberSessionStorage{
			Value: types.SessionStorageConfiguration{MountPath: aws.String("/mnt/work")}}},
		AuthorizerConfiguration: &types.AuthorizerConfigurationMemberCustomJWTAuthorizer{Value: types.CustomJWTAuthorizerConfiguration{
			DiscoveryUrl: aws.String("https://id/.well-known/openid-configuration"), AdvertisedScopeMapping: map[string]string{"a": "b"}}},
	}
	s := (&project{Protocol: "HTTP"}).settings(artifact{Image: "x"}, "role")
	s.Authorizer = currentSettings(before).Authorizer
	in := s.updateInput(before)
	auth, ok := in.AuthorizerConfiguration.(*types.AuthorizerConfigurationMemberCustomJWTAuthorizer)
	if !ok || auth.Value.AdvertisedScopeMapping["a"] != "b" {
		t.Error("the authorizer was not carried over whole")
	}
	s.Authorizer = &authorizer{DiscoveryURL: s.Authorizer.DiscoveryURL, AllowedClients: []string{"new"}}
	auth = s.updateInput(before).AuthorizerConfiguration.(*types.AuthorizerConfigurationMemberCustomJWTAuthorizer)
	if auth.Value.AdvertisedScopeMapping["a"] != "b" || len(auth.Value.AllowedClients) != 1 {
		t.Errorf("of an authorizer that changed, this is left: %+v", auth.Value)
	}
	if in.NetworkConfiguration.NetworkMode != types.NetworkModeVpc || len(in.FilesystemConfigurations) != 1 {
		t.Error("network or storage was not carried over")
	}
}

func TestNameFrom(t *testing.T) {
	for dir, want := range map[string]string{"/x/hello": "hello", "/x/my-first.agent": "my_first_agent", "/x/1st": "agent_1st", "/": "agent", "/x/…": "agent"} {
		if got := nameFrom(dir); got != want || !validName.MatchString(got) {
			t.Errorf("nameFrom(%q) = %q, want %q", dir, got, want)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{"": 0, "512M": 512 << 20, "4G": 4 << 30, "4GiB": 4 << 30, "1t": 1 << 40, "1048576": 1 << 20} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("parseSize(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"much", "-1G", "G", "0"} {
		if _, err := parseSize(text); !errors.As(err, new(usageError)) {
			t.Errorf("parseSize(%q): %v", text, err)
		}
	}
}

func TestMatching(t *testing.T) {
	list := []sessionInfo{{ID: "sabc1", SessionID: "one"}, {ID: "sabc2", SessionID: "two"}, {ID: "sabc", SessionID: "two"}}
	for word, want := range map[string]int{"sabc": 1, "sabc1": 1, "sab": 3, "one": 1, "two": 2, "zzz": 0} {
		if got := matching(list, word); len(got) != want {
			t.Errorf("matching(%q) found %d, want %d", word, len(got), want)
		}
	}
}

func FuzzPrintEvents(f *testing.F) {
	f.Add("data: \"a\"\n\ndata: {\"text\":\"b\"}\n\n")
	f.Add("data\ndata:\n\n\x00")
	f.Fuzz(func(t *testing.T, stream string) {
		var out strings.Builder
		_ = printEvents(&out, strings.NewReader(stream)) // an error event is an error; only a panic or invented text is wrong
		if out.Len() > 3*len(stream)+1 {
			t.Errorf("%d bytes became %d", len(stream), out.Len())
		}
	})
}
