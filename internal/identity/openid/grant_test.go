package openid

import (
	"testing"

	"github.com/moorage-dev/moorage"
)

func TestParseGrant_claimsValuesAndWhoThatIs(t *testing.T) {
	for text, want := range map[string]Grant{
		"groups=operators=role/operator":        {"groups", "operators", "role", "operator"},
		"email=ann@example.com=user/ann":        {"email", "ann@example.com", "user", "ann"},
		"sub=YWJj==user/ann":                    {"sub", "YWJj=", "user", "ann"},
		"cognito:username=alice=role/a+b=c":     {},
		"https://x.example/roles=a=b=role/them": {"https://x.example/roles", "a=b", "role", "them"},
		"":                                      {},
		"groups":                                {},
		"groups=operators":                      {},
		"groups==role/operator":                 {},
		"=a=role/operator":                      {},
		"groups=a=group/operator":               {},
		"groups=a=role/":                        {},
		"groups=a=role/path/nested":             {},
	} {
		got, err := ParseGrant(text)
		if got != want || (err == nil) != (want != Grant{}) || err != nil && moorage.CodeOf(err) != moorage.Invalid {
			t.Errorf("%q: %+v (%v), want %+v", text, got, err, want)
		}
	}
}

func TestGrant_fitsWhoHasTheClaimAndAnAddressThatWasVerified(t *testing.T) {
	known := func(claim string) []string {
		return map[string][]string{"groups": {"staff", "operators"}, "email": {"ann@example.com"}}[claim]
	}
	for _, c := range []struct {
		grant    Grant
		verified bool
		fits     bool
	}{
		{Grant{Claim: "groups", Value: "operators"}, false, true},
		{Grant{Claim: "groups", Value: "operator"}, true, false},
		{Grant{Claim: "email", Value: "ann@example.com"}, true, true},
		{Grant{Claim: "email", Value: "ann@example.com"}, false, false},
		{Grant{Claim: "email", Value: "Ann@example.com"}, true, false},
		{Grant{Claim: "nothing", Value: ""}, true, false},
	} {
		if got := c.grant.fits(known, c.verified); got != c.fits {
			t.Errorf("%+v, verified %v: %v", c.grant, c.verified, got)
		}
	}
}
