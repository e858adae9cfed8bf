package vault

import (
	"strings"
	"testing"

	"github.com/moorage-dev/moorage"
)

func TestRule_permitsWhatItSays(t *testing.T) {
	for _, c := range []struct {
		rule, method, host string
		port               uint16
		path               string
		want               bool
	}{
		{"api.example.com", "GET", "api.example.com", 443, "/any/%2F../thing", true},
		{"api.example.com", "GET", "api.example.com", 8443, "/", false},
		{"api.example.com:8443", "GET", "api.example.com", 8443, "/", true},
		{"API.example.com", "GET", "api.example.com", 443, "/", true},
		{"api.example.com", "GET", "api.example.com.evil.example", 443, "/", false},
		{"GET POST api.example.com/v1/", "POST", "api.example.com", 443, "/v1/a/b", true},
		{"GET POST api.example.com/v1/", "PUT", "api.example.com", 443, "/v1/a", false},
		{"api.example.com/v1/", "GET", "api.example.com", 443, "/v1", false},
		{"api.example.com/v1/", "GET", "api.example.com", 443, "/v1/../admin", false},
		{"api.example.com/v1/", "GET", "api.example.com", 443, "/v1/%2e%2e/admin", false},
		{"api.example.com/v1/", "GET", "api.example.com", 443, "/v1//admin", false},
		{"api.example.com/v1/", "GET", "api.example.com", 443, "/v1/a%2Fb", false},
		{"api.example.com/v1", "GET", "api.example.com", 443, "/v1", true},
		{"api.example.com/v1", "GET", "api.example.com", 443, "/v1/a", false},
	} {
		r, err := parseRule(c.rule)
		if err != nil {
			t.Errorf("%q: %v", c.rule, err)
			continue
		}
		if got := r.Permits(c.method, c.host, c.port, c.path); got != c.want {
			t.Errorf("%q permits %s %s:%d%s: %v", c.rule, c.method, c.host, c.port, c.path, got)
		}
	}
	for _, bad := range []string{"", "*.example.com", "get api.example.com", "10.0.0.1", "[::1]", "api.example.com:0", "api.example.com:x", "GET"} {
		if r, err := parseRule(bad); err == nil && bad != "GET" {
			t.Errorf("%q is taken as %+v", bad, r)
		}
	}
}

func TestTag_changesTheRulesOfAProviderThatIsThere(t *testing.T) {
	v, token := newVault(t)
	p, err := v.Create(t.Context(), Provider{Kind: APIKey, Name: "weather"}, "secret", map[string]string{"team": "one", TagInject: "GET old.example"})
	if err != nil {
		t.Fatal(err)
	}
	arn := v.ARN(*p)
	if !v.Brokered("old.example") || v.Brokered("new.example") {
		t.Fatal("a rule of the beginning")
	}
	if err := v.Tag(t.Context(), arn, map[string]string{TagInject + ":mine.1": "POST new.example/v1/", TagInjectScopes: "a b"}, []string{TagInject}); err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		tags, err := v.Tags(t.Context(), arn)
		if err != nil || len(tags) != 3 || tags["team"] != "one" || v.Brokered("old.example") || !v.Brokered("new.example") {
			t.Errorf("%s: %v, %v", when, tags, err)
		}
		got, err := v.Provider(APIKey, "weather")
		if err != nil || len(got.InjectScopes) != 2 || !got.UpdatedAt.Equal(p.UpdatedAt) {
			t.Errorf("%s: %+v, %v", when, got, err)
		}
		if key, err := v.APIKey(t.Context(), token, "weather"); err != nil || key != "secret" {
			t.Errorf("%s: the key is %q, %v", when, key, err)
		}
	}
	check("at once")
	if err := v.Tag(t.Context(), arn, map[string]string{TagInject + ":mine.2": "nonsense *"}, nil); moorage.CodeOf(err) != moorage.Invalid {
		t.Errorf("what is no rule: %v", err)
	}
	if err := v.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("after a restart")
	if _, err := v.Update(t.Context(), Provider{Kind: APIKey, Name: "weather"}, "secret"); err != nil {
		t.Fatal(err)
	}
	if !v.Brokered("new.example") {
		t.Error("an update loses the rules")
	}
	for _, other := range []string{strings.Replace(arn, "weather", "none", 1), strings.Replace(arn, "123456789012", "999999999999", 1)} {
		if err := v.Tag(t.Context(), other, map[string]string{"a": "b"}, nil); moorage.CodeOf(err) != moorage.NotFound {
			t.Errorf("%s: %v", other, err)
		}
	}
	for _, other := range []string{"", "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/a-b", v.VaultARN()} {
		if IsProvider(other) {
			t.Errorf("%q is taken for a provider", other)
		}
	}
}
