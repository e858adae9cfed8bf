package compat

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentruntime/types"
)

func TestKnowledge_boto3(t *testing.T) { runChecks(t, "knowledge.py") }

// base makes a knowledge base by the command, as a newcomer does.
func (s *server) base(t *testing.T, name string, documents map[string]string) (id string) {
	t.Helper()
	dir := t.TempDir()
	for file, text := range documents {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	moorage, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), moorage, "--dir", s.dir, "kb", "create", name, "--from", dir, "--json").Output()
	var made struct {
		KnowledgeBase struct{ KnowledgeBaseID string }
		Ingestion     struct{ Status string }
	}
	if err == nil {
		err = json.Unmarshal(out, &made)
	}
	if err != nil || made.Ingestion.Status != "COMPLETE" {
		t.Fatalf("%s: %v", out, err)
	}
	t.Cleanup(func() {
		if out, err := exec.Command(moorage, "--dir", s.dir, "kb", "delete", name).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	return made.KnowledgeBase.KnowledgeBaseID
}

func TestKnowledge_goSDK(t *testing.T) {
	s := shared(t)
	id := s.base(t, "go_sdk", map[string]string{"boats.md": "The Petrel is a sloop. Her keel is of oak.", "bread.md": "Bread wants flour and time."})
	client := bedrockagentruntime.New(bedrockagentruntime.Options{BaseEndpoint: &s.client.Endpoint, Region: s.client.Region, Credentials: s.client, Retryer: aws.NopRetryer{}, HTTPClient: goClient})
	found, err := client.Retrieve(t.Context(), &bedrockagentruntime.RetrieveInput{
		KnowledgeBaseId: &id, RetrievalQuery: &types.KnowledgeBaseQuery{Text: aws.String("what is the keel made of")},
	})
	if err != nil || len(found.RetrievalResults) == 0 || !strings.Contains(*found.RetrievalResults[0].Content.Text, "oak") {
		t.Fatalf("%+v, %v", found, err)
	}
	in := types.RetrieveAndGenerateInput{Text: aws.String("What is the keel made of?")}
	config := &types.RetrieveAndGenerateConfiguration{
		Type:                       types.RetrieveAndGenerateTypeKnowledgeBase,
		KnowledgeBaseConfiguration: &types.KnowledgeBaseRetrieveAndGenerateConfiguration{KnowledgeBaseId: &id, ModelArn: aws.String("us.amazon.nova-micro-v1:0")},
	}
	whole, err := client.RetrieveAndGenerate(t.Context(), &bedrockagentruntime.RetrieveAndGenerateInput{Input: &in, RetrieveAndGenerateConfiguration: config})
	if err != nil || !strings.Contains(*whole.Output.Text, "oak") || len(whole.Citations) == 0 {
		t.Fatalf("%+v, %v", whole, err)
	}
	out, err := client.RetrieveAndGenerateStream(t.Context(), &bedrockagentruntime.RetrieveAndGenerateStreamInput{Input: &in, RetrieveAndGenerateConfiguration: config})
	if err != nil {
		t.Fatal(err)
	}
	stream := out.GetStream()
	defer stream.Close()
	var text strings.Builder
	citations := 0
	for e := range stream.Events() {
		switch e := e.(type) {
		case *types.RetrieveAndGenerateStreamResponseOutputMemberOutput:
			text.WriteString(*e.Value.Text)
		case *types.RetrieveAndGenerateStreamResponseOutputMemberCitation:
			citations++
		}
	}
	if err := stream.Err(); err != nil || text.String() != *whole.Output.Text || citations != len(whole.Citations) {
		t.Errorf("%q with %d citations, %v", text.String(), citations, err)
	}
}

// TestKnowledge_aModelWritesTheAnswer leads a model to a script, and sees that its words are the answer.
func TestKnowledge_aModelWritesTheAnswer(t *testing.T) {
	s := shared(t)
	id := s.base(t, "written", map[string]string{"boats.md": "The Petrel is a sloop. Her keel is of oak."})
	file := filepath.Join(t.TempDir(), "answers.yaml")
	if err := os.WriteFile(file, []byte("- match: keel is of oak\n  answer:\n    - text: \"Oak, \"\n    - text: says the script.\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"models", "add", "written", "--kind", "script", "--file", file}, {"models", "route", "writer-of-answers", "written"},
	} {
		if out, err := s.cli(t.Context(), args...); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
	}
	defer s.cli(t.Context(), "models", "remove", "written")
	defer s.cli(t.Context(), "models", "unroute", "writer-of-answers")
	client := bedrockagentruntime.New(bedrockagentruntime.Options{BaseEndpoint: &s.client.Endpoint, Region: s.client.Region, Credentials: s.client, Retryer: aws.NopRetryer{}, HTTPClient: goClient})
	ask := func(model string) (*bedrockagentruntime.RetrieveAndGenerateOutput, error) {
		return client.RetrieveAndGenerate(t.Context(), &bedrockagentruntime.RetrieveAndGenerateInput{
			Input: &types.RetrieveAndGenerateInput{Text: aws.String("What is the keel made of?")},
			RetrieveAndGenerateConfiguration: &types.RetrieveAndGenerateConfiguration{
				Type:                       types.RetrieveAndGenerateTypeKnowledgeBase,
				KnowledgeBaseConfiguration: &types.KnowledgeBaseRetrieveAndGenerateConfiguration{KnowledgeBaseId: &id, ModelArn: &model},
			},
		})
	}
	if answer, err := ask("writer-of-answers"); err != nil || *answer.Output.Text != "Oak, says the script." {
		t.Errorf("%+v, %v", answer, err)
	}
	if _, err := ask("nobodys-model"); err == nil || !strings.Contains(err.Error(), "no provider answers") {
		t.Errorf("a model that nobody answers for: %v", err)
	}
}

func TestKnowledge_javaScriptSDK(t *testing.T) {
	id := shared(t).base(t, "js_sdk", map[string]string{"boats.md": "The Petrel is a sloop. Her keel is of oak."})
	runJavaScript(t, "knowledge.test.mjs", "KNOWLEDGE_BASE_ID="+id)
}

func TestKnowledge_fromInsideASandbox(t *testing.T) {
	s := shared(t)
	a := s.deployed(t, guestAgent)
	id := s.base(t, "inside", map[string]string{"boats.md": "The Petrel is a sloop."})
	var found struct{ Texts []string }
	session := newSession(t)
	if err := a.call(t.Context(), session, map[string]any{"op": "retrieve", "kb": id, "text": "sloop"}, &found); err != nil {
		t.Fatal(err)
	}
	if len(found.Texts) != 1 || found.Texts[0] != "The Petrel is a sloop." {
		t.Errorf("found %q", found.Texts)
	}
	var refused refusal
	if err := a.call(t.Context(), session, map[string]any{"op": "change", "kb": id}, &refused); err != nil {
		t.Fatal(err)
	}
	if refused.Error != "AccessDeniedException" {
		t.Errorf("an agent that deletes what it may only ask: %+v", refused)
	}
}

// TestKnowledge_searchesAndAnswersAreSeen has an agent that reports nothing ask a knowledge base for answers: each search and each
// model's call is a span below the session's own, with what was found, the words and the tokens; of the built-in model, too.
func TestKnowledge_searchesAndAnswersAreSeen(t *testing.T) {
	s := shared(t)
	a := s.deployed(t, guestAgent)
	id := s.base(t, "seen", map[string]string{"boats.md": "The Petrel is a sloop. Her keel is of oak."})
	const nova = "us.amazon.nova-micro-v1:0"
	var got struct{ Text, Streamed string }
	session := newSession(t)
	if err := a.call(t.Context(), session, map[string]any{"op": "answer", "kb": id, "text": "What is the keel made of?", "model": nova}, &got); err != nil {
		t.Fatal(err)
	}
	if got.Text != got.Streamed || !strings.Contains(got.Text, "keel is of oak") {
		t.Errorf("the answers are %+v", got)
	}
	known, err := s.sessions(t.Context(), session)
	if err != nil || len(known) != 1 {
		t.Fatalf("the server lists %+v, %v", known, err)
	}
	found := s.traceOf(t, known[0].ID, 10*time.Second, func(st sessionTrace) bool { return st.called().ModelCalls == 2 })
	call := found.called()
	above := call.span("InvokeAgentRuntime").SpanID
	for _, name := range []string{"retrieval " + id, "chat " + nova} {
		if span := call.span(name); span.ParentID != above || span.Error != "" {
			t.Errorf("%s is %+v, and was to be below the call", name, span)
		}
	}
	chat, search := call.span("chat "+nova), call.span("retrieval "+id)
	if m := chat.Model; m == nil || m.Name != "built-in demo model" || m.InputTokens == 0 || m.OutputTokens == 0 || len(chat.Output) != 1 || chat.Output[0].Parts[0].Text != got.Text {
		t.Errorf("the model's call is %+v, its words %+v", chat.Model, chat.Output)
	}
	if doc := fmt.Sprint(search.Tool.Result); search.Kind != "retrieval" || !strings.Contains(doc, "keel is of oak") || !strings.Contains(doc, "boats.md") {
		t.Errorf("the search is a %s that found %s", search.Kind, doc)
	}
}

// TestKnowledge_miniLM has examples/embedder make the vectors: a question is answered by a passage that has none of its words, which
// the embedder that needs no model does not find.
func TestKnowledge_miniLM(t *testing.T) {
	where, end := pythonBeside(t, "embedder", "../examples/embedder/requirements.txt", "../examples/embedder/embedder.py", "0")
	s, err := newServer()
	if err != nil {
		t.Fatal(err)
	}
	s.args = []string{"--embedder", where}
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.down(), s.remove()); err != nil {
			t.Error(err)
		}
	})
	documents := map[string]string{
		"bread.md": "The cook bakes bread at dawn.", "vessel.md": "Her backbone was cut from oak trees by the yard's carpenters.",
		"wages.md": "Sailors are paid every second Friday.", "flags.md": "A yellow flag asks the harbour for a pilot.",
	}
	id := s.base(t, "meanings", documents)
	client := bedrockagentruntime.New(bedrockagentruntime.Options{BaseEndpoint: &s.client.Endpoint, Region: s.client.Region, Credentials: s.client, Retryer: aws.NopRetryer{}, HTTPClient: goClient})
	ask := func(text string) (*bedrockagentruntime.RetrieveOutput, error) {
		return client.Retrieve(t.Context(), &bedrockagentruntime.RetrieveInput{KnowledgeBaseId: &id, RetrievalQuery: &types.KnowledgeBaseQuery{Text: &text}})
	}
	for text, want := range map[string]string{"Which wood is this ship made of?": "oak trees", "What did crews earn?": "every second Friday"} {
		found, err := ask(text)
		if err != nil || len(found.RetrievalResults) == 0 || !strings.Contains(*found.RetrievalResults[0].Content.Text, want) {
			t.Errorf("%q finds %+v, %v", text, found, err)
		}
	}
	end()
	if _, err := ask("anything"); err == nil || !strings.Contains(err.Error(), "the embedding server does not answer") {
		t.Errorf("without its embedder: %v", err)
	}
}
