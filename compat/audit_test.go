package compat

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
)

func TestAudit_refusalsAreOnRecordAndChangesToItShow(t *testing.T) {
	s := own(t)
	c := s.control()
	if _, err := c.ListAgentRuntimes(t.Context(), &control.ListAgentRuntimesInput{}); err != nil {
		t.Fatal(err)
	}
	_, err := c.ListAgentRuntimes(t.Context(), &control.ListAgentRuntimesInput{}, func(o *control.Options) {
		o.Credentials = clientFile{AccessKeyID: "AKIAAAAAAAAAAAAAAAAA", SecretAccessKey: "canary-secret"}
	})
	wantError(t, err, "UnrecognizedClientException")
	out, err := s.cli(t.Context(), "audit", "list", "--refused")
	if err != nil || !strings.Contains(out, "AKIAAAAAAAAAAAAAAAAA") || !strings.Contains(out, "bedrock-agentcore:ListAgentRuntimes") || strings.Contains(out, "canary") {
		t.Errorf("%s (%v)", out, err)
	}
	if out, err := s.cli(t.Context(), "audit", "verify"); err != nil || !strings.Contains(out, "nothing was changed or removed") {
		t.Errorf("%s (%v)", out, err)
	}
	segments, err := filepath.Glob(filepath.Join(s.dir, "audit", "*.jsonl"))
	if err != nil || len(segments) != 1 {
		t.Fatal(segments, err)
	}
	text, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(segments[0], bytes.Replace(text, []byte("AKIAAAAAAAAAAAAAAAAA"), []byte("AKIABBBBBBBBBBBBBBBB"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := s.cli(t.Context(), "audit", "verify"); err == nil {
		t.Errorf("an altered record passes: %s", out)
	}
}
