package compat

import (
	"strings"
	"testing"
	"time"

	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
)

// spending is what an agent says of a call to a model.
type spending struct {
	Text, Error, Message string
	Tokens               int
}

// TestBudget_agentsSpendWhatTheirOwnerAllows has an agent ask models by both of their forms, under budgets that its
// owner changes while it lives.
func TestBudget_agentsSpendWhatTheirOwnerAllows(t *testing.T) {
	s := shared(t)
	d := guestAgent
	d.name, d.tags = "thrifty", map[string]string{"moorage:session-tokens": "10"}
	a := s.deployed(t, d)
	ask := func(session, op, model string) (out spending, err error) {
		err = a.call(t.Context(), session, map[string]any{"op": op, "text": "Hello from inside", "model": model}, &out)
		return out, err
	}
	answered := func(session, op, model string) {
		t.Helper()
		if got, err := ask(session, op, model); err != nil || got.Error != "" || got.Tokens == 0 {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	refused := func(session, op, model, name, words string) {
		t.Helper()
		if got, err := ask(session, op, model); err != nil || got.Error != name || !strings.Contains(got.Message, words) {
			t.Errorf("%s: %+v, %v", op, got, err)
		}
	}
	tag := func(tags map[string]string) {
		t.Helper()
		if _, err := s.control().TagResource(t.Context(), &control.TagResourceInput{ResourceArn: &a.arn, Tags: tags}); err != nil {
			t.Fatal(err)
		}
	}

	untag := &control.UntagResourceInput{ResourceArn: &a.arn, TagKeys: []string{"moorage:session-dollars", "moorage:daily-tokens", "moorage:budget-spent"}}
	if _, err := s.control().UntagResource(t.Context(), untag); err != nil { // of an earlier run
		t.Fatal(err)
	}
	tag(d.tags)

	const nova = "us.amazon.nova-pro-v1:0"
	first := newSession(t)
	answered(first, "converse", nova)
	refused(first, "converse", nova, "ServiceQuotaExceededException", "the budget of this session is used up")
	refused(first, "chat", nova, "RateLimitError", "the budget of this session is used up")
	s.tells(t, []string{"sessions", "show", first}, " of 10 tokens (used up: calls to models are refused)")
	s.tells(t, []string{"status", "--name", a.id}, "models today", "each session", "at most 10 tokens, then calls to models are refused")
	answered(newSession(t), "converse", nova) // another session has its own

	// What is paid for counts by its price; the provider is the server's own door, under a model's name that has one.
	key := s.client.AccessKeyID + ":" + s.client.SecretAccessKey
	t.Setenv("MOORAGE_MODEL_KEY", key)
	for _, args := range [][]string{
		{"models", "add", "again", "--kind", "openai", "--url", s.client.Endpoint + "/v1"},
		{"models", "route", "dear", "again", "--model", nova},
	} {
		if out, err := s.cli(t.Context(), args...); err != nil {
			t.Fatal(err, out)
		}
	}
	defer s.cli(t.Context(), "models", "remove", "again")
	defer s.cli(t.Context(), "models", "unroute", "dear")
	tag(map[string]string{"moorage:session-tokens": "1000000", "moorage:session-dollars": "0.000001"})
	second := newSession(t)
	answered(second, "converse", "dear")
	refused(second, "converse", "dear", "ServiceQuotaExceededException", "of $1e-06")

	tag(map[string]string{"moorage:session-dollars": "1000", "moorage:daily-tokens": "1", "moorage:budget-spent": "end"})
	last := newSession(t)
	if _, err := ask(last, "converse", nova); err == nil {
		t.Log("the answer was there before the session's end")
	}
	s.ends(t, last, "the budget of this agent runtime for today (UTC) is used up")
	s.tells(t, []string{"status", "--name", a.id}, " of 1 tokens", "(used up: the session ends)", "at most 1,000,000 tokens and $1000.00, then it ends")
	s.tells(t, []string{"sessions", "show", last}, "because", "the budget of this agent runtime for today (UTC) is used up")
	s.tells(t, []string{"status", "--name", a.id, "--json"}, `"spendingToday": {`, `"maxTokens": 1`, `"atTheLimit": "end"`)

	_, err := s.control().TagResource(t.Context(), &control.TagResourceInput{ResourceArn: &a.arn, Tags: map[string]string{"moorage:daily-tokens": "many"}})
	if err == nil || !strings.Contains(err.Error(), "is a number of tokens such as 200000") {
		t.Errorf("a budget that is none: %v", err)
	}
}

// ends waits until a session is over, and holds its report to say why.
func (s *server) ends(t *testing.T, callerID, why string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		known, err := s.sessions(t.Context(), callerID)
		if err != nil {
			t.Fatal(err)
		}
		if len(known) == 1 && known[0].EndReason != "" {
			if !strings.Contains(known[0].EndReason, why) {
				t.Errorf("its report says %q", known[0].EndReason)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it lives on: %+v", known)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// tells holds that a command's answer has some words in it.
func (s *server) tells(t *testing.T, command []string, words ...string) {
	t.Helper()
	out, err := s.cli(t.Context(), command...)
	if err != nil {
		t.Fatal(err)
	}
	wantWords(t, out, words...)
}
