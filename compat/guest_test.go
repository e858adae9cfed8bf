package compat

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// keys are credentials as an agent finds them.
type keys struct {
	ID, Secret, Token string
	Method            string
}

// refusal is what an agent was told in place of an answer.
type refusal struct{ Error, Message string }

// identityOutside asks the server's STS who it is, as from anywhere but a sandbox.
func (s *server) identityOutside(ctx context.Context, k keys) (status int, body string, err error) {
	const question = "Action=GetCallerIdentity&Version=2011-06-15"
	r, err := http.NewRequestWithContext(ctx, "POST", s.client.Endpoint+"/", strings.NewReader(question))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	sum := sha256.Sum256([]byte(question))
	credentials := aws.Credentials{AccessKeyID: k.ID, SecretAccessKey: k.Secret, SessionToken: k.Token}
	if err := v4.NewSigner().SignHTTP(ctx, credentials, r, hex.EncodeToString(sum[:]), "sts", s.client.Region, time.Now()); err != nil {
		return 0, "", err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(b), err
}

func TestGuest_unmodifiedBoto3FindsItsRole(t *testing.T) {
	s := shared(t)
	a := s.deployed(t, guestAgent)
	id, other := newSession(t), newSession(t)
	ask := func(session string, in map[string]any, out any) {
		t.Helper()
		if err := a.call(t.Context(), session, in, out); err != nil {
			t.Fatal(err)
		}
	}
	op := func(name string) map[string]any { return map[string]any{"op": name} }
	internal := func(session string) string {
		t.Helper()
		found, err := s.sessions(t.Context(), session)
		if err != nil || len(found) == 0 {
			t.Fatalf("session %s: %v, %v", session, found, err)
		}
		return found[0].ID
	}
	type who struct{ Account, ARN, UserID, AtImport string }
	checkIdentity := func(when string) {
		t.Helper()
		var got who
		ask(id, op("whoami"), &got)
		want := "arn:aws:sts::" + s.client.Account + ":assumed-role/compat/" + internal(id)
		if got.ARN != want || got.Account != s.client.Account || !strings.HasSuffix(got.UserID, ":"+internal(id)) {
			t.Errorf("%s: it is %+v, want %s", when, got, want)
		}
		if !strings.HasPrefix(got.AtImport, "arn:aws:sts::"+s.client.Account+":assumed-role/compat/") {
			t.Errorf("%s: at import it was %q", when, got.AtImport)
		}
	}
	checkIdentity("at first")

	var mine, found keys
	ask(id, op("credentials"), &mine)
	ask(other, op("credentials"), &found)
	if mine.Method != "container-role" || !strings.HasPrefix(mine.ID, "ASIA") || mine.ID == found.ID {
		t.Errorf("credentials by %s, with the id %s and %s", mine.Method, mine.ID, found.ID)
	}
	var refused refusal
	ask(id, map[string]any{"op": "use", "id": found.ID, "secret": found.Secret, "token": found.Token}, &refused)
	if refused.Error != "InvalidClientTokenId" {
		t.Errorf("another session's credentials: %+v", refused)
	}
	if status, body, err := s.identityOutside(t.Context(), mine); err != nil || status != 403 || !strings.Contains(body, "InvalidClientTokenId") {
		t.Errorf("credentials that were carried away: %d %s, %v", status, body, err)
	}
	refused = refusal{}
	if ask(id, op("control"), &refused); refused.Error != "AccessDeniedException" {
		t.Errorf("the control plane: %+v", refused)
	}
	var machine struct{ Role_Name, Access_Key, Token string }
	if ask(id, op("machine"), &machine); machine.Role_Name != "execution_role" || !strings.HasPrefix(machine.Access_Key, "ASIA") {
		t.Errorf("the machine's metadata: %+v", machine)
	}
	var env map[string]string
	ask(id, op("environment"), &env)
	for name, value := range env {
		for _, secret := range []string{"ASIA", "AKIA", id, internal(id), s.client.SecretAccessKey} {
			if strings.Contains(value, secret) {
				t.Errorf("the environment holds %s=%s", name, value)
			}
		}
	}
	if env["OTEL_EXPORTER_OTLP_ENDPOINT"] != "http://169.254.169.254:4318" {
		t.Errorf("telemetry would go to %q", env["OTEL_EXPORTER_OTLP_ENDPOINT"])
	}

	s.kill()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	checkIdentity("after the server was killed")
	if _, err := s.ask(t.Context(), "POST", "/v1/sessions/"+internal(id)+"/sleep"); err != nil {
		t.Fatal(err)
	}
	checkIdentity("after a sleep")
}
