package compat

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// perCall is what two answers of one text do not have in common.
var perCall = regexp.MustCompile(`"id":"chatcmpl-[^"]*"|"created":[0-9]+`)

// TestCassette_aSessionRunsAgainWithoutItsProvider records a conversation with a scripted provider that is asked over HTTP, and
// has it played again, byte for byte, when that provider is gone.
func TestCassette_aSessionRunsAgainWithoutItsProvider(t *testing.T) {
	s := shared(t)
	dir := t.TempDir()
	script, first, second := filepath.Join(dir, "answers.yaml"), filepath.Join(dir, "first.cassette"), filepath.Join(dir, "second.cassette")
	answers := "- match: Oslo\n  answer:\n  - text: \"Let me see. \"\n  - tool: {name: look, input: {city: Oslo}}\n" +
		"- after: look\n  answer:\n  - reasoning: Hm.\n  - text: It is \n  - text: cold.\n- match: overload\n  answer:\n  - error: throttled\n    message: slow down\n"
	if err := os.WriteFile(script, []byte(answers), 0o600); err != nil {
		t.Fatal(err)
	}
	key := s.client.AccessKeyID + ":" + s.client.SecretAccessKey
	t.Setenv("MOORAGE_MODEL_KEY", key)
	setup := func(commands ...string) {
		t.Helper()
		for _, c := range commands {
			if out, err := s.cli(t.Context(), strings.Fields("models "+c)...); err != nil {
				t.Fatalf("models %s: %v %s", c, err, out)
			}
		}
	}
	setup("add fixtures --kind script --file "+script, "route played fixtures",
		"add far --kind openai --url "+s.client.Endpoint+"/v1", "route taped far --model played", "record far "+first)
	tools := `"tools":[{"type":"function","function":{"name":"look","parameters":{"type":"object"}}}]`
	asked := []string{
		`{"role":"user","content":"How is Oslo?"}`,
		`{"role":"user","content":"How is Oslo?"},{"role":"assistant","content":"Let me see. ","tool_calls":[{"id":"tooluse_script_1_1","type":"function","function":{"name":"look","arguments":"{\"city\":\"Oslo\"}"}}]},{"role":"tool","tool_call_id":"tooluse_script_1_1","content":"-5"}`,
		`{"role":"user","content":"overload"}`,
	}
	session := func() (out []string) {
		t.Helper()
		for _, messages := range asked {
			body := `{"model":"taped","stream":true,"stream_options":{"include_usage":true},` + tools + `,"messages":[` + messages + `]}`
			r, err := http.NewRequestWithContext(t.Context(), "POST", s.client.Endpoint+"/v1/chat/completions", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+key)
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			said, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, answer.Status+" "+perCall.ReplaceAllString(string(said), ""))
		}
		return out
	}
	was := session()
	if !strings.Contains(was[0], "tooluse_script_1_1") || !strings.Contains(was[1], "cold.") || !strings.HasPrefix(was[2], "429") {
		t.Fatalf("%q", was)
	}

	setup("add again --kind cassette --file "+first, "record again "+second, "route taped again", "unroute played", "remove fixtures", "remove far")
	defer setup("unroute taped", "remove again")
	for i, is := range session() {
		if is != was[i] {
			t.Errorf("it was\n%s\nand is\n%s", was[i], is)
		}
	}
	one, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	two, err := os.ReadFile(second)
	if model := regexp.MustCompile(`"request":\{"model":"[a-z]*"`); err != nil || model.ReplaceAllString(string(one), "") != model.ReplaceAllString(string(two), "") {
		t.Errorf("recorded anew it is\n%s\nand was\n%s (%v)", two, one, err)
	}
	if strings.Contains(string(one), s.client.SecretAccessKey) || strings.Contains(string(one), s.client.AccessKeyID) {
		t.Error("the provider's key is on the cassette")
	}
}
