package compat

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
)

func TestAccess_usersRolesAndPoliciesByBoto3(t *testing.T) {
	s := shared(t)
	a := s.deployed(t, probe)
	cmd := exec.CommandContext(t.Context(), python(t), "-u", "py/access.py", a.arn)
	cmd.Env = s.environment()
	raw, err := cmd.CombinedOutput()
	out := string(raw)
	if err != nil || !strings.Contains(out, "all done") {
		t.Errorf("%s (%v)", out, err)
	}
}

// callBy calls the agent, signed with another key.
func (a *agent) callBy(t *testing.T, key clientFile) error {
	session := newSession(t)
	_, err := a.server.data().InvokeAgentRuntime(t.Context(), &data.InvokeAgentRuntimeInput{
		AgentRuntimeArn: &a.arn, RuntimeSessionId: &session, Payload: []byte(`{"op":"state"}`),
	}, func(o *data.Options) { o.Credentials = key })
	return err
}

func TestAccess_aKeyThatIsRefusedIsExplainedToAdministrators(t *testing.T) {
	s := shared(t)
	a := s.deployed(t, probe)
	made, err := s.cli(t.Context(), "keys", "create", "--user", "carol")
	if err != nil {
		t.Fatal(err, made)
	}
	value := func(name string) string { return regexp.MustCompile(name + `=(\S+)`).FindStringSubmatch(made)[1] }
	carol := clientFile{AccessKeyID: value("AWS_ACCESS_KEY_ID"), SecretAccessKey: value("AWS_SECRET_ACCESS_KEY")}
	err = a.callBy(t, carol)
	refused := wantError(t, err, "AccessDeniedException")
	if strings.Contains(err.Error(), "no policy") {
		t.Errorf("the caller is told why: %v", err)
	}
	id := regexp.MustCompile(`RequestID: ([\w-]+)`).FindStringSubmatch(err.Error())
	if id == nil {
		t.Fatalf("no request id in %v (%v)", err, refused)
	}
	out, err := s.cli(t.Context(), "policy", "explain", id[1])
	if err != nil || !strings.Contains(out, "no policy of arn:aws:iam::"+s.client.Account+":user/carol allows bedrock-agentcore:InvokeAgentRuntime") {
		t.Errorf("%s (%v)", out, err)
	}
	doc := filepath.Join(t.TempDir(), "p.json")
	text := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"bedrock-agentcore:InvokeAgentRuntime","Resource":["` + a.arn + `","` + a.arn + `/endpoint/DEFAULT"]}}`
	if err := os.WriteFile(doc, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := s.cli(t.Context(), "policy", "lint", doc); err == nil || !strings.Contains(out, "/endpoint/DEFAULT can match nothing") {
		t.Errorf("lint: %s (%v)", out, err)
	}
	if err := os.WriteFile(doc, []byte(strings.Replace(text, "/endpoint/", "/runtime-endpoint/", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"policy", "lint", doc}, {"policy", "put", "--user", "carol", "--name", "call", doc},
		{"policy", "simulate", "--principal", "carol", "--action", "bedrock-agentcore:InvokeAgentRuntime", "--resource", a.arn},
	} {
		if out, err := s.cli(t.Context(), args...); err != nil {
			t.Errorf("%v: %s (%v)", args, out, err)
		}
	}
	if err := a.callBy(t, carol); err != nil {
		t.Errorf("with the policy: %v", err)
	}
	if out, err := s.cli(t.Context(), "keys", "delete", carol.AccessKeyID); err != nil {
		t.Errorf("%s (%v)", out, err)
	}
	wantError(t, a.callBy(t, carol), "UnrecognizedClientException")
}

func TestAccess_apiKeys(t *testing.T) {
	s := shared(t)
	a := s.deployed(t, probe)
	create := func(args ...string) string {
		t.Helper()
		out, err := s.cli(t.Context(), append([]string{"keys", "create", "--name", a.arn}, args...)...)
		if err != nil {
			t.Fatal(out, err)
		}
		return strings.Fields(out)[0]
	}
	session, key := newSession(t), create("--label", "test")
	want := func(what, token string, status int, words string) {
		t.Helper()
		if got, _, body := a.callWith(t, "Bearer "+token, session); got != status || !strings.Contains(body, words) {
			t.Errorf("%s: %d %s, want %d %s", what, got, body, status, words)
		}
	}
	want("a key", key, 200, `"count": 1`)
	want("once more", key, 200, `"count": 2`)
	want("another key has another session", create(), 200, `"count": 1`)
	want("no check", key[:len(key)-1]+"_", 403, "Authorization method mismatch")
	want("another endpoint's", create("--endpoint", "prod"), 403, "not authorized to call this endpoint")
	want("another scope", create("--scope", "stop"), 403, "not authorized to perform: InvokeAgentRuntime")
	id := strings.Split(key, "_")[1]
	list, err := s.cli(t.Context(), "keys", "list", "--name", a.arn)
	if err != nil || !strings.Contains(list, id) || strings.Contains(list, strings.Split(key, "_")[2]) {
		t.Errorf("%s (%v)", list, err)
	}
	for verb, status := range map[string]int{"disable": 401} {
		if out, err := s.cli(t.Context(), "keys", verb, id, "--name", a.arn); err != nil {
			t.Fatal(out, err)
		}
		want(verb, key, status, "Invalid API key")
	}
	if out, err := s.cli(t.Context(), "keys", "delete", id, "--name", a.arn); err != nil {
		t.Fatal(out, err)
	}
	want("deleted", key, 401, "Invalid API key")
	found := 0
	filepath.WalkDir(s.dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil
		}
		if text, err := os.ReadFile(path); err == nil && strings.Contains(string(text), key) {
			found++
			t.Errorf("%s holds the key", path)
		}
		return nil
	})
}
