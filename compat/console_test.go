package compat

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
)

// newsroom is a team of four agents that reports what it does as frameworks do, ten times faster.
var newsroom = deployment{name: "newsroom", source: "newsroom", entry: "main.py", env: map[string]string{"PACE": "0.1"}}

// The console in a real browser. Its screens are left in .cache/screens, for a person to look at.
func TestConsole(t *testing.T) {
	b := findBrowser(t)
	s := shared(t)
	b.run(t, s, "console.test.mjs", s.worked(t))
}

// The console's pages of who may do what and who did what, for an administrator and for somebody who may little.
func TestConsole_identity(t *testing.T) {
	b := findBrowser(t)
	s := shared(t)
	name := unique("limited")
	out, err := s.cli(t.Context(), "keys", "create", "--user", name, "--json")
	var key struct{ AccessKeyID, SecretAccessKey string }
	if err == nil {
		err = json.Unmarshal([]byte(out), &key)
	}
	if err != nil {
		t.Fatal(out, err)
	}
	a := s.deployed(t, probe)
	provider := unique("weather")
	_, err = s.control().CreateApiKeyCredentialProvider(t.Context(), &control.CreateApiKeyCredentialProviderInput{
		Name: &provider, ApiKey: aws.String("canary-of-a-key"), Tags: map[string]string{"moorage:inject": "GET api.weather.example/v1/"},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.run(t, s, "identity.test.mjs", map[string]string{
		"limited": name, "limitedId": key.AccessKeyID, "limitedSecret": key.SecretAccessKey, "limitedArn": "arn:aws:iam::" + s.client.Account + ":user/" + name,
		"runtime": a.id, "arn": a.arn, "provider": provider,
	})
}

// The console over ten thousand spans in a trace, and a million in all: it sends those itself.
func TestConsole_large(t *testing.T) {
	if os.Getenv("MOORAGE_SLOW") == "" {
		t.Skip("MOORAGE_SLOW is not set")
	}
	b := findBrowser(t)
	s := own(t)
	large := s.alone(t, s.deployed(t, newsroom), map[string]any{"prompt": "a marathon", "spans": 10_000}, true)
	b.run(t, s, "large.test.mjs", map[string]string{"large": large.TraceID})
}

// browser is what drives this machine's Chromium.
type browser struct{ node, chromium string }

// findBrowser skips the test where something is missing.
func findBrowser(t *testing.T) (b browser) {
	t.Helper()
	for name, to := range map[string]*string{"node": &b.node, "chromium": &b.chromium} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Skipf("%s is not installed", name)
		}
		*to = path
	}
	if _, err := os.Stat("browser/node_modules/playwright-core"); err != nil {
		t.Skip("the browser's driver is not installed: run make setup")
	}
	return b
}

// run runs the tests of a file under browser/, which find in context what agents did.
func (b browser) run(t *testing.T, s *server, file string, context map[string]string) {
	t.Helper()
	screens, err := filepath.Abs("../.cache/screens")
	if err != nil {
		t.Fatal(err)
	}
	context["bin"], context["dir"], context["endpoint"] = s.bin, s.dir, s.client.Endpoint
	context["chromium"], context["screens"] = b.chromium, screens
	context["keyId"], context["secret"] = s.client.AccessKeyID, s.client.SecretAccessKey
	doc, err := json.Marshal(context)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), b.node, "--test", "--test-reporter=tap", "browser/"+file)
	cmd.Env = append(os.Environ(), "COMPAT="+string(doc))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// plumbing is how many spans of a web server's protocol a call of the reference application makes.
const plumbing = 825

// worked lets the newsroom do everything that the console has a view for, and says where that is.
func (s *server) worked(t *testing.T) map[string]string {
	t.Helper()
	a := s.deployed(t, newsroom)
	out := map[string]string{"runtime": a.id, "arn": a.arn, "failed": s.stillborn(t), "endpointName": unique("prod"), "mcp": s.deployed(t, mcpServer).id}
	if said, err := s.cli(t.Context(), "endpoints", "create", out["endpointName"], "--name", a.id); err != nil {
		t.Fatal(said, err)
	}
	id := newSession(t)
	s.play(t, a, id, map[string]any{"prompt": "NeuraHealth raised $50M to read retinas. Write it up.", "noise": plumbing}, true)
	s.play(t, a, id, map[string]any{"prompt": "And now for the weekend edition."}, true)
	st := s.traceOf(t, id, 30*time.Second, func(st sessionTrace) bool {
		return len(st.Traces) == 2 && st.Traces[0].span("InvokeAgentRuntime").SpanID != "" && st.Traces[1].span("InvokeAgentRuntime").SpanID != ""
	})
	out["session"], out["trace"], out["second"] = id, st.Traces[0].TraceID, st.Traces[1].TraceID
	out["span"] = st.Traces[0].span("chat nova-pro").SpanID
	s.play(t, a, newSession(t), map[string]any{"prompt": "busy", "throttled": true}, false)
	out["died"] = s.alone(t, a, map[string]any{"prompt": "the archive", "die": true}, false).TraceID
	hostile := s.alone(t, a, map[string]any{"prompt": "hostile", "hostile": true}, true)
	out["hostile"], out["hostileSpan"] = hostile.TraceID, hostile.span("chat nova-pro").SpanID
	out["spender"], out["spent"] = s.spent(t)
	return out
}

// spent has an agent use up the budget of its session. It returns the runtime, and the session's own id.
func (s *server) spent(t *testing.T) (runtime, session string) {
	t.Helper()
	d := probe
	d.name, d.tags = "spender", map[string]string{"moorage:session-tokens": "10", "moorage:daily-tokens": "20000", "moorage:daily-dollars": "5"}
	a := s.deployed(t, d)
	id := newSession(t)
	var got struct {
		Status int
		Body   string
	}
	err := a.call(t.Context(), id, map[string]any{
		"op": "fetch", "url": "http://169.254.169.254:9400/v1/chat/completions", "method": "POST", "headers": map[string]string{"Authorization": "Bearer x", "Content-Type": "application/json"},
		"body": `{"model":"us.amazon.nova-pro-v1:0","messages":[{"role":"user","content":"Hello from inside, where every word counts."}]}`,
	}, &got)
	if err != nil || got.Status != 200 {
		t.Fatalf("a model answers %+v, %v", got, err)
	}
	known, err := s.sessions(t.Context(), id)
	if err != nil || len(known) != 1 {
		t.Fatalf("the server lists %+v, %v", known, err)
	}
	return a.id, known[0].ID
}

// play calls the newsroom, and expects it to answer or not.
func (s *server) play(t *testing.T, a *agent, id string, payload map[string]any, answers bool) {
	t.Helper()
	var answer map[string]any
	if err := a.call(t.Context(), id, payload, &answer); (err == nil) != answers {
		t.Fatalf("%v: %v %v", payload, answer, err)
	}
}

// alone is play in a session of its own; it returns the call's trace.
func (s *server) alone(t *testing.T, a *agent, payload map[string]any, answers bool) wholeTrace {
	t.Helper()
	id := newSession(t)
	s.play(t, a, id, payload, answers)
	return s.traceOf(t, id, 30*time.Second, func(st sessionTrace) bool {
		return len(st.Traces) == 1 && st.Traces[0].span("InvokeAgentRuntime").SpanID != ""
	}).Traces[0]
}

// stillborn returns a runtime whose agent never started.
func (s *server) stillborn(t *testing.T) string {
	t.Helper()
	d := deployment{name: "stillborn", source: "newsroom", files: map[string]string{"main.py": "import json\njson.load(open('/nowhere/settings.json'))\n"}, entry: "main.py"}
	a, err := s.create(t.Context(), d)
	if err == nil {
		err = a.awaitReady(t.Context())
	}
	if err == nil || !strings.Contains(err.Error(), "settings.json") {
		t.Fatalf("an agent that cannot start: %v", err)
	}
	return a.id
}
