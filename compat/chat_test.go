package compat

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

func TestChat_openAIClient(t *testing.T) { runChecks(t, "chat.py") }

// TestChat_anAgentAsksByOpenAIsForm has OpenAI's client inside a sandbox, configured by nothing, ask for an answer whole and in
// pieces: both are spans below the session's own. A policy of the role binds it as it binds Bedrock's operations.
func TestChat_anAgentAsksByOpenAIsForm(t *testing.T) {
	s := shared(t)
	a := s.deployed(t, guestAgent)
	session := newSession(t)
	type told struct {
		Text, Streamed, Error, Message string
		Tokens                         int
	}
	ask := func(in map[string]any) (out told) {
		t.Helper()
		in["op"] = "chat"
		if err := a.call(t.Context(), session, in, &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	answer := ask(map[string]any{"text": "Hello from inside"})
	if answer.Error != "" || !strings.Contains(answer.Text, "built-in demo model") || answer.Streamed != answer.Text || answer.Tokens == 0 {
		t.Fatalf("%+v", answer)
	}
	known, err := s.sessions(t.Context(), session)
	if err != nil || len(known) != 1 {
		t.Fatalf("the server lists %+v, %v", known, err)
	}
	const name = "chat us.amazon.nova-pro-v1:0"
	found := s.traceOf(t, known[0].ID, 10*time.Second, func(tr sessionTrace) bool { return len(tr.Traces) > 0 && tr.Traces[0].ModelCalls == 2 })
	if chat := found.Traces[0].span(name); chat.ParentID != found.Traces[0].span("InvokeAgentRuntime").SpanID {
		t.Errorf("the span is %+v", chat)
	}
	if unknown := ask(map[string]any{"text": "Hello", "model": "nobodys-model"}); unknown.Error != "NotFoundError" {
		t.Errorf("of an unknown model: %+v", unknown)
	}
	for what, headers := range map[string]map[string]string{
		"by a name": {"Authorization": "Bearer x", "Host": "models.example:9400"}, "forwarded": {"Authorization": "Bearer x", "X-Forwarded-For": "10.0.0.1"},
		"without a token": {},
	} {
		var got struct{ Status int }
		if err := a.call(t.Context(), session, map[string]any{"op": "led", "headers": headers}, &got); err != nil || got.Status != 401 && got.Status != 403 {
			t.Errorf("%s: %d, %v", what, got.Status, err)
		}
	}

	const trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"bedrock-agentcore.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	s.manage(t, "Action=CreateRole&RoleName=compat&AssumeRolePolicyDocument="+url.QueryEscape(trust))
	defer s.manage(t, "Action=DeleteRole&RoleName=compat")
	if refused := ask(map[string]any{"text": "Hello"}); refused.Error != "PermissionDeniedError" || !strings.Contains(refused.Message, "bedrock:InvokeModel") {
		t.Errorf("under a role that allows nothing: %+v", refused)
	}
}

// manage asks the server's IAM for an operation, as a form.
func (s *server) manage(t *testing.T, form string) {
	t.Helper()
	form += "&Version=2010-05-08"
	r, err := http.NewRequest("POST", s.client.Endpoint+"/", strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	sum := sha256.Sum256([]byte(form))
	key := aws.Credentials{AccessKeyID: s.client.AccessKeyID, SecretAccessKey: s.client.SecretAccessKey}
	if err := v4.NewSigner().SignHTTP(t.Context(), key, r, hex.EncodeToString(sum[:]), "iam", "us-east-1", time.Now()); err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if said, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %s", form, answer.StatusCode, said)
	}
}
