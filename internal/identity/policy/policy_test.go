package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity/policy"
)

const (
	alice   = "arn:aws:iam::123456789012:user/alice"
	invoke  = "bedrock-agentcore:InvokeAgentRuntime"
	runtime = "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/demo-abcdefghij"
)

func parse(t testing.TB, kind policy.Kind, text string) *policy.Document {
	t.Helper()
	d, err := policy.Parse(kind, "p", text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return d
}

// verdict is allow, deny, or none where no statement applies.
func verdict(d *policy.Document, r policy.Request) string {
	m := policy.Evaluate([]*policy.Document{d}, &r)
	switch {
	case len(m) == 0:
		return "none"
	case m[0].Deny:
		return "deny"
	}
	return "allow"
}

func request(values map[string][]string) policy.Request {
	return policy.Request{
		Principal: policy.Principal{ARN: alice, Account: "123456789012"}, Action: invoke, Resource: runtime,
		Values: func(key string) []string { return values[key] },
	}
}

func TestEvaluate_actionsAndResources(t *testing.T) {
	for _, c := range []struct{ statement, want string }{
		{`"Effect":"Allow","Action":"*","Resource":"*"`, "allow"},
		{`"Effect":"Allow","Action":"bedrock-agentcore:*","Resource":"*"`, "allow"},
		{`"Effect":"Allow","Action":"BEDROCK-agentcore:invokeagentRUNTIME","Resource":"*"`, "allow"},
		{`"Effect":"Allow","Action":"bedrock-agentcore:Invoke?gentRuntime","Resource":"*"`, "allow"},
		{`"Effect":"Allow","Action":["s3:*","bedrock-agentcore:I*Runtime"],"Resource":"*"`, "allow"},
		{`"Effect":"Allow","Action":"bedrock-agentcore:InvokeAgentRuntimeForUser","Resource":"*"`, "none"},
		{`"Effect":"Allow","NotAction":"s3:*","Resource":"*"`, "allow"},
		{`"Effect":"Allow","NotAction":"bedrock-agentcore:*","Resource":"*"`, "none"},
		{`"Effect":"Deny","NotAction":"s3:*","Resource":"*"`, "deny"},
		{`"Effect":"Allow","Action":"*","Resource":"` + runtime + `"`, "allow"},
		{`"Effect":"Allow","Action":"*","Resource":"` + strings.Replace(runtime, "demo", "Demo", 1) + `"`, "none"},
		{`"Effect":"Allow","Action":"*","Resource":"arn:aws:bedrock-agentcore:*:*:runtime/demo-*"`, "allow"},
		{`"Effect":"Allow","Action":"*","Resource":"arn:aws:bedrock-agentcore:*:*:runtime/dem?-*"`, "allow"},
		{`"Effect":"Allow","Action":"*","Resource":"arn:aws:bedrock-agentcore:*"`, "allow"},
		{`"Effect":"Allow","Action":"*","Resource":"arn:aws:*:us-east-1"`, "allow"},
		{`"Effect":"Allow","Action":"*","Resource":"arn:aws:*/demo-abcdefghij"`, "none"},
		{`"Effect":"Allow","Action":"*","Resource":"arn:aws:bedrock-agentcore:*:999999999999:runtime/*"`, "none"},
		{`"Effect":"Allow","Action":"*","Resource":"` + runtime + `/runtime-endpoint/*"`, "none"},
		{`"Effect":"Allow","Action":"*","NotResource":"` + runtime + `"`, "none"},
		{`"Effect":"Deny","Action":"*","NotResource":"arn:aws:s3:::*"`, "deny"},
		{`"Effect":"Allow","Action":"*","Resource":"arn:aws:bedrock-agentcore:*:*:runtime/${aws:username}-*"`, "none"},
	} {
		d := parse(t, policy.Identity, `{"Version":"2012-10-17","Statement":{`+c.statement+`}}`)
		if got := verdict(d, request(map[string][]string{"aws:username": {"alice"}})); got != c.want {
			t.Errorf("%s: %s, want %s", c.statement, got, c.want)
		}
	}
}

func TestEvaluate_denialWins(t *testing.T) {
	d := parse(t, policy.Identity, `{"Version":"2012-10-17","Statement":[
		{"Sid":"Yes","Effect":"Allow","Action":"*","Resource":"*"},
		{"Sid":"No","Effect":"Deny","Action":"*:Invoke*","Resource":"*"},
		{"Effect":"Allow","Action":"*","Resource":"*"}]}`)
	r := request(nil)
	m := policy.Evaluate([]*policy.Document{d}, &r)
	if len(m) != 3 || !m[0].Deny || m[0].Statement != "No" {
		t.Errorf("%+v", m)
	}
}

func TestEvaluate_conditions(t *testing.T) {
	values := map[string][]string{
		"s": {"Blue"}, "n": {"42"}, "d": {"2026-05-01T10:00:00Z"}, "b": {"true"}, "ip": {"203.0.113.7"}, "ip6": {"2001:db8::1"},
		"arn": {"arn:aws:iam::123456789012:role/app/x"}, "many": {"a", "b"}, "aws:username": {"alice"}, "star": {"*"}, "bin": {"aGk="},
	}
	for _, c := range []struct {
		condition string
		want      bool
	}{
		{`"StringEquals":{"s":"Blue"}`, true}, {`"StringEquals":{"S":"Blue"}`, true}, {`"StringEquals":{"s":"blue"}`, false},
		{`"stringequals":{"s":["Red","Blue"]}`, true}, {`"StringEquals":{"none":"x"}`, false}, {`"StringEqualsIfExists":{"none":"x"}`, true},
		{`"StringEqualsIfExists":{"s":"x"}`, false}, {`"StringEquals":{"s":"Bl*"}`, false},
		{`"StringNotEquals":{"s":"Blue"}`, false}, {`"StringNotEquals":{"s":["Red","Blue"]}`, false}, {`"StringNotEquals":{"s":["Red","Green"]}`, true},
		{`"StringNotEquals":{"none":"x"}`, true}, {`"StringEqualsIgnoreCase":{"s":"BLUE"}`, true}, {`"StringNotEqualsIgnoreCase":{"s":"BLUE"}`, false},
		{`"StringLike":{"s":"B*e"}`, true}, {`"StringLike":{"s":"B?ue"}`, true}, {`"StringLike":{"s":"b*"}`, false}, {`"StringNotLike":{"s":"B*"}`, false},
		{`"StringLike":{"star":"${*}"}`, true}, {`"StringLike":{"s":"${*}"}`, false}, {`"StringLike":{"s":["x","*"]}`, true},
		{`"NumericEquals":{"n":42}`, true}, {`"NumericEquals":{"n":"42.0"}`, true}, {`"NumericNotEquals":{"n":"42"}`, false}, {`"NumericLessThan":{"n":"42"}`, false},
		{`"NumericLessThanEquals":{"n":"42"}`, true}, {`"NumericGreaterThan":{"n":"41"}`, true}, {`"NumericGreaterThanEquals":{"n":"43"}`, false}, {`"NumericEquals":{"s":"1"}`, false},
		{`"DateEquals":{"d":"2026-05-01T10:00:00Z"}`, true}, {`"DateLessThan":{"d":"2026-05-02"}`, true}, {`"DateGreaterThan":{"d":"2026-05-02"}`, false},
		{`"DateNotEquals":{"d":"2026-05-02"}`, true}, {`"DateLessThanEquals":{"d":"1777629600"}`, true}, {`"DateGreaterThanEquals":{"d":"2026-05-01T10:00:00+00:00"}`, true},
		{`"Bool":{"b":"true"}`, true}, {`"Bool":{"b":true}`, true}, {`"Bool":{"b":"false"}`, false}, {`"Bool":{"none":"false"}`, false}, {`"BoolIfExists":{"none":"false"}`, true},
		{`"BinaryEquals":{"bin":"aGk="}`, true},
		{`"IpAddress":{"ip":"203.0.113.0/24"}`, true}, {`"IpAddress":{"ip":"203.0.113.7"}`, true}, {`"IpAddress":{"ip":"198.51.100.0/24"}`, false},
		{`"NotIpAddress":{"ip":"203.0.113.0/24"}`, false}, {`"NotIpAddress":{"ip":"198.51.100.0/24"}`, true}, {`"IpAddress":{"ip6":"2001:db8::/32"}`, true}, {`"IpAddress":{"ip6":"203.0.113.0/24"}`, false},
		{`"ArnLike":{"arn":"arn:aws:iam::*:role/app/*"}`, true}, {`"ArnEquals":{"arn":"arn:aws:iam::123456789012:role/*"}`, true}, {`"ArnNotLike":{"arn":"arn:aws:iam::*:role/app/*"}`, false},
		{`"ArnNotEquals":{"none":"arn:aws:iam::1:role/x"}`, true}, {`"ArnLike":{"arn":"arn:aws:*:role/app/x"}`, false},
		{`"Null":{"none":"true"}`, true}, {`"Null":{"none":"false"}`, false}, {`"Null":{"s":"false"}`, true}, {`"Null":{"s":true}`, false},
		{`"ForAllValues:StringEquals":{"many":["a","b","c"]}`, true}, {`"ForAllValues:StringEquals":{"many":["a"]}`, false}, {`"ForAllValues:StringEquals":{"none":["a"]}`, true},
		{`"ForAnyValue:StringEquals":{"many":["b"]}`, true}, {`"ForAnyValue:StringEquals":{"many":["z"]}`, false}, {`"ForAnyValue:StringEquals":{"none":["a"]}`, false},
		{`"ForAllValues:StringNotEquals":{"many":["z"]}`, true}, {`"ForAllValues:StringNotEquals":{"many":["a"]}`, false},
		{`"ForAnyValue:StringNotEquals":{"many":["a"]}`, true}, {`"ForAnyValue:StringNotEquals":{"many":["a","b"]}`, false}, {`"ForAnyValue:StringLikeIfExists":{"none":"x"}`, true},
		{`"ForAllValues:StringLike":{"many":"?"}`, true},
		{`"StringEquals":{"s":"Blue","n":"42"}`, true}, {`"StringEquals":{"s":"Blue"},"Bool":{"b":"false"}`, false},
		{`"StringEquals":{"s":"${aws:username}"}`, false}, {`"StringLike":{"aws:username":"${aws:username}"}`, true}, {`"StringEquals":{"aws:username":"${AWS:UserName}"}`, true},
		{`"StringEquals":{"aws:username":"${none, 'alice'}"}`, true}, {`"StringEquals":{"aws:username":"${none}"}`, false}, {`"StringLike":{"s":"${star}"}`, false},
		{`"StringEqualsIgnoreCase":{"aws:username":"${none, 'ALICE'}"}`, true},
	} {
		d := parse(t, policy.Identity, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{`+c.condition+`}}}`)
		if got := verdict(d, request(values)); (got == "allow") != c.want {
			t.Errorf("%s: %s, want %v", c.condition, got, c.want)
		}
	}
}

func TestEvaluate_variablesInResources(t *testing.T) {
	d := parse(t, policy.Identity, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::home/${aws:username}/*"}}`)
	for name, want := range map[string]string{"alice": "allow", "bob": "none", "*": "none", "": "none"} {
		r := request(map[string][]string{"aws:username": {name}})
		r.Resource = "arn:aws:s3:::home/alice/x"
		if got := verdict(d, r); got != want {
			t.Errorf("for %q: %s, want %s", name, got, want)
		}
	}
	old := parse(t, policy.Identity, strings.Replace(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::home/${aws:username}/*"}}`, "2012", "2008", 1))
	r := request(map[string][]string{"aws:username": {"alice"}})
	r.Resource = "arn:aws:s3:::home/alice/x"
	if got := verdict(old, r); got != "none" {
		t.Errorf("an old version knows variables: %s", got)
	}
}

func TestEvaluate_principals(t *testing.T) {
	session := policy.Principal{ARN: "arn:aws:sts::123456789012:assumed-role/app/s1", Role: "arn:aws:iam::123456789012:role/app", Account: "123456789012"}
	user := policy.Principal{ARN: alice, Account: "123456789012"}
	service := policy.Principal{Service: "bedrock-agentcore.amazonaws.com"}
	for _, c := range []struct {
		principal string
		who       policy.Principal
		want      string
		account   bool
	}{
		{`"Principal":"*"`, user, "allow", false}, {`"Principal":"*"`, policy.Principal{}, "allow", false}, {`"Principal":{"AWS":"*"}`, session, "allow", false},
		{`"Principal":{"AWS":"` + alice + `"}`, user, "allow", false}, {`"Principal":{"AWS":"` + alice + `"}`, session, "none", false},
		{`"Principal":{"AWS":["arn:aws:iam::123456789012:role/app"]}`, session, "allow", false},
		{`"Principal":{"AWS":"arn:aws:sts::123456789012:assumed-role/app/s1"}`, session, "allow", false},
		{`"Principal":{"AWS":"arn:aws:sts::123456789012:assumed-role/app/s2"}`, session, "none", false},
		{`"Principal":{"AWS":"123456789012"}`, user, "allow", true}, {`"Principal":{"AWS":"arn:aws:iam::123456789012:root"}`, session, "allow", true},
		{`"Principal":{"AWS":"999999999999"}`, user, "none", false}, {`"Principal":{"AWS":"123456789012"}`, policy.Principal{}, "none", false},
		{`"Principal":{"AWS":"*"}`, policy.Principal{}, "allow", false}, {`"Principal":{"AWS":"*"}`, service, "none", false}, {`"Principal":"*"`, service, "allow", false},
		{`"Principal":{"AWS":"*","Service":"lambda.amazonaws.com"}`, service, "none", false}, {`"NotPrincipal":{"AWS":"*"}`, session, "none", false},
		{`"Principal":{"Service":"bedrock-agentcore.amazonaws.com"}`, service, "allow", false}, {`"Principal":{"Service":"lambda.amazonaws.com"}`, service, "none", false},
		{`"NotPrincipal":{"AWS":"` + alice + `"}`, user, "none", false}, {`"NotPrincipal":{"AWS":"` + alice + `"}`, session, "allow", false},
	} {
		d := parse(t, policy.Resource, `{"Version":"2012-10-17","Statement":{"Effect":"Allow",`+c.principal+`,"Action":"*","Resource":"*"}}`)
		r := request(nil)
		r.Principal = c.who
		m := policy.Evaluate([]*policy.Document{d}, &r)
		if got := verdict(d, r); got != c.want || len(m) > 0 && m[0].Account != c.account {
			t.Errorf("%s for %+v: %s %+v, want %s", c.principal, c.who, got, m, c.want)
		}
	}
}

// damaged are documents that IAM refuses, or that would be read in two ways.
var damaged = []string{
	``, `null`, `[]`, `"text"`, `{`, `{}`, `{"Version":"2012-10-17"}`, `{"Version":"2012-10-17","Statement":[]}`, `{"Version":"2012-10-17","Statement":"x"}`,
	`{"Version":"2020-01-01","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`,
	`{"Version":2012,"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`,
	`{"Version":"2012-10-17","Statement":{"Action":"*","Resource":"*"}}`,
	`{"Version":"2012-10-17","Statement":{"Effect":"allow","Action":"*","Resource":"*"}}`,
	`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Resource":"*"}}`,
	`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*"}}`,
	`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","NotAction":"s3:*","Resource":"*"}}`,
	`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","NotResource":"*"}}`,
	`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Principal":"*"}}`,
	`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Effect":"Deny","Action":"*","Resource":"*"}}`,
	`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Extra":1}}`,
	`{"Version":"2012-10-17","Extra":1,"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`,
	`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"InvokeAgentRuntime","Resource":"*"}}`,
	`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":[],"Resource":"*"}}`,
	`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":[1],"Resource":"*"}}`,
	`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":[null],"Resource":"*"}}`,
	`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"runtime/x"}}`,
	`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":""}}`,
	`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":[]}}`,
	`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringIs":{"a":"b"}}}}`,
	`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{}}}}`,
	`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"a":{}}}}}`,
	`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"NumericEquals":{"a":"x"}}}}`,
	`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"DateEquals":{"a":"soon"}}}}`,
	`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"IpAddress":{"a":"1.2.3"}}}}`,
	`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Bool":{"a":"maybe"}}}}`,
	`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"NullIfExists":{"a":"true"}}}}`,
	`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Null":{"a":"perhaps"}}}}`,
	`{"Version":"2012-10-17","Statement":[{"Sid":"A","Effect":"Allow","Action":"*","Resource":"*"},{"Sid":"A","Effect":"Allow","Action":"*","Resource":"*"}]}`,
	`{"Version":"2012-10-17","Statement":{"Sid":"a b!","Effect":"Allow","Action":"*","Resource":"*"}}`,
	`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}} {}`,
	`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"` + strings.Repeat("x", policy.MaxDocument) + `"}}`,
}

func TestParse_refusesDamage(t *testing.T) {
	for _, text := range damaged {
		_, err := policy.Parse(policy.Identity, "p", text)
		if moorage.CodeOf(err) != moorage.Invalid {
			t.Errorf("%.120s: %v", text, err)
		}
	}
	for _, text := range []string{
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"arn:aws:iam::123456789012:user/*"}}}`,
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"Federated":"x"}}}`,
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"alice"}}}`,
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole"}}`,
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Principal":"*","Resource":"*"}}`,
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Principal":"somebody"}}`,
	} {
		if _, err := policy.Parse(policy.Trust, "p", text); moorage.CodeOf(err) != moorage.Invalid {
			t.Errorf("%s: %v", text, err)
		}
	}
}

var known = policy.Known{
	Actions: []string{"bedrock-agentcore:InvokeAgentRuntime", "bedrock-agentcore:GetAgentRuntime"},
	Shapes: []string{
		"arn:aws:bedrock-agentcore:{region}:{account}:runtime/{id}", "arn:aws:bedrock-agentcore:{region}:{account}:runtime/{id}/runtime-endpoint/{name}",
		"arn:aws:s3:::{rest}",
	},
}

func TestLint_whatCanMatchNothing(t *testing.T) {
	for _, c := range []struct{ action, resource, says string }{
		{invoke, runtime, ""}, {"bedrock-agentcore:*", runtime + "*", ""}, {"*", "arn:aws:bedrock-agentcore:*", ""}, {invoke, runtime + "/runtime-endpoint/DEFAULT", ""},
		{invoke, "arn:aws:s3:::bucket/a/b", ""}, {invoke, "arn:aws:*:*:*:*DEFAULT", ""},
		{invoke, runtime + "/endpoint/DEFAULT", "can match nothing"}, {invoke, "arn:aws:bedrock-agentcore:us-east-1:1:agent/x", "can match nothing"},
		{invoke, "arn:aws:lambda:us-east-1:1:function:x", "nothing here is of the service lambda"}, {"bedrock-agentcore:InvokeAgent", "*", "no action is called"},
		{"bedrock-agentcore:Invok?AgentRuntime", "*", ""}, {"unlisted:Thing", "*", ""},
	} {
		d := parse(t, policy.Identity, fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":%q,"Resource":%q}}`, c.action, c.resource))
		got := fmt.Sprint(d.Lint(known))
		if (c.says == "") != (got == "[]") || !strings.Contains(got, c.says) {
			t.Errorf("%s on %s: %s, want %q", c.action, c.resource, got, c.says)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range damaged {
		f.Add(text, invoke, runtime)
	}
	f.Add(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"a:*b?","Resource":"arn:${x}:*","Condition":{"ForAnyValue:StringLikeIfExists":{"k":["${a,'b'}*"]}}}}`, "a:xb1", "arn:x:y:z:w:v")
	f.Fuzz(func(t *testing.T, text, action, resource string) {
		d, err := policy.Parse(policy.Identity, "p", text)
		if err != nil {
			if moorage.CodeOf(err) != moorage.Invalid {
				t.Fatalf("%v is not coded", err)
			}
			return
		}
		r := request(map[string][]string{"k": {"v"}, "a": {"b"}})
		r.Action, r.Resource = action, resource
		before := verdict(d, r)
		d.Lint(known)
		// One more denial never lets anybody in, and one of all keeps everybody out.
		deny := parse(t, policy.Identity, `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`)
		if m := policy.Evaluate([]*policy.Document{d, deny}, &r); len(m) == 0 || !m[0].Deny {
			t.Fatalf("a denial lost: %+v, before %s", m, before)
		}
	})
}

// Documents that name principals: what is parsed decides, for users, sessions of roles, services and nobody, without a panic, and a
// denial of everybody keeps out whom it may.
func FuzzParse_principals(f *testing.F) {
	for _, principal := range []string{`"*"`, `{"AWS":"*"}`, `{"AWS":["123456789012","` + alice + `"]}`, `{"Service":"bedrock-agentcore.amazonaws.com"}`, `{"AWS":"arn:aws:iam::123456789012:root"}`, `{"AWS":5}`, `[]`} {
		f.Add(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":`+principal+`,"Action":"sts:AssumeRole"}}`, alice, "")
		f.Add(`{"Version":"2012-10-17","Statement":{"Effect":"Deny","NotPrincipal":`+principal+`,"NotAction":"s3:*","Resource":"`+runtime+`"}}`, "", "bedrock-agentcore.amazonaws.com")
	}
	f.Fuzz(func(t *testing.T, text, arn, service string) {
		for _, kind := range []policy.Kind{policy.Resource, policy.Trust} {
			d, err := policy.Parse(kind, "p", text)
			if err != nil {
				if moorage.CodeOf(err) != moorage.Invalid {
					t.Fatalf("%v is not coded", err)
				}
				continue
			}
			r := request(nil)
			r.Principal = policy.Principal{ARN: arn, Role: arn, Service: service}
			verdict(d, r)
			d.Lint(known)
			d.Only(runtime)
			closed := `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}}`
			deny, err := policy.Parse(policy.Resource, "closed", closed)
			if err != nil {
				t.Fatal(err)
			}
			if m := policy.Evaluate([]*policy.Document{d, deny}, &r); len(m) == 0 || !m[0].Deny {
				t.Fatalf("a denial of everybody lost: %+v", m)
			}
		}
	})
}

func BenchmarkEvaluate_hundredStatements(b *testing.B) {
	var statements []*policy.Document
	for i := range 99 {
		statements = append(statements, parse(b, policy.Identity, fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["bedrock-agentcore:Invoke*","bedrock-agentcore:StopRuntimeSession"],"Resource":["arn:aws:bedrock-agentcore:*:*:runtime/team%d-*"],"Condition":{"StringEquals":{"aws:username":"user%d"}}}}`, i, i)))
	}
	statements = append(statements, parse(b, policy.Identity, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"bedrock-agentcore:Invoke*","Resource":"arn:aws:bedrock-agentcore:*:*:runtime/demo-*","Condition":{"StringLike":{"aws:username":"al*"}}}}`))
	r := request(map[string][]string{"aws:username": {"alice"}})
	for b.Loop() {
		if m := policy.Evaluate(statements, &r); len(m) != 1 {
			b.Fatal(m)
		}
	}
}
