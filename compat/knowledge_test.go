package compat

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

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
