package compat

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	controltypes "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
)

// awsCLI is a directory with a command aws that goes to the server. Debian's is older than AWS_ENDPOINT_URL.
func awsCLI(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"/usr/bin/aws", "/usr/bin/jq"} {
		if _, err := os.Stat(name); err != nil {
			t.Skipf("%s is not installed", name)
		}
	}
	dir := t.TempDir()
	script := "#!/bin/sh\nexec /usr/bin/aws --endpoint-url \"$AWS_ENDPOINT_URL\" \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, "aws"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// aws runs the AWS CLI and decodes what it prints.
func (s *server) aws(t *testing.T, cli string, out any, args ...string) error {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(cli, "aws"), append(args, "--output", "json")...)
	cmd.Env = s.environment()
	raw, err := cmd.Output()
	if exit, ok := err.(*exec.ExitError); ok {
		return fmt.Errorf("%s", exit.Stderr)
	}
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(raw, out)
}

// userPool is what the lab's script leaves behind.
type userPool struct {
	Pool                              struct{ ID string }
	Client, Discovery, Token, Refresh string
}

// labScript runs the lab's script for Cognito.
func (s *server) labScript(t *testing.T, cli string) (p userPool) {
	t.Helper()
	script, err := filepath.Abs("testdata/cognito.sh")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "bash", script)
	cmd.Dir, cmd.Env = t.TempDir(), append(s.environment(), "PATH="+cli+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var pool struct{ UserPool struct{ ID string } }
	var client struct {
		UserPoolClient struct{ ClientID, UserPoolID string }
	}
	var auth struct {
		AuthenticationResult struct{ AccessToken, RefreshToken string }
	}
	for name, into := range map[string]any{"pool.json": &pool, "client.json": &client, "auth.json": &auth} {
		raw, err := os.ReadFile(filepath.Join(cmd.Dir, name))
		if err == nil {
			err = json.Unmarshal(raw, into)
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	p.Pool.ID, p.Client = client.UserPoolClient.UserPoolID, client.UserPoolClient.ClientID
	p.Token, p.Refresh = auth.AuthenticationResult.AccessToken, auth.AuthenticationResult.RefreshToken
	p.Discovery = "https://cognito-idp." + s.client.Region + ".amazonaws.com/" + p.Pool.ID + "/.well-known/openid-configuration"
	if pool.UserPool.ID != p.Pool.ID || p.Client == "" || !strings.Contains(string(out), p.Discovery) {
		t.Fatalf("the script made %+v\n%s", p, out)
	}
	return p
}

// The lab's notebook, Part 2: an agent behind a user pool, from the AWS CLI to the answer.
func TestUserPool_theNotebooksPart2(t *testing.T) {
	cli := awsCLI(t)
	s := shared(t)
	p := s.labScript(t, cli)
	d := probe
	d.name, d.authorizer = "behind_pool", &controltypes.AuthorizerConfigurationMemberCustomJWTAuthorizer{Value: controltypes.CustomJWTAuthorizerConfiguration{
		DiscoveryUrl: &p.Discovery, AllowedClients: []string{p.Client},
	}}
	a := s.deployed(t, d)
	session := newSession(t)

	// The cell that is expected to fail: the toolkit without a token signs.
	err := a.call(t.Context(), session, map[string]any{"op": "state"}, nil)
	wantWords(t, wantError(t, err, "AccessDeniedException"), "Authorization method mismatch. The agent is configured for a different authorization method than what was used in your request. Check the agent's authorization configuration and ensure your request uses the matching method (OAuth or SigV4)")

	want := func(what, token, session string, status int, words string) {
		t.Helper()
		if got, _, body := a.callWith(t, token, session); got != status || !strings.Contains(body, words) {
			t.Errorf("%s: %d %s, want %d %s", what, got, body, status, words)
		}
	}
	want("no credentials", "", session, 401, "Missing Authentication Token")
	want("the token", "Bearer "+p.Token, session, 200, `"count": 1`)
	want("the token again", "Bearer "+p.Token, session, 200, `"count": 2`)

	var made struct{ UserPoolClient struct{ ClientID string } }
	if err := s.aws(t, cli, &made, "cognito-idp", "create-user-pool-client", "--user-pool-id", p.Pool.ID, "--client-name", "Other", "--explicit-auth-flows", "ALLOW_USER_PASSWORD_AUTH"); err != nil {
		t.Fatal(err)
	}
	other := s.signIn(t, cli, made.UserPoolClient.ClientID, "testuser", "MyPassword123!")
	want("another client's", "Bearer "+other, session, 401, "Claim 'client_id' value mismatch with configuration.")

	t.Run("another user", func(t *testing.T) {
		s.addUser(t, cli, p.Pool.ID, "intruder", "Intruder123!")
		token := s.signIn(t, cli, p.Client, "intruder", "Intruder123!")
		want("has a session of their own", "Bearer "+token, session, 200, `"count": 1`)
		d.authorizer = &controltypes.AuthorizerConfigurationMemberCustomJWTAuthorizer{Value: controltypes.CustomJWTAuthorizerConfiguration{
			DiscoveryUrl: &p.Discovery, AllowedClients: []string{p.Client}, CustomClaims: []controltypes.CustomClaimValidationType{{
				InboundTokenClaimName: aws.String("username"), InboundTokenClaimValueType: controltypes.InboundTokenClaimValueTypeString,
				AuthorizingClaimMatchValue: &controltypes.AuthorizingClaimMatchValueType{
					ClaimMatchOperator: controltypes.ClaimMatchOperatorTypeEquals, ClaimMatchValue: &controltypes.ClaimMatchValueTypeMemberMatchValueString{Value: "testuser"},
				},
			}},
		}}
		d.name = "for_one_user"
		b := s.deployed(t, d)
		if got, _, body := b.callWith(t, "Bearer "+token, session); got != 401 || !strings.Contains(body, "Claim 'username' value mismatch with configuration.") {
			t.Errorf("another user: %d %s", got, body)
		}
		if got, _, body := b.callWith(t, "Bearer "+p.Token, session); got != 200 {
			t.Errorf("the user: %d %s", got, body)
		}
	})
	t.Run("where to get a token", func(t *testing.T) {
		answer, err := http.Get(s.client.Endpoint + "/" + p.Pool.ID + "/.well-known/openid-configuration")
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		var doc struct{ Issuer, JWKSURI string }
		if err := json.NewDecoder(answer.Body).Decode(&doc); err != nil || doc.Issuer+"/.well-known/openid-configuration" != p.Discovery {
			t.Errorf("%+v (%v)", doc, err)
		}
	})
	t.Run("a pool that is gone", func(t *testing.T) {
		if err := s.aws(t, cli, nil, "cognito-idp", "delete-user-pool", "--user-pool-id", p.Pool.ID); err != nil {
			t.Fatal(err)
		}
		if got, _, body := a.callWith(t, "Bearer "+p.Token, session); got != 500 && got != 503 && got != 401 {
			t.Errorf("a token of a pool that is gone: %d %s", got, body)
		}
	})
}

func (s *server) addUser(t *testing.T, cli, pool, name, password string) {
	t.Helper()
	if err := s.aws(t, cli, nil, "cognito-idp", "admin-create-user", "--user-pool-id", pool, "--username", name, "--message-action", "SUPPRESS"); err != nil {
		t.Fatal(err)
	}
	if err := s.aws(t, cli, nil, "cognito-idp", "admin-set-user-password", "--user-pool-id", pool, "--username", name, "--password", password, "--permanent"); err != nil {
		t.Fatal(err)
	}
}

// signIn returns an access token.
func (s *server) signIn(t *testing.T, cli, client, name, password string) string {
	t.Helper()
	var auth struct{ AuthenticationResult struct{ AccessToken string } }
	err := s.aws(t, cli, &auth, "cognito-idp", "initiate-auth", "--client-id", client, "--auth-flow", "USER_PASSWORD_AUTH", "--auth-parameters", "USERNAME="+name+",PASSWORD="+password)
	if err != nil {
		t.Fatal(err)
	}
	return auth.AuthenticationResult.AccessToken
}
