package compat

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/example/server/storage"
)

const consoleCallback = "/console/login/callback"

// people makes a user who may do everything, and a role that may read.
func (s *server) people(t *testing.T) {
	t.Helper()
	cli := awsCLI(t)
	for _, args := range [][]string{
		{"create-user", "--user-name", "zoe"},
		{"attach-user-policy", "--user-name", "zoe", "--policy-arn", "arn:aws:iam::aws:policy/AdministratorAccess"},
		{"create-role", "--role-name", "reader", "--assume-role-policy-document", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + s.client.Account + `"},"Action":"sts:AssumeRole"}}`},
		{"attach-role-policy", "--role-name", "reader", "--policy-arn", "arn:aws:iam::aws:policy/ReadOnlyAccess"},
	} {
		if err := s.aws(t, cli, nil, append([]string{"iam"}, args...)...); err != nil {
			t.Fatal(err)
		}
	}
}

// again starts the server anew with other arguments.
func (s *server) again(t *testing.T, args ...string) {
	t.Helper()
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s.args = args
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
}

// People log in to the console by a user pool of this server, with nothing else installed.
func TestConsole_openIDByAUserPool(t *testing.T) {
	b := findBrowser(t)
	s := own(t)
	s.people(t)
	const password = "correct-horse-battery-staple"
	client, discovery := s.poolByCommand(t, "staff", password, "--callback-url", s.client.Endpoint+consoleCallback)
	if out, err := s.poolCommand(t, password, "add-user", "staff", "mallory", "--password-stdin"); err != nil {
		t.Fatal(out, err)
	}
	s.again(t, "--console-issuer", discovery, "--console-client-id", client, "--console-grant", "cognito:username=alice=role/reader")
	b.run(t, s, "openid.test.mjs", map[string]string{
		"kind": "pool", "provider": "staff", "known": "alice", "stranger": "mallory", "password": password, "becomes": ":assumed-role/reader/alice$",
	})
	logins := s.onRecord(t, "--action", "moorage:ConsoleLogin")
	in, strangers, forged := 0, 0, 0
	for _, r := range logins {
		switch {
		case !r.Refused && strings.HasSuffix(r.Caller, ":role/reader") && strings.Contains(r.Detail["person"], "#") && r.Detail["name"] == "alice":
			in++
		case r.Refused && r.Detail["name"] == "mallory" && strings.Contains(r.Reason, "no --console-grant"):
			strangers++
		case r.Refused && r.Detail["person"] == "":
			forged++
		}
	}
	if in < 3 || strangers != 1 || forged < 5 {
		t.Errorf("%d logins, %d strangers and %d forged answers are on record: %+v", in, strangers, forged, logins)
	}
	acted := s.onRecord(t, "--action", "iam:CreateAccessKey")
	if len(acted) == 0 || !acted[0].Refused || !strings.Contains(acted[0].Detail["person"], "#") {
		t.Errorf("who was behind the role is not on record: %+v", acted)
	}
}

// People log in to the console by a provider of another's.
func TestConsole_openIDByAnotherProvider(t *testing.T) {
	b := findBrowser(t)
	p := newOpenIDProvider(t)
	s := own(t)
	s.people(t)
	id := fmt.Sprintf("console-%d", time.Now().UnixNano())
	storage.RegisterClients(storage.WebClient(id, "websecret", s.client.Endpoint+consoleCallback))
	if err := os.Setenv("MOORAGE_CONSOLE_CLIENT_SECRET", "websecret"); err != nil { // t.Setenv would keep it until the server is down
		t.Fatal(err)
	}
	s.again(t, "--console-issuer", p.issuer, "--console-client-id", id, "--console-grant", "email=test-user@zitadel.ch=user/zoe", "--console-grant", "email=gone@zitadel.ch=user/nobody")
	if err := os.Unsetenv("MOORAGE_CONSOLE_CLIENT_SECRET"); err != nil {
		t.Fatal(err)
	}
	b.run(t, s, "openid.test.mjs", map[string]string{
		"kind": "zitadel", "provider": strings.TrimPrefix(p.issuer, "http://"), "known": "test-user@127.0.0.1", "stranger": "test-user2", "password": "verysecure", "becomes": ":user/zoe$",
	})
}
