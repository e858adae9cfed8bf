package compat

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// newsFacts are MediScan's, and a sentence that is too long for the desk's reviewer: the draft is sent back once.
func newsFacts(t *testing.T) string {
	t.Helper()
	facts, err := os.ReadFile("../examples/newsroom/facts/mediscan.txt")
	if err != nil {
		t.Fatal(err)
	}
	return string(facts) + `
The announcement says that hospitals which take part in the first year will be asked to report every case in which the assistant and a radiologist disagree, so that the makers can learn where it errs, and that a summary of these reports will be published twice a year.`
}

// strandsDesk deploys the news desk on Strands with its knowledge base, by the commands, as a newcomer does.
func strandsDesk(t *testing.T, s *server) {
	t.Helper()
	if os.Getenv("MOORAGE_SLOW") == "" {
		t.Skip("MOORAGE_SLOW is not set: the packages of Strands and of the AWS distro take minutes to install")
	}
	began := time.Now()
	documents, err := filepath.Abs("../examples/newsroom/knowledge")
	if err != nil {
		t.Fatal(err)
	}
	made, err := s.cli(t.Context(), "kb", "create", "strands", "--from", documents)
	if err != nil {
		t.Fatal(err)
	}
	base := made[strings.LastIndexByte(strings.TrimSpace(made), '\n')+1:]
	out, err := s.cli(t.Context(), "deploy", "testdata/strandsagent", "--name", "strands_agent", "--json",
		"--entrypoint", "opentelemetry-instrument agent.py", "--env", "KNOWLEDGE_BASE_ID="+strings.TrimSpace(base))
	if err != nil {
		t.Fatal(err)
	}
	var deployed struct{ AgentRuntimeArn, AgentRuntimeID string }
	if err := json.Unmarshal([]byte(out), &deployed); err != nil {
		t.Fatal(err)
	}
	t.Logf("deployed after %.0f s", time.Since(began).Seconds())
	s.agents["strands_agent"] = &agent{server: s, id: deployed.AgentRuntimeID, arn: deployed.AgentRuntimeArn}
}

// TestStrands_aDeskOfAgentsFromTheCloudRunsUnmodified has agents that know nothing of Moorage, on Strands, the
// AgentCore SDK, boto3 and AWS's distribution of OpenTelemetry, write an article: STS, models and the knowledge
// base are reached by what their sandbox gives them, and all of it is seen as one tree.
func TestStrands_aDeskOfAgentsFromTheCloudRunsUnmodified(t *testing.T) {
	s := own(t)
	strandsDesk(t, s)
	facts, session := newsFacts(t), newSession(t)
	words := []string{
		"12,000 patients", "94 percent", `"MediScan gives a radiologist a second pair of eyes," said Dr. Eliza Chen`, // the facts'
		"Marcus Williams is Chief Executive Officer", "Northwind Computing", // the knowledge base's
	}
	runChecksOn(t, s, "strands_agent.py", map[string]any{"facts": facts, "session": session, "words": words})

	known, err := s.sessions(t.Context(), session)
	if err != nil || len(known) != 1 {
		t.Fatalf("the server lists %+v, %v", known, err)
	}
	var call wholeTrace // what the agent does as it is imported is a trace of its own
	s.traceOf(t, known[0].ID, time.Minute, func(st sessionTrace) bool {
		call = st.called()
		return call.ModelCalls == 11 && call.printed("researching with")
	})
	deskTree(t, call)

	query := regexp.MustCompile(`researching with a query of (\d+)`)
	for _, l := range call.Logs {
		if m := query.FindStringSubmatch(l.Message); m != nil {
			if n, err := strconv.Atoi(m[1]); err != nil || n <= 1000 {
				t.Errorf("the knowledge base was asked with %d characters, and more than 1,000 were to be", n)
			}
		}
	}
	shown, err := s.cli(t.Context(), "trace", call.TraceID)
	if err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + shown)
	t.Run("its trajectory in a browser", func(t *testing.T) {
		findBrowser(t).run(t, s, "desk.test.mjs", map[string]string{"trace": call.TraceID})
	})

	payload, err := json.Marshal(map[string]string{"query": facts})
	if err != nil {
		t.Fatal(err)
	}
	said, err := s.cli(t.Context(), "invoke", "--name", "strands_agent", "--payload", string(payload))
	if err != nil {
		t.Fatal(err)
	}
	wantWords(t, said, "<final>", "12,000 patients", "Marcus Williams")
	if secret, err := os.ReadFile(s.log); err == nil && strings.Contains(string(secret), s.client.SecretAccessKey) {
		t.Error("the server's log holds a key")
	}
	if answer, err := s.ask(t.Context(), "GET", "/v1/sessions/"+known[0].ID+"/trace"); err != nil || strings.Contains(string(answer), "ASIA") {
		t.Errorf("the session's trace holds the id of a key, or %v", err)
	}
}

// called is the trace of a session's call.
func (st sessionTrace) called() (found wholeTrace) {
	for _, tr := range st.Traces {
		if tr.Name == "InvokeAgentRuntime" {
			found = tr
		}
	}
	return found
}

// deskTree holds that a run of the desk is one tree: the call, the agents, their models and tools, in their order.
func deskTree(t *testing.T, tr wholeTrace) {
	t.Helper()
	byID := map[string]traceSpan{}
	for _, span := range tr.Spans {
		byID[span.SpanID] = span
	}
	above := func(span traceSpan) (names []string) {
		for span.ParentID != "" {
			span = byID[span.ParentID]
			names = append(names, span.Name)
		}
		return names
	}
	var tools []string
	tokens, answers, searches := 0, 0, 0
	for _, span := range tr.Spans {
		path := above(span)
		if root := append([]string{span.Name}, path...); root[len(root)-1] != "InvokeAgentRuntime" {
			t.Errorf("%s is below %q, and not below the call", span.Name, path)
		}
		switch {
		case strings.HasPrefix(span.Name, "execute_tool "):
			tools = append(tools, strings.TrimPrefix(span.Name, "execute_tool "))
			if !slices.Contains(path, "invoke_agent Strands Agents") {
				t.Errorf("%s is below %q", span.Name, path)
			}
		case span.Model != nil && span.Model.Counted:
			tokens += span.Model.InputTokens
			asked := slices.Contains(path, "chat") && slices.Contains(path, "execute_event_loop_cycle")
			if research := slices.ContainsFunc(path, func(name string) bool { return strings.HasSuffix(name, "RetrieveAndGenerate") }); research {
				answers++
			} else if !asked {
				t.Errorf("%s is below %q", span.Name, path)
			}
			if span.Model.Name != "built-in demo model" {
				t.Errorf("%s is by %s", span.Name, span.Model.Name)
			}
		case strings.HasPrefix(span.Name, "retrieval "):
			searches++
		case strings.Contains(span.Name, "RetrieveAndGenerate") || span.Name == "STS.GetCallerIdentity":
			if !slices.Contains(path, "execute_tool researchAgent") {
				t.Errorf("%s is below %q", span.Name, path)
			}
		}
	}
	if want := "[researchAgent articleWritingAgent articleReviewerAgent articleWritingAgent]"; fmt.Sprint(tools) != want {
		t.Errorf("the tools are %v, want %s", tools, want)
	}
	if tokens == 0 || tokens != tr.InputTokens {
		t.Errorf("the models' tokens are %d, and the trace's %d", tokens, tr.InputTokens)
	}
	if answers != 1 || searches != 1 {
		t.Errorf("%d searches in the knowledge base, and %d answers written from them", searches, answers)
	}
	if root := tr.Spans[0]; root.Kind != "service" || tr.Error != "" {
		t.Errorf("the tree begins with %+v; error %q", root, tr.Error)
	}
}
