package compat

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	controltypes "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
)

// Whoever deploys an agent has it act under a role, and so has to be allowed to pass that role on.
func TestAccess_aRoleIsPassedOnlyByWhoMay(t *testing.T) {
	s := shared(t)
	const deploys = `{"Effect":"Allow","Action":"bedrock-agentcore:*","Resource":"*"}`
	key := s.newKey(t, "deployer", deploys)
	artifact, err := s.upload(t.Context(), probe)
	if err != nil {
		t.Fatal(err)
	}
	create := func() error {
		made, err := s.control().CreateAgentRuntime(t.Context(), &control.CreateAgentRuntimeInput{
			AgentRuntimeName: uniqueName("passed"), RoleArn: aws.String(s.role()), AgentRuntimeArtifact: artifact,
			NetworkConfiguration: &controltypes.NetworkConfiguration{NetworkMode: controltypes.NetworkModePublic},
		}, func(o *control.Options) { o.Credentials = *key })
		if err == nil {
			made := &agent{server: s, id: *made.AgentRuntimeId, arn: *made.AgentRuntimeArn}
			if err := made.awaitReady(t.Context()); err != nil {
				t.Fatal(err)
			}
			_, err = s.control().DeleteAgentRuntime(t.Context(), &control.DeleteAgentRuntimeInput{AgentRuntimeId: &made.id})
		}
		return err
	}
	passes := func(role, service string) string {
		return `[` + deploys + `,{"Effect":"Allow","Action":"iam:PassRole","Resource":"` + role + `","Condition":{"StringEquals":{"iam:PassedToService":"` + service + `"}}}]`
	}
	for _, c := range []struct {
		name, statement string
		allowed         bool
	}{
		{"without iam:PassRole", deploys, false}, {"with it for another role", passes(s.role()+"-other", "bedrock-agentcore.amazonaws.com"), false},
		{"with it for another service", passes(s.role(), "lambda.amazonaws.com"), false}, {"with it", passes(s.role(), "bedrock-agentcore.amazonaws.com"), true},
	} {
		doc := filepath.Join(t.TempDir(), "policy.json")
		if err := os.WriteFile(doc, []byte(`{"Version":"2012-10-17","Statement":`+c.statement+`}`), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := s.cli(t.Context(), "policy", "put", "--user", "deployer", "--name", "tests", doc); err != nil {
			t.Fatal(out, err)
		}
		err := create()
		if c.allowed && err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if !c.allowed && !strings.Contains(wantError(t, err, "AccessDeniedException"), "iam:PassRole on resource: "+s.role()) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
