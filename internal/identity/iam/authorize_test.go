package iam

import (
	"context"
	"strings"
	"testing"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/store"
)

const (
	account   = "123456789012"
	another   = "999999999999"
	everybody = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}}`
	service   = "bedrock-agentcore.amazonaws.com"
	byService = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"` + service + `"},"Action":"sts:AssumeRole"}}`
	mayAll    = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`
)

func newDirectory(t *testing.T) *Directory {
	t.Helper()
	db, err := store.Open(context.Background(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	d := &Directory{Store: db, Account: account, Region: "us-east-1"}
	if err := d.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

// makes creates a role that may do everything.
func (d *Directory) makes(t *testing.T, name, path, trust string) (arn string) {
	t.Helper()
	made, err := d.Create(t.Context(), store.Principal{Kind: Role, Name: name, Path: path, Trust: trust})
	if err == nil {
		err = d.PutPolicy(t.Context(), Role, name, "all", mayAll)
	}
	if err != nil {
		t.Fatal(err)
	}
	return made.ARN
}

func session(account, role string) moorage.Caller {
	return moorage.Caller{Source: moorage.SigV4, Account: account, ARN: "arn:aws:sts::" + account + ":assumed-role/" + role + "/s"}
}

func may(d *Directory, c moorage.Caller, action string) bool {
	return d.Authorize(Request{Caller: c, Action: action, Resources: []string{"*"}}).Allowed
}

func TestAuthorize_aRoleOfAnotherAccountHasNoPoliciesOfOurs(t *testing.T) {
	d := newDirectory(t)
	d.makes(t, "deployer", "/", everybody)
	d.makes(t, "nested", "/team/agents/", everybody)
	for _, c := range []struct {
		who  moorage.Caller
		want bool
	}{
		{session(account, "deployer"), true},
		{session(account, "nested"), true}, // a session's name leaves the path out
		{session(another, "deployer"), false},
		{session(another, "nested"), false},
		{session(account, "team"), false},
		{session(account, "nobody"), false},
		{moorage.Caller{Source: moorage.SigV4, Account: account, ARN: "arn:aws:iam::" + account + ":user/deployer"}, false},
		{moorage.Caller{Source: moorage.SigV4, Account: account, ARN: "arn:aws:iam::" + account + ":user/admin"}, true},
		{moorage.Caller{Source: moorage.SigV4, Account: another, ARN: "arn:aws:iam::" + another + ":user/admin"}, false},
		{moorage.Caller{Source: moorage.SigV4, ARN: "admin"}, false},
	} {
		if got := may(d, c.who, "bedrock-agentcore:CreateAgentRuntime"); got != c.want {
			t.Errorf("%s may: %v", c.who.ARN, got)
		}
		if got := d.Knows(c.who); got != c.want {
			t.Errorf("%s is known: %v", c.who.ARN, got)
		}
	}
}

func TestTrusts_goesByTheWholeARN(t *testing.T) {
	d := newDirectory(t)
	agent := d.makes(t, "agent", "/service-role/", byService)
	closed := d.makes(t, "closed", "/", strings.Replace(byService, service, "ec2.amazonaws.com", 1))
	for arn, want := range map[string]bool{
		agent:  true,
		closed: false,
		"arn:aws:iam::" + account + ":role/agent":             false, // its sessions would be called like the other's
		"arn:aws:iam::" + account + ":role/team/closed":       false,
		"arn:aws:iam::" + another + ":role/closed":            true, // which this account does not know
		"arn:aws:iam::" + another + ":role/team/closed":       true,
		"arn:aws:iam::" + account + ":role/nobody":            true,
		"no ARN at all/closed":                                false,
		"arn:aws:iam::" + account + ":role/service-role/more": true,
	} {
		if got := d.Trusts(arn, service, func(string) []string { return nil }); got != want {
			t.Errorf("%s trusts: %v", arn, got)
		}
	}
	if d.RoleID(agent) == "" || d.RoleID("arn:aws:iam::"+account+":role/agent") != "" || d.RoleID("arn:aws:iam::"+another+":role/service-role/agent") != "" {
		t.Error("a role is found by less than its ARN")
	}
}

// Policies name a role by its ARN, with the path that the names of its sessions leave out.
func TestAuthorize_sessionsAreTheirRolesWithItsPath(t *testing.T) {
	d := newDirectory(t)
	nested := d.makes(t, "nested", "/team/agents/", everybody)
	who := session(account, "nested")
	trusts := func(principal, condition string) string {
		return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":` + principal + `,"Action":"sts:AssumeRole"` + condition + `}}`
	}
	for name, c := range map[string]struct {
		trust string
		want  bool
	}{
		"by its ARN":                {trusts(`{"AWS":"`+nested+`"}`, ""), true},
		"by the session's":          {trusts(`{"AWS":"`+who.ARN+`"}`, ""), true},
		"without its path":          {trusts(`{"AWS":"arn:aws:iam::`+account+`:role/nested"}`, ""), false},
		"with another's path":       {trusts(`{"AWS":"arn:aws:iam::`+account+`:role/other/nested"}`, ""), false},
		"aws:PrincipalArn":          {trusts(`"*"`, `,"Condition":{"ArnEquals":{"aws:PrincipalArn":"`+nested+`"}}`), true},
		"aws:PrincipalArn, no path": {trusts(`"*"`, `,"Condition":{"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::`+account+`:role/nested"}}`), false},
	} {
		target := d.makes(t, strings.NewReplacer(" ", "-", "'", "", ":", "-", ",", "").Replace(name), "/", c.trust)
		if _, got := d.MayAssume(who, target, nil); got.Allowed != c.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
	stranger := session(another, "nested") // whose role may have any path: it is not known here
	target := d.makes(t, "for-strangers", "/", trusts(`{"AWS":"arn:aws:iam::`+another+`:role/nested"}`, ""))
	if _, got := d.MayAssume(stranger, target, nil); !got.Allowed {
		t.Errorf("a role of another account: %+v", got)
	}
}

// All of AWS's principals are no service: a role that trusts them is not handed to one.
func TestTrusts_servicesAreNamed(t *testing.T) {
	d := newDirectory(t)
	if d.Trusts(d.makes(t, "open", "/", everybody), service, func(string) []string { return nil }) {
		t.Error(`{"AWS":"*"} trusts a service`)
	}
	if !d.Trusts(d.makes(t, "open-to-all", "/", strings.Replace(everybody, `{"AWS":"*"}`, `"*"`, 1)), service, func(string) []string { return nil }) {
		t.Error(`"*" does not trust a service`)
	}
}

func TestMayAssume_needsBothSides(t *testing.T) {
	d := newDirectory(t)
	root := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + account + `:root"},"Action":"sts:AssumeRole"}}`
	if _, err := d.Create(t.Context(), store.Principal{Kind: User, Name: "carol"}); err != nil {
		t.Fatal(err)
	}
	carol := moorage.Caller{Source: moorage.SigV4, Account: account, ARN: "arn:aws:iam::" + account + ":user/carol"}
	named := strings.Replace(root, ":root", ":user/carol", 1)
	byAccount, byName, byNobody := d.makes(t, "byaccount", "/", root), d.makes(t, "byname", "/", named), d.makes(t, "byservice", "/", byService)
	try := func(arn string) bool {
		_, dec := d.MayAssume(carol, arn, func(string) []string { return nil })
		return dec.Allowed
	}
	if try(byAccount) || !try(byName) || try(byNobody) {
		t.Errorf("without policies of her own: %v, %v, %v", try(byAccount), try(byName), try(byNobody))
	}
	if err := d.PutPolicy(t.Context(), User, "carol", "all", mayAll); err != nil {
		t.Fatal(err)
	}
	if !try(byAccount) || try(byNobody) || try("arn:aws:iam::"+another+":role/byaccount") {
		t.Errorf("with policies: %v, %v", try(byAccount), try(byNobody))
	}
	deny := `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"sts:AssumeRole","Resource":"*"}}`
	if err := d.PutPolicy(t.Context(), User, "carol", "deny", deny); err != nil {
		t.Fatal(err)
	}
	if try(byAccount) || try(byName) {
		t.Error("a policy that denies was not heeded")
	}
}

func TestAuthorize_sessionPoliciesOnlyBound(t *testing.T) {
	d := newDirectory(t)
	d.makes(t, "agent", "/", everybody)
	c := session(account, "agent")
	c.SessionPolicy = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`
	if !may(d, c, "s3:GetObject") || may(d, c, "iam:CreateUser") {
		t.Error("a session's own policy does not bound it")
	}
	c.SessionPolicy = "not a policy"
	if may(d, c, "s3:GetObject") {
		t.Error("a policy that cannot be read allows")
	}
	c = session(account, "stranger")
	c.SessionPolicy = mayAll
	if may(d, c, "s3:GetObject") {
		t.Error("a session's own policy gives what its role does not have")
	}
}

func TestDirectory_namesAndKeys(t *testing.T) {
	d := newDirectory(t)
	if _, err := d.Create(t.Context(), store.Principal{Kind: Role, Name: "a", Trust: everybody}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Create(t.Context(), store.Principal{Kind: Role, Name: "A", Path: "/elsewhere/", Trust: everybody}); moorage.CodeOf(err) != moorage.Conflict {
		t.Errorf("the same name in another case, under another path: %v", err)
	}
	if _, err := d.Create(t.Context(), store.Principal{Kind: User, Name: "bad/name"}); moorage.CodeOf(err) != moorage.Invalid {
		t.Errorf("a name with a slash: %v", err)
	}
	if _, err := d.Create(t.Context(), store.Principal{Kind: User, Name: "carol"}); err != nil {
		t.Fatal(err)
	}
	first, err := d.CreateAccessKey(t.Context(), "carol")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.CreateAccessKey(t.Context(), "carol"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.CreateAccessKey(t.Context(), "carol"); moorage.CodeOf(err) != moorage.Quota {
		t.Errorf("a third key: %v", err)
	}
	if err := d.Delete(t.Context(), User, "carol"); moorage.CodeOf(err) != moorage.Conflict {
		t.Errorf("a user with keys: %v", err)
	}
	if err := d.SetAccessKey(t.Context(), "admin", first.ID, false); err == nil {
		t.Error("a key was changed as another user's")
	}
	if err := d.Delete(t.Context(), User, Admin); moorage.CodeOf(err) != moorage.Conflict {
		t.Errorf("the first user: %v", err)
	}
}
