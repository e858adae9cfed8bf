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
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	controltypes "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"

	"github.com/moorage-dev/moorage/internal/identity/pool"
	"github.com/moorage-dev/moorage/internal/store"
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

// unique is a runtime's name that no other test, nor this one before, has: its authorizer is for a pool of this test.
func unique(name string) string {
	return fmt.Sprintf("%s_%d", name, time.Now().UnixNano()%1_000_000_000)
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
	var made struct{ UserPool struct{ ID string } }
	var client struct {
		UserPoolClient struct{ ClientID, UserPoolID string }
	}
	var auth struct {
		AuthenticationResult struct{ AccessToken, RefreshToken string }
	}
	for name, into := range map[string]any{"pool.json": &made, "client.json": &client, "auth.json": &auth} {
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
	if made.UserPool.ID != p.Pool.ID || p.Client == "" || !strings.Contains(string(out), p.Discovery) {
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
	d.name, d.authorizer = unique("behind_pool"), &controltypes.AuthorizerConfigurationMemberCustomJWTAuthorizer{Value: controltypes.CustomJWTAuthorizerConfiguration{
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

	t.Run("an expired token", func(t *testing.T) {
		want("expired", "Bearer "+s.tokenOfThen(t, p.Client, "testuser", "MyPassword123!", 2*time.Hour), session, 401, "Token has expired")
		want("of a minute ago", "Bearer "+s.tokenOfThen(t, p.Client, "testuser", "MyPassword123!", time.Minute), session, 200, `"count": 3`)
	})
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
		d.name = unique("for_one_user")
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

// tokenOfThen signs a user in some time ago, by the server's own pools and keys: a test does not wait for an hour to pass.
func (s *server) tokenOfThen(t *testing.T, client, name, password string, ago time.Duration) string {
	t.Helper()
	db, err := store.Open(t.Context(), s.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	then := func() time.Time { return time.Now().Add(-ago) }
	pools := &pool.Service{Store: db, Key: make([]byte, 32), Region: s.client.Region, Account: s.client.Account, PublicURL: s.client.Endpoint, Now: then}
	if err := pools.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := pools.SignIn(t.Context(), client, name, password, "")
	if err != nil {
		t.Fatal(err)
	}
	return got.Access
}

func (s *server) addUser(t *testing.T, cli, id, name, password string) {
	t.Helper()
	if err := s.aws(t, cli, nil, "cognito-idp", "admin-create-user", "--user-pool-id", id, "--username", name, "--message-action", "SUPPRESS"); err != nil {
		t.Fatal(err)
	}
	if err := s.aws(t, cli, nil, "cognito-idp", "admin-set-user-password", "--user-pool-id", id, "--username", name, "--password", password, "--permanent"); err != nil {
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

func TestUserPool_byBoto3(t *testing.T) {
	s := shared(t)
	cmd := exec.CommandContext(t.Context(), python(t), "-u", "py/pool.py", s.client.Endpoint)
	cmd.Env = s.environment()
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "all done") {
		t.Errorf("%s (%v)", out, err)
	}
}

// poolByCommand makes a pool by command, with the user alice, and returns its client.
func (s *server) poolByCommand(t *testing.T, name, password string, args ...string) (client, discovery string) {
	t.Helper()
	out, err := s.cli(t.Context(), append([]string{"user-pool", "create", name, "--json"}, args...)...)
	if err != nil {
		t.Fatal(out, err)
	}
	var made struct {
		ID, DiscoveryURL string
		Clients          []struct{ ClientID string }
	}
	if err := json.Unmarshal([]byte(out), &made); err != nil || len(made.Clients) != 1 {
		t.Fatal(out, err)
	}
	if out, err := s.poolCommand(t, password, "add-user", made.ID, "alice", "--password-stdin"); err != nil {
		t.Fatal(out, err)
	}
	return made.Clients[0].ClientID, made.DiscoveryURL
}

// poolCommand runs moorage user-pool with something on its standard input.
func (s *server) poolCommand(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), s.bin, append([]string{"user-pool", "--dir", s.dir}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// An agent behind a pool, by Moorage's own commands alone.
func TestUserPool_byCommand(t *testing.T) {
	s := shared(t)
	const password = "correct-horse-battery-staple"
	out, err := s.cli(t.Context(), "deploy", "testdata/probe", "--name", "clipool", "--entrypoint", "main.py", "--user-pool", "staff")
	if err != nil {
		t.Fatal(out, err)
	}
	want := func(stdin, words string, good bool, args ...string) string {
		t.Helper()
		out, err := s.poolCommand(t, stdin, args...)
		if (err == nil) != good || !strings.Contains(out, words) {
			t.Errorf("user-pool %v: %s (%v)", args, out, err)
		}
		return out
	}
	want("", "staff", true, "list")
	want(password, "alice has a password in staff", true, "add-user", "staff", "alice", "--password-stdin")
	want(password, "moorage user-pool set-password staff alice", false, "add-user", "staff", "alice", "--password-stdin")
	want("short", "not long enough", false, "add-user", "staff", "carol", "--password-stdin")
	want("", `"password"`, true, "add-user", "staff", "bob", "--json")
	if users := want("", "CONFIRMED", true, "users", "staff"); strings.Contains(users, "carol") || !strings.Contains(users, "bob") {
		t.Errorf("users: %s", users)
	}
	want("wrong", "Incorrect username or password", false, "token", "staff", "alice")
	token := strings.TrimSpace(want(password, "ey", true, "token", "staff", "alice"))
	if out, err := s.cli(t.Context(), "invoke", "--name", "clipool", "--payload", `{"op":"state"}`); err == nil || !strings.Contains(err.Error(), "Authorization method mismatch") {
		t.Errorf("without a token: %s (%v)", out, err)
	}
	if out, err := s.cli(t.Context(), "invoke", "--name", "clipool", "--bearer-token", token, "--payload", `{"op":"state"}`); err != nil || !strings.Contains(out, `"count": 1`) {
		t.Errorf("with the token: %s (%v)", out, err)
	}
	want("", "removed bob from staff", true, "remove-user", "staff", "bob")
	want("", "moorage user-pool create nosuch", false, "token", "nosuch", "alice")
	want("", "deleted the user pool staff with 1 user", true, "delete", "staff")
	if out, err := s.cli(t.Context(), "destroy", "--name", "clipool"); err != nil {
		t.Error(out, err)
	}
	out, err = s.cli(t.Context(), "audit", "list", "--json")
	if err != nil || !strings.Contains(out, "cognito-idp:InitiateAuth") || strings.Contains(out, password) || strings.Contains(out, token) {
		t.Errorf("the audit record: %s (%v)", out, err)
	}
}

// A user signs in on the login page in a real browser, and the application's token calls an agent.
func TestUserPool_loginPageInABrowser(t *testing.T) {
	b := findBrowser(t)
	s := shared(t)
	const password = "correct-horse-battery-staple"
	home := newApp(t)
	client, discovery := s.poolByCommand(t, "website", password, "--callback-url", home.URL+"/in")
	d := probe
	d.name, d.authorizer = unique("behind_login"), &controltypes.AuthorizerConfigurationMemberCustomJWTAuthorizer{Value: controltypes.CustomJWTAuthorizerConfiguration{
		DiscoveryUrl: &discovery, AllowedClients: []string{client},
	}}
	b.run(t, s, "login.test.mjs", map[string]string{"client": client, "redirect": home.URL + "/in", "password": password, "arn": s.deployed(t, d).arn})
}

// An agent gets a machine's token of a pool that is here, by the address that the pool would have at Cognito.
func TestUserPool_agentsAreItsMachines(t *testing.T) {
	cli := awsCLI(t)
	s := shared(t)
	var made struct{ UserPool struct{ ID string } }
	if err := s.aws(t, cli, &made, "cognito-idp", "create-user-pool", "--pool-name", "machines"); err != nil {
		t.Fatal(err)
	}
	id := made.UserPool.ID
	if err := s.aws(t, cli, nil, "cognito-idp", "create-resource-server", "--user-pool-id", id, "--identifier", "api", "--name", "API", "--scopes", "ScopeName=read,ScopeDescription=Read"); err != nil {
		t.Fatal(err)
	}
	var client struct {
		UserPoolClient struct{ ClientID, ClientSecret string }
	}
	err := s.aws(t, cli, &client, "cognito-idp", "create-user-pool-client", "--user-pool-id", id, "--client-name", "machine", "--generate-secret",
		"--allowed-o-auth-flows", "client_credentials", "--allowed-o-auth-scopes", "api/read", "--allowed-o-auth-flows-user-pool-client")
	if err != nil {
		t.Fatal(err)
	}
	p := openIDProvider{issuer: "https://cognito-idp." + s.client.Region + ".amazonaws.com/" + id}
	provider, _ := s.keepsClient(t, p, client.UserPoolClient.ClientID, client.UserPoolClient.ClientSecret, nil)
	var out struct{ Token, Error, Message string }
	in := doing("access", "provider", provider, "flow", "M2M", "scopes", []string{"api/read"})
	if err := s.deployed(t, identityAgent).callAs(t.Context(), newSession(t), "ann", in, &out); err != nil || strings.Count(out.Token, ".") != 2 {
		t.Errorf("%+v (%v)", out, err)
	}
}
