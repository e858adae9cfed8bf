package compat

import (
	"bufio"
	wirebinary "encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
)

// identityAgent uses the identity service through the Python SDK's own decorators.
var identityAgent = deployment{name: "identity_agent", source: "identityagent", entry: "agent.py"}

// behindOpenID is identityAgent for callers with tokens of a provider.
func behindOpenID(p openIDProvider, name string) deployment {
	d := identityAgent
	d.name, d.authorizer = name, p.authorizer(nil)
	return d
}

func doing(name string, more ...any) map[string]any {
	out := map[string]any{"op": name}
	for i := 0; i < len(more); i += 2 {
		out[more[i].(string)] = more[i+1]
	}
	return out
}

// name is the agent's runtime id, and that of its workload identity.
func (a *agent) name() string { return a.arn[strings.LastIndex(a.arn, "/")+1:] }

// ask is callWith for any payload, with further headers, and reads the answer.
func (a *agent) ask(t *testing.T, token, session string, in any, out any, more ...string) int {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), "POST", a.server.client.Endpoint+"/runtimes/"+url.QueryEscape(a.arn)+"/invocations", strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", session)
	r.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i < len(more); i += 2 {
		r.Header.Set(more[i], more[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode == 200 {
		err = json.Unmarshal(said, out)
	}
	if err != nil || answer.StatusCode != 200 && out != nil {
		t.Fatalf("%d %s: %v", answer.StatusCode, said, err)
	}
	return answer.StatusCode
}

func TestWorkloads_agentsAreHandedTokensThatNobodyForges(t *testing.T) {
	s, p := shared(t), newOpenIDProvider(t)
	a, signed := s.deployed(t, behindOpenID(p, "holds_tokens")), s.deployed(t, identityAgent)
	var handed struct{ Token, Callback string }
	a.ask(t, p.token(t), newSession(t), doing("token"), &handed,
		"WorkloadAccessToken", "forged", "X-Amz-Bedrock-AgentCore-Identity-WAT", "forged", "OAuth2CallbackUrl", "https://evil.example/")
	if !strings.HasPrefix(handed.Token, "acw1.") || handed.Callback != "" {
		t.Errorf("the agent of a caller with a token was handed %+v", handed)
	}
	const home = "https://app.example/done"
	_, err := s.control().UpdateWorkloadIdentity(t.Context(), &control.UpdateWorkloadIdentityInput{Name: aws.String(a.name()), AllowedResourceOauth2ReturnUrls: []string{home}})
	if err != nil {
		t.Fatal(err)
	}
	if a.ask(t, p.token(t), newSession(t), doing("token"), &handed); handed.Callback != home {
		t.Errorf("users return to %q, want %q", handed.Callback, home)
	}
	var nobody, ann struct{ Token *string }
	if err := signed.call(t.Context(), newSession(t), doing("token"), &nobody); err != nil || nobody.Token != nil {
		t.Errorf("on nobody's behalf: %v, %v", nobody.Token, err)
	}
	if err := signed.callAs(t.Context(), newSession(t), "ann", doing("token"), &ann); err != nil || ann.Token == nil || !strings.HasPrefix(*ann.Token, "acw1.") {
		t.Errorf("on a user's behalf: %v, %v", ann.Token, err)
	}
	wantError(t, signed.callAs(t.Context(), newSession(t), strings.Repeat("u", 129), doing("token"), &ann), "ValidationException")
	if status := a.ask(t, handed.Token, newSession(t), doing("token"), nil); status != 403 {
		t.Errorf("a workload access token as a bearer token: %d", status)
	}
	socket := a.socket(t, p.token(t))
	for name, value := range socket {
		if !strings.HasPrefix(value, "acw1.") {
			t.Errorf("over a WebSocket the agent got %s: %q", name, value)
		}
	}
	if len(socket) != 2 {
		t.Errorf("over a WebSocket the agent got %v", socket)
	}
}

// socket opens the agent's WebSocket with forged tokens, says something, and returns the answer.
func (a *agent) socket(t *testing.T, token string) (said map[string]string) {
	t.Helper()
	endpoint, err := url.Parse(a.server.client.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", endpoint.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r, err := http.NewRequest("GET", a.server.client.Endpoint+"/runtimes/"+url.QueryEscape(a.arn)+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
		"Authorization": {"Bearer " + token}, "Workloadaccesstoken": {"forged"}, "X-Amz-Bedrock-Agentcore-Identity-Wat": {"forged"},
		"X-Amzn-Bedrock-Agentcore-Runtime-Session-Id": {newSession(t)},
	}
	if err := r.Write(conn); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	answer, err := http.ReadResponse(in, r)
	if err != nil || answer.StatusCode != 101 {
		t.Fatalf("the upgrade: %v, %v", answer, err)
	}
	conn.Write([]byte("\x81\x82\x00\x00\x00\x00hi")) // a text of two bytes under a mask of zeros
	head := make([]byte, 4)
	if _, err := io.ReadFull(in, head); err != nil || head[0] != 0x81 || head[1] != 126 {
		t.Fatalf("a frame that begins with % x: %v", head, err)
	}
	body := make([]byte, wirebinary.BigEndian.Uint16(head[2:]))
	if _, err := io.ReadFull(in, body); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, &said); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return said
}

func TestWorkloads_identitiesOfCallers(t *testing.T) {
	s, p := shared(t), newOpenIDProvider(t)
	c := s.control()
	name := fmt.Sprintf("tests.%d", time.Now().UnixNano())
	made, err := c.CreateWorkloadIdentity(t.Context(), &control.CreateWorkloadIdentityInput{
		Name: &name, AllowedResourceOauth2ReturnUrls: []string{"https://one.example/"}, Tags: map[string]string{"moorage:discovery-url": p.discovery()},
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := "arn:aws:bedrock-agentcore:" + s.client.Region + ":" + s.client.Account + ":workload-identity-directory/default/workload-identity/" + name; *made.WorkloadIdentityArn != want {
		t.Errorf("its ARN is %s", *made.WorkloadIdentityArn)
	}
	_, err = c.CreateWorkloadIdentity(t.Context(), &control.CreateWorkloadIdentityInput{Name: &name})
	wantWords(t, wantError(t, err, "ValidationException"), name, "already exists")
	list, err := c.ListWorkloadIdentities(t.Context(), &control.ListWorkloadIdentitiesInput{MaxResults: aws.Int32(1)})
	if err != nil || len(list.WorkloadIdentities) != 1 {
		t.Errorf("a page of one: %+v, %v", list, err)
	}
	tokens := s.data()
	if got, err := tokens.GetWorkloadAccessToken(t.Context(), &data.GetWorkloadAccessTokenInput{WorkloadName: &name}); err != nil || !strings.HasPrefix(*got.WorkloadAccessToken, "acw1.") {
		t.Errorf("a token: %v", err)
	}
	if _, err := tokens.GetWorkloadAccessTokenForUserId(t.Context(), &data.GetWorkloadAccessTokenForUserIdInput{WorkloadName: &name, UserId: aws.String("ann")}); err != nil {
		t.Error(err)
	}
	jwt := p.token(t)
	if _, err := tokens.GetWorkloadAccessTokenForJWT(t.Context(), &data.GetWorkloadAccessTokenForJWTInput{WorkloadName: &name, UserToken: &jwt}); err != nil {
		t.Error(err)
	}
	forged := jwt[:len(jwt)-6] + "AAAAAA"
	if _, err := tokens.GetWorkloadAccessTokenForJWT(t.Context(), &data.GetWorkloadAccessTokenForJWTInput{WorkloadName: &name, UserToken: &forged}); err == nil {
		t.Error("a forged token of a user was taken")
	}
	runtimes := s.deployed(t, probe).name()
	_, err = tokens.GetWorkloadAccessToken(t.Context(), &data.GetWorkloadAccessTokenInput{WorkloadName: &runtimes})
	wantWords(t, wantError(t, err, "AccessDeniedException"), "WorkloadIdentity is linked to a service and cannot retrieve an access token by the caller")
	_, err = c.DeleteWorkloadIdentity(t.Context(), &control.DeleteWorkloadIdentityInput{Name: &runtimes})
	wantWords(t, wantError(t, err, "ValidationException"), "belongs to agent runtime")
	if _, err := c.DeleteWorkloadIdentity(t.Context(), &control.DeleteWorkloadIdentityInput{Name: &name}); err != nil {
		t.Error(err)
	}
	_, err = c.GetWorkloadIdentity(t.Context(), &control.GetWorkloadIdentityInput{Name: &name})
	wantError(t, err, "ResourceNotFoundException")
}
