package identity_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity"
)

func newTemporary(t *testing.T, key string) *identity.Temporary {
	t.Helper()
	temporary, err := identity.NewTemporary([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return temporary
}

// signedBy is a request as an SDK signs it with c.
func signedBy(t *testing.T, d *door, c identity.Credentials) *http.Request {
	t.Helper()
	r := d.request(t, "GET", "/runtimes/", nil)
	creds := aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken}
	if err := v4.NewSigner().SignHTTP(t.Context(), creds, r, noBody, identity.AgentCore, "us-east-1", now); err != nil {
		t.Fatal(err)
	}
	return r
}

var workload = identity.Workload{Sandbox: "sandbox1", Role: "arn:aws:iam::123456789012:role/team/agents/execution", Session: "session1"}

func TestTemporary_worksFromItsSandboxOnly(t *testing.T) {
	const key = "0123456789abcdef0123456789abcdef"
	d := newDoor(t)
	temporary := newTemporary(t, key)
	d.verifier.Temporary = newTemporary(t, key) // another server, with the same key
	creds, err := temporary.Issue(workload, now.Add(15*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	foreign, _ := newTemporary(t, "another key of thirty-two bytes.").Issue(workload, now.Add(15*time.Minute))
	expired, _ := temporary.Issue(workload, now)
	other, _ := temporary.Issue(workload, now.Add(15*time.Minute))
	homeless, _ := temporary.Issue(identity.Workload{Role: workload.Role}, now.Add(15*time.Minute))
	with := func(c identity.Credentials, change func(*identity.Credentials)) identity.Credentials {
		change(&c)
		return c
	}
	for name, c := range map[string]struct {
		creds     identity.Credentials
		from      identity.Workload
		principal string
		exception string
		says      string
	}{
		"the sandbox's own":      {creds, workload, "arn:aws:sts::123456789012:assumed-role/execution/session1", "", ""},
		"before its session":     {creds, identity.Workload{Sandbox: "sandbox1"}, "arn:aws:sts::123456789012:assumed-role/execution/sandbox1", "", ""},
		"another sandbox":        {creds, identity.Workload{Sandbox: "sandbox2"}, "", "UnrecognizedClientException", "only from inside the sandbox"},
		"outside":                {creds, identity.Workload{}, "", "UnrecognizedClientException", "only from inside the sandbox"},
		"for no sandbox":         {homeless, identity.Workload{}, "", "UnrecognizedClientException", "only from inside the sandbox"},
		"another server's":       {foreign, workload, "", "UnrecognizedClientException", "not made here"},
		"expired":                {expired, workload, "", "ExpiredTokenException", "expired"},
		"without token":          {with(creds, func(c *identity.Credentials) { c.SessionToken = "" }), workload, "", "UnrecognizedClientException", "needs its session token"},
		"another key's token":    {with(creds, func(c *identity.Credentials) { c.SessionToken = other.SessionToken }), workload, "", "UnrecognizedClientException", "not made here"},
		"another key's secret":   {with(creds, func(c *identity.Credentials) { c.SecretAccessKey = other.SecretAccessKey }), workload, "", "InvalidSignatureException", "does not match"},
		"an altered token":       {with(creds, func(c *identity.Credentials) { c.SessionToken = "AAAA" + c.SessionToken[4:] }), workload, "", "UnrecognizedClientException", "not made here"},
		"a token that is no one": {with(creds, func(c *identity.Credentials) { c.SessionToken = "!" }), workload, "", "UnrecognizedClientException", "not made here"},
	} {
		t.Run(name, func(t *testing.T) {
			d.from = func(ctx context.Context) context.Context { return identity.WithWorkload(ctx, c.from) }
			signed, err := d.try(t, signedBy(t, d, c.creds))
			var coded *moorage.Error
			errors.As(err, &coded)
			switch {
			case c.exception == "" && (err != nil || signed.Caller.ARN != c.principal):
				t.Errorf("%+v, %v", signed, err)
			case c.exception == "" && signed.Caller.Owner() != "arn:aws:iam::123456789012:role/execution":
				t.Errorf("its sessions would belong to %s", signed.Caller.Owner())
			case c.exception != "" && (coded == nil || coded.Exception != c.exception || !strings.Contains(coded.Message, c.says)):
				t.Errorf("%v, want %s", err, c.exception)
			}
		})
	}
}

func TestTemporary_noTwoAreAlike(t *testing.T) {
	temporary := newTemporary(t, "0123456789abcdef0123456789abcdef")
	a, err1 := temporary.Issue(workload, now)
	b, err2 := temporary.Issue(workload, now)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if a.AccessKeyID == b.AccessKeyID || a.SecretAccessKey == b.SecretAccessKey || a.SessionToken == b.SessionToken {
		t.Errorf("two keys share something: %q %q", a.AccessKeyID, b.AccessKeyID)
	}
	if len(a.AccessKeyID) != 20 || len(a.SecretAccessKey) != 40 {
		t.Errorf("an id of %d and a secret of %d characters", len(a.AccessKeyID), len(a.SecretAccessKey))
	}
}
