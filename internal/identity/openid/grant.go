package openid

import (
	"slices"
	"strings"

	"github.com/moorage-dev/moorage"
)

// Grant makes a user or role of whoever has a claim with a value: of several values any.
type Grant struct {
	Claim, Value string
	Kind, Name   string // user or role, and which
}

// ParseGrant reads CLAIM=VALUE=user/NAME or CLAIM=VALUE=role/NAME; a value may have an = in it.
func ParseGrant(text string) (Grant, error) {
	claim, rest, ok := strings.Cut(text, "=")
	end := strings.LastIndexByte(rest, '=')
	if !ok || end < 1 || claim == "" {
		return Grant{}, errGrant(text)
	}
	kind, name, ok := strings.Cut(rest[end+1:], "/")
	if !ok || kind != "user" && kind != "role" || name == "" || strings.Contains(name, "/") {
		return Grant{}, errGrant(text)
	}
	return Grant{claim, rest[:end], kind, name}, nil
}

func errGrant(text string) error {
	return moorage.Errorf(moorage.Invalid, "%q is not CLAIM=VALUE=user/NAME or CLAIM=VALUE=role/NAME, such as groups=operators=role/operator", text)
}

// fits reports whether what is known of somebody has the claim. An address counts once the provider verified it:
// anybody can claim any other.
func (g Grant) fits(known func(claim string) []string, verified bool) bool {
	if g.Claim == "email" && !verified {
		return false
	}
	return slices.Contains(known(g.Claim), g.Value)
}
