package compat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
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

func TestAudit_isVerifiedWithoutAServer(t *testing.T) {
	s := own(t)
	if _, err := s.control().ListAgentRuntimes(t.Context(), &control.ListAgentRuntimesInput{}); err != nil {
		t.Fatal(err)
	}
	s.onRecord(t) // which has it written
	if out, err := s.cli(t.Context(), "audit", "verify", "--offline"); err != nil || !strings.Contains(out, "nothing was changed or removed") {
		t.Errorf("beside a server: %s (%v)", out, err)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	out, err := s.cli(t.Context(), "audit", "verify")
	if err != nil || !strings.Contains(out, "nothing was changed or removed") || strings.HasPrefix(out, "0 records") {
		t.Errorf("without one: %s (%v)", out, err)
	}
	segments, err := filepath.Glob(filepath.Join(s.dir, "audit", "*.jsonl"))
	if err != nil || len(segments) != 1 {
		t.Fatal(segments, err)
	}
	whole, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(segments[0], whole[bytes.IndexByte(whole, '\n')+1:], 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := s.cli(t.Context(), "audit", "verify"); err == nil || !strings.Contains(err.Error(), "records 1 to 1 were removed") {
		t.Errorf("without its first record: %s (%v)", out, err)
	}
	if err := os.WriteFile(segments[0], whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
}

// onRecord lists records of the kind, as the command prints them.
func (s *server) onRecord(t *testing.T, args ...string) (records []struct {
	Refused                     bool
	Kind                        string
	Action, Key, Caller, Reason string
	Detail                      map[string]string
}) {
	t.Helper()
	out, err := s.cli(t.Context(), append([]string{"audit", "list", "--limit", "10000", "--json"}, args...)...)
	if err != nil {
		t.Fatal(out, err)
	}
	all := struct{ Records any }{&records}
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		t.Fatal(out, err)
	}
	return records
}

// Of a key that is gone the record is all that is left: it says which one it was, by each way to delete it.
func TestAudit_saysWhichAccessKeyWasDeleted(t *testing.T) {
	s := shared(t)
	user := fmt.Sprintf("keeps-keys-%d", time.Now().UnixNano())
	s.manage(t, "Action=CreateUser&UserName="+user)
	ids := map[string]string{} // by how they are deleted
	for _, by := range []string{"iam", "v1"} {
		var made struct{ ID string }
		if body, err := s.ask(t.Context(), "POST", "/v1/users/"+user+"/access-keys"); err != nil || json.Unmarshal(body, &made) != nil || made.ID == "" {
			t.Fatal(string(body), err)
		}
		ids[by] = made.ID
	}
	s.manage(t, "Action=UpdateAccessKey&Status=Inactive&UserName="+user+"&AccessKeyId="+ids["iam"])
	s.manage(t, "Action=DeleteAccessKey&UserName="+user+"&AccessKeyId="+ids["iam"])
	if _, err := s.ask(t.Context(), "DELETE", "/v1/users/"+user+"/access-keys/"+ids["v1"]); err != nil {
		t.Fatal(err)
	}
	for action, want := range map[string][]string{"iam:DeleteAccessKey": {ids["iam"], ids["v1"]}, "iam:UpdateAccessKey": {ids["iam"]}} {
		said := map[string]bool{}
		for _, r := range s.onRecord(t, "--action", action) {
			said[r.Detail["accessKey"]] = true
		}
		for _, id := range want {
			if !said[id] {
				t.Errorf("%s of %s is not on record: %v", action, id, said)
			}
		}
	}
}

// TestAudit_aChatIsNoChange asks a model by both forms: each is on record as a decision, and nothing as a change.
func TestAudit_aChatIsNoChange(t *testing.T) {
	s := own(t)
	for path, body := range map[string]string{
		"/v1/chat/completions":    `{"model":"builtin","messages":[{"role":"user","content":"hello"}]}`,
		"/model/builtin/converse": `{"messages":[{"role":"user","content":[{"text":"hello"}]}]}`,
	} {
		r, err := http.NewRequestWithContext(t.Context(), "POST", s.client.Endpoint+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+s.client.AccessKeyID+":"+s.client.SecretAccessKey)
		r.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		found := s.onRecord(t, "--request", answer.Header.Get("x-amzn-RequestId"), "--action", "bedrock:InvokeModel")
		if answer.StatusCode != http.StatusOK || len(found) != 1 || found[0].Kind != "decision" {
			t.Errorf("%s: %s, on record as %+v", path, answer.Status, found)
		}
	}
	if changed := s.onRecord(t, "--kind", "change"); len(changed) > 0 {
		t.Errorf("changes on record: %+v", changed)
	}
}

func TestAudit_loginsAndTokensAreOnRecordAndPollingIsCounted(t *testing.T) {
	s := own(t)
	post := func(body string) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "POST", s.client.Endpoint+"/console/login", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer
	}
	const swapped = `{"accessKeyId":"canary-of-a-secret-in-the-wrong-field","secretAccessKey":"x"}`
	if answer := post(swapped); answer.StatusCode != 401 {
		t.Errorf("a wrong login: %s", answer.Status)
	}
	login := post(`{"accessKeyId":"` + s.client.AccessKeyID + `","secretAccessKey":"` + s.client.SecretAccessKey + `"}`)
	if login.StatusCode != 200 || len(login.Cookies()) != 1 {
		t.Fatal(login.Status)
	}
	for range 50 {
		for _, at := range []string{"/v1/sessions", "/v1/traces"} {
			r, err := http.NewRequestWithContext(t.Context(), "GET", s.client.Endpoint+at, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			r.AddCookie(login.Cookies()[0])
			if status, _, body := answered(t, r); status != 200 {
				t.Fatal(status, body)
			}
		}
	}
	name := "audited"
	if _, err := s.control().CreateWorkloadIdentity(t.Context(), &control.CreateWorkloadIdentityInput{Name: &name}); err != nil {
		t.Fatal(err)
	}
	user := "ann"
	if _, err := s.data().GetWorkloadAccessTokenForUserId(t.Context(), &data.GetWorkloadAccessTokenForUserIdInput{WorkloadName: &name, UserId: &user}); err != nil {
		t.Fatal(err)
	}
	tokens := s.onRecord(t, "--kind", "token")
	if len(tokens) != 3 || !tokens[0].Refused || tokens[0].Key != "" || tokens[1].Refused || tokens[1].Action != "moorage:ConsoleLogin" || tokens[1].Key != s.client.AccessKeyID ||
		!strings.HasSuffix(tokens[1].Caller, ":user/admin") || tokens[2].Action != "bedrock-agentcore:GetWorkloadAccessToken" || !strings.Contains(tokens[2].Detail["user"], "ann") {
		t.Errorf("tokens on record: %+v", tokens)
	}
	if n := len(s.onRecord(t, "--action", "moorage:ListSessions")); n != 1 {
		t.Errorf("%d records of 50 readings", n)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	records := s.onRecord(t, "--action", "moorage:ListSessions")
	if len(records) != 2 || records[1].Detail["repeated"] != "49" {
		t.Errorf("after the server left: %+v", records)
	}
	if text, err := os.ReadFile(filepath.Join(s.dir, "audit", "000000000001.jsonl")); err != nil || strings.Contains(string(text), "canary") {
		t.Errorf("what was typed into the wrong field is on record (%v)", err)
	}
}
