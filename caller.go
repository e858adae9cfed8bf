package moorage

import "strings"

// Source is how a caller proved who it is.
type Source string

const (
	SigV4  Source = "sigv4"  // an AWS signature, by an access key of ours
	JWT    Source = "jwt"    // a bearer token of an identity provider that the runtime trusts
	APIKey Source = "apikey" // a key of ours, sent as it is
)

// Caller is whoever was authenticated. Only a room that verified credentials makes one.
type Caller struct {
	Source      Source
	ARN         string // the principal: a user, a role or an assumed role's session; empty for JWT
	Account     string // 12 digits
	AccessKeyID string // for SigV4
	Issuer      string // for JWT: the claims iss and sub. Two issuers may use
	Subject     string // the same subject for different people. With SigV4, of somebody who logged in as a user or role

	// SessionPolicy bounds what a role's session may do: the JSON that it was opened with, empty for no bound.
	SessionPolicy string
}

// Owner names whoever a session opened by this caller belongs to: sessions of different owners never
// meet. All sessions of one role are one owner, since the name of a role's session is free text that
// changes from process to process.
func (c Caller) Owner() string {
	if c.Source == JWT {
		return c.Issuer + "#" + c.Subject // an issuer has no fragment (OpenID Connect Discovery 1.0 §3)
	}
	return rolePrincipal(c.ARN)
}

// Anybody owns sessions that are bound to nobody: whoever may call their runtime reaches them by their id. No caller is
// called so.
const Anybody = "anybody"

// forUser joins a principal and the user that it acts for. No ARN holds a space, so that the first one tells
// them apart.
const forUser = " for "

// OwnerFor is Owner for calls that the caller makes on behalf of a user of its own; without one it is Owner.
func (c Caller) OwnerFor(user string) string {
	if user == "" {
		return c.Owner()
	}
	return c.Owner() + forUser + user
}

// PrincipalOf is the principal of an owner, whatever user it acted for.
func PrincipalOf(owner string) string {
	principal, _, _ := strings.Cut(owner, forUser)
	if strings.Contains(principal, "#") { // of a token, which acts for nobody else; its subject may hold spaces
		return owner
	}
	return principal
}

// rolePrincipal turns arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION into the role's own ARN, and
// leaves every other ARN alone.
func rolePrincipal(arn string) string {
	a, err := ParseARN(arn)
	if err != nil || a.Service != "sts" {
		return arn
	}
	role, ok := strings.CutPrefix(a.Resource, "assumed-role/")
	if !ok {
		return arn
	}
	role, _, _ = strings.Cut(role, "/")
	a.Service, a.Resource = "iam", "role/"+role
	return a.String()
}
