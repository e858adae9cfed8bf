package compat

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	controltypes "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
)

const headerWAT = "X-Amz-Bedrock-AgentCore-Identity-WAT"

// passed is how an agent says what came of a call that it passed on.
type passed struct {
	Status int
	Body   json.RawMessage
}

// A runtime that allows workloads is called through one of them: a gateway of the caller's own, with a token of its identity, or
// another agent, out of its sandbox. A user's token alone is not enough, and neither is a workload's that was carried away.
func TestBearer_allowedWorkloads(t *testing.T) {
	s, p := shared(t), newOpenIDProvider(t)
	gateway, stranger := s.workload(t, "gateway"), s.workload(t, "stranger")
	allows := func(w controltypes.AllowedWorkloadConfiguration) controltypes.AuthorizerConfiguration {
		return p.authorizer(func(c *controltypes.CustomJWTAuthorizerConfiguration) { c.AllowedWorkloadConfiguration = &w })
	}
	d := probe
	d.name, d.authorizer = "behind_a_gateway", allows(controltypes.AllowedWorkloadConfiguration{WorkloadIdentities: []string{gateway}})
	front := s.deployed(t, d)
	d.name, d.authorizer = "behind_an_agent", allows(controltypes.AllowedWorkloadConfiguration{HostingEnvironments: []controltypes.HostingEnvironment{{Arn: &front.arn}}})
	back := s.deployed(t, d)
	back.wantAuthorizer(t, d.authorizer)
	token, ofGateway, ofStranger := p.token(t), s.workloadToken(t, gateway), s.workloadToken(t, stranger)

	var ofFront struct{ Token string }
	if status := front.ask(t, token, newSession(t), doing("handed"), &ofFront, headerWAT, ofGateway); status != 200 || ofFront.Token == ofGateway {
		t.Fatalf("through the gateway: %d, and the agent was handed %+v", status, ofFront)
	}
	for _, c := range []struct {
		name   string
		to     *agent
		wat    string
		status int
	}{
		{"through nobody", front, "", 401},
		{"through what nobody issued", front, "acw1.forged", 403},
		{"through another workload", front, ofStranger, 403},
		{"through the gateway, to what only an agent may call", back, ofGateway, 403},
		{"with an agent's token, outside of its sandbox", back, ofFront.Token, 403},
	} {
		if status := c.to.ask(t, token, newSession(t), doing("handed"), nil, headerWAT, c.wat); status != c.status {
			t.Errorf("%s: %d, want %d", c.name, status, c.status)
		}
	}
	status, header, body := front.callWith(t, "Bearer "+token, newSession(t))
	const want = `{"jsonrpc":"2.0","error":{"code":-32001,"message":"Transaction token required: authorizer has AllowedWorkloadConfiguration configured"}}`
	if challenge := header.Get("WWW-Authenticate"); status != 401 || body != want || !strings.Contains(challenge, "resource_metadata=") || strings.Contains(challenge, "invalid_token") {
		t.Errorf("%d %s with the challenge %q", status, body, challenge)
	}
	if status := front.ask(t, token[:len(token)-6]+"AAAAAA", newSession(t), doing("handed"), nil, headerWAT, ofGateway); status != 401 {
		t.Errorf("a forged token through the gateway: %d", status)
	}

	on := func(to *agent, payload map[string]any, more ...any) map[string]any {
		return doing("pass_on", append([]any{"to", to.arn, "bearer", token, "payload", payload}, more...)...)
	}
	var once, twice passed
	front.ask(t, token, newSession(t), on(back, doing("handed")), &once, headerWAT, ofGateway)
	if once.Status != 200 || !strings.Contains(string(once.Body), "acw1.") {
		t.Errorf("from agent to agent: %d %s", once.Status, once.Body)
	}
	front.ask(t, token, newSession(t), on(back, doing("handed"), "token", ofStranger), &once, headerWAT, ofGateway)
	if once.Status != 403 {
		t.Errorf("from an agent with another's token: %d %s", once.Status, once.Body)
	}
	resource := back.arn
	deny := `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"bedrock-agentcore:InvokeAgentRuntime","Resource":"` + resource + `"}}`
	if _, err := s.control().PutResourcePolicy(t.Context(), &control.PutResourcePolicyInput{ResourceArn: &resource, Policy: &deny}); err != nil {
		t.Fatal(err)
	}
	if front.ask(t, token, newSession(t), on(back, doing("handed")), &once, headerWAT, ofGateway); once.Status != 403 {
		t.Errorf("from agent to agent, against a policy: %d %s", once.Status, once.Body)
	}
	if _, err := s.control().DeleteResourcePolicy(t.Context(), &control.DeleteResourcePolicyInput{ResourceArn: &resource}); err != nil {
		t.Fatal(err)
	}
	// The gateway is in the chain still when the second agent calls the first.
	front.ask(t, token, newSession(t), on(back, on(front, doing("handed"))), &twice, headerWAT, ofGateway)
	var inner passed
	if err := json.Unmarshal(twice.Body, &inner); err != nil || twice.Status != 200 || inner.Status != 200 {
		t.Errorf("there and back: %d %s", twice.Status, twice.Body)
	}
	through := false
	for _, r := range s.onRecord(t, "--action", "bedrock-agentcore:GetWorkloadAccessToken") {
		through = through || r.Detail["through"] == gateway+" "+front.name()+" "+back.name()
	}
	if !through {
		t.Error("the record does not say through whom an agent was called")
	}
}

// workload makes a workload identity.
func (s *server) workload(t *testing.T, name string) string {
	t.Helper()
	name = fmt.Sprintf("%s.%d", name, time.Now().UnixNano())
	if _, err := s.control().CreateWorkloadIdentity(t.Context(), &control.CreateWorkloadIdentityInput{Name: &name}); err != nil {
		t.Fatal(err)
	}
	return name
}

func (s *server) workloadToken(t *testing.T, name string) string {
	t.Helper()
	got, err := s.data().GetWorkloadAccessToken(t.Context(), &data.GetWorkloadAccessTokenInput{WorkloadName: &name})
	if err != nil {
		t.Fatal(err)
	}
	return *got.WorkloadAccessToken
}
