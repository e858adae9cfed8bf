package moorage_test

import (
	"testing"

	"github.com/moorage-dev/moorage"
)

func TestCallerOwner_isTheRoleNotItsSession(t *testing.T) {
	for _, c := range []struct {
		caller moorage.Caller
		want   string
	}{
		{moorage.Caller{Source: moorage.SigV4, ARN: "arn:aws:iam::123456789012:user/ada"}, "arn:aws:iam::123456789012:user/ada"},
		{moorage.Caller{Source: moorage.SigV4, ARN: "arn:aws:sts::123456789012:assumed-role/deploy/pid-17"}, "arn:aws:iam::123456789012:role/deploy"},
		{moorage.Caller{Source: moorage.SigV4, ARN: "arn:aws:sts::123456789012:federated-user/ada"}, "arn:aws:sts::123456789012:federated-user/ada"},
		{moorage.Caller{Source: moorage.JWT, Issuer: "https://id.example", Subject: "ada"}, "https://id.example#ada"},
	} {
		if got := c.caller.Owner(); got != c.want {
			t.Errorf("Owner of %+v = %q, want %q", c.caller, got, c.want)
		}
	}
}

func TestPrincipalOf_aSubjectWithSpacesIsNobodyElse(t *testing.T) {
	role := moorage.Caller{Source: moorage.SigV4, ARN: "arn:aws:iam::123456789012:role/app"}
	for owner, want := range map[string]string{
		role.OwnerFor(""):             role.ARN,
		role.OwnerFor("ada"):          role.ARN,
		role.OwnerFor("ada#1 for me"): role.ARN,
		moorage.Caller{Source: moorage.JWT, Issuer: "https://id.example", Subject: "ada"}.Owner():       "https://id.example#ada",
		moorage.Caller{Source: moorage.JWT, Issuer: "https://id.example", Subject: "ada for x"}.Owner(): "https://id.example#ada for x",
	} {
		if got := moorage.PrincipalOf(owner); got != want {
			t.Errorf("PrincipalOf(%q) = %q, want %q", owner, got, want)
		}
	}
}
