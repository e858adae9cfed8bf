package iam

import (
	"fmt"
	"strings"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity/policy"
)

// Request is what a caller wants to do.
type Request struct {
	Caller    moorage.Caller
	Action    string   // service:Operation
	Resources []string // ARNs, each of which has to be allowed; none stands for *
	Values    func(key string) []string
}

// Decision is what became of a request. Why is for administrators, not for callers.
type Decision struct {
	Allowed bool
	Why     string
	Matches []policy.Match
}

// Authorize decides.
func (d *Directory) Authorize(r Request) Decision {
	s := d.state.Load()
	resources := r.Resources
	if len(resources) == 0 {
		resources = []string{"*"}
	}
	q := &policy.Request{Principal: s.named(r.Caller), Action: r.Action}
	q.Values = d.values(s, r, q.Principal)
	own := s.documentsOf(r.Caller)
	all := make([]policy.Match, 0, len(resources))
	for _, resource := range resources {
		q.Resource = resource
		one := s.decide(r, own, q)
		all = append(all, one.Matches...)
		if !one.Allowed {
			one.Matches = all
			return one
		}
		if len(resources) == 1 {
			if one.Why == "" {
				one.Why = allowedBy(r, resource, one.Matches[0])
			}
			return one
		}
	}
	return Decision{true, "each resource is allowed", all}
}

// allowedBy says which statement allows a request. Of several resources nobody reads it, so that it is not made by decide.
func allowedBy(r Request, resource string, m policy.Match) string {
	return "statement " + m.Statement + " of " + m.Policy + " allows " + r.Action + " on " + resource
}

// decide decides about the resource of q, which is r as the caller's own documents are asked it. Where a statement allows it, Why is
// left to allowedBy.
func (s *state) decide(r Request, own []*policy.Document, q *policy.Request) Decision {
	resource := q.Resource
	matches := policy.Evaluate(own, q)
	byCaller := len(matches) > 0
	var onResource *policy.Document
	if onResource = s.onResource[resource]; onResource != nil {
		matches = append(matches, policy.Evaluate([]*policy.Document{onResource}, q)...)
	}
	byResource := false
	for _, m := range matches {
		if m.Deny {
			return Decision{false, fmt.Sprintf("statement %s of %s denies %s on %s", m.Statement, m.Policy, r.Action, resource), matches}
		}
		byResource = byResource || onResource != nil && m.Policy == onResource.Name && !m.Account
	}
	if r.Caller.SessionPolicy != "" && !sessionAllows(r.Caller.SessionPolicy, q) {
		return Decision{false, fmt.Sprintf("the session's own policy does not allow %s on %s", r.Action, resource), matches}
	}
	switch {
	case byCaller || byResource:
		return Decision{Allowed: true, Matches: matches}
	case r.Caller.Source != moorage.SigV4 && onResource == nil:
		return Decision{true, "its credentials let the caller in, and no policy says otherwise", matches}
	case onResource != nil:
		return Decision{false, fmt.Sprintf("neither a policy of %s nor that of %s allows %s", name(r.Caller), resource, r.Action), matches}
	}
	return Decision{false, fmt.Sprintf("no policy of %s allows %s on %s", name(r.Caller), r.Action, resource), matches}
}

func name(c moorage.Caller) string {
	if c.Source == moorage.JWT {
		return c.Owner()
	}
	return c.ARN
}

func sessionAllows(text string, q *policy.Request) bool {
	doc, err := policy.Parse(policy.Identity, "session policy", text)
	if err != nil {
		return false
	}
	matches := policy.Evaluate([]*policy.Document{doc}, q)
	return len(matches) > 0 && !matches[0].Deny
}

// named is a caller as policies name it: a role's session by its role too, whose ARN has the path that the session's leaves out. Who
// comes with a token or an API key is nobody in particular.
func (s *state) named(c moorage.Caller) policy.Principal {
	if c.Source != moorage.SigV4 {
		return policy.Principal{}
	}
	who := policy.Principal{ARN: c.ARN, Account: c.Account}
	if owner := c.Owner(); owner != c.ARN {
		who.Role = owner
		if p := s.principalOf(c); p != nil {
			who.Role = p.arn
		}
	}
	return who
}

func (s *state) documentsOf(c moorage.Caller) []*policy.Document {
	if p := s.principalOf(c); p != nil {
		return p.documents
	}
	return nil
}

// principalOf finds the user or role of a caller; nil for none.
func (s *state) principalOf(c moorage.Caller) *principal {
	if c.Source != moorage.SigV4 {
		return nil
	}
	owner := c.Owner()
	i := strings.LastIndexByte(owner, '/')
	if i < 0 {
		return nil
	}
	if strings.HasPrefix(c.ARN, "arn:aws:sts:") { // which leaves the role's path out
		p := s.principals[Role+"/"+owner[i+1:]]
		if p == nil || strings.TrimSuffix(p.arn, p.Path+p.Name)+"/"+p.Name != owner { // a runtime may have a role of another account
			return nil
		}
		return p
	}
	p := s.principals[User+"/"+owner[i+1:]]
	if p == nil || p.arn != c.ARN {
		return nil
	}
	return p
}

// Knows reports whether a caller is a user or role of this account.
func (d *Directory) Knows(c moorage.Caller) bool { return d.state.Load().principalOf(c) != nil }

// PrincipalID returns the id of a user or role by its ARN; "" when there is none.
func (d *Directory) PrincipalID(arn string) string {
	for _, kind := range []string{User, Role} {
		if p := d.state.Load().principals[kind+"/"+arn[strings.LastIndexByte(arn, '/')+1:]]; p != nil && p.arn == arn {
			return p.ID
		}
	}
	return ""
}

// RoleID returns the id of a role by its ARN; "" when there is none.
func (d *Directory) RoleID(roleARN string) string {
	p := d.state.Load().principals[Role+"/"+roleARN[strings.LastIndexByte(roleARN, '/')+1:]]
	if p == nil || p.arn != roleARN {
		return ""
	}
	return p.ID
}

// values adds what is known of every caller to the values of a request.
func (d *Directory) values(s *state, r Request, who policy.Principal) func(string) []string {
	return func(key string) []string {
		switch key {
		case "aws:currenttime":
			return []string{d.now().UTC().Format("2006-01-02T15:04:05Z")}
		case "aws:epochtime":
			return []string{fmt.Sprint(d.now().Unix())}
		case "aws:requestedregion":
			return []string{d.Region}
		case "aws:principalarn":
			if who.Role != "" {
				return []string{who.Role}
			}
			return some(who.ARN)
		case "aws:principalaccount":
			return some(who.Account)
		case "aws:principaltype":
			return some(principalType(r.Caller, who))
		case "aws:username":
			if p := s.principalOf(r.Caller); p != nil && p.Kind == User {
				return []string{p.Name}
			}
			return nil
		case "aws:userid":
			if p := s.principalOf(r.Caller); p != nil && p.Kind == User {
				return []string{p.ID}
			} else if p != nil {
				return []string{p.ID + ":" + r.Caller.ARN[strings.LastIndexByte(r.Caller.ARN, '/')+1:]}
			}
			return nil
		}
		if r.Values == nil {
			return nil
		}
		return r.Values(key)
	}
}

func principalType(c moorage.Caller, who policy.Principal) string {
	switch {
	case c.Source != moorage.SigV4:
		return "Anonymous"
	case who.Role != "":
		return "AssumedRole"
	}
	return "User"
}

func some(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// Trusts reports whether a role's trust policy lets a service assume it for a source; a role that does not exist trusts everybody, since
// runtimes may name roles that this account does not know. One that has a role's name and another path does not exist and
// cannot be made: it trusts nobody, since its sessions would be called like the other's.
func (d *Directory) Trusts(roleARN, service string, values func(string) []string) bool {
	p := d.state.Load().principals[Role+"/"+roleARN[strings.LastIndexByte(roleARN, '/')+1:]]
	if p == nil {
		return true
	}
	if p.arn != roleARN {
		a, err := moorage.ParseARN(roleARN)
		return err == nil && a.Account != d.Account
	}
	q := &policy.Request{Principal: policy.Principal{Service: service}, Action: "sts:AssumeRole", Resource: p.arn, Values: values}
	matches := policy.Evaluate([]*policy.Document{p.trust}, q)
	return len(matches) > 0 && !matches[0].Deny
}

// MayAssume decides whether a caller may become a role: its trust policy has to name the caller, or the account and then
// the caller's own policies have to allow it too.
func (d *Directory) MayAssume(c moorage.Caller, roleARN string, values func(string) []string) (role RoleView, dec Decision) {
	s := d.state.Load()
	p := s.principals[Role+"/"+roleARN[strings.LastIndexByte(roleARN, '/')+1:]]
	if p == nil || p.arn != roleARN {
		return role, Decision{Why: "there is no role " + roleARN}
	}
	r := Request{Caller: c, Action: "sts:AssumeRole", Resources: []string{roleARN}, Values: values}
	q := &policy.Request{Principal: s.named(c), Action: r.Action, Resource: roleARN}
	q.Values = d.values(s, r, q.Principal)
	trust := policy.Evaluate([]*policy.Document{p.trust}, q)
	if len(trust) == 0 || trust[0].Deny {
		return p.role(), Decision{Why: fmt.Sprintf("the trust policy of %s does not let %s in", roleARN, name(c)), Matches: trust}
	}
	own := d.Authorize(r)
	if own.Allowed {
		return p.role(), own
	}
	direct := false
	for _, m := range trust {
		direct = direct || !m.Account
	}
	for _, m := range own.Matches {
		direct = direct && !m.Deny
	}
	if !direct || c.SessionPolicy != "" {
		return p.role(), own
	}
	return p.role(), Decision{true, "the trust policy of " + roleARN + " names the caller", trust}
}

// SessionPolicy checks the policy that a session of a role is to be opened with; "" is none.
func SessionPolicy(text string) error {
	if text == "" {
		return nil
	}
	_, err := policy.Parse(policy.Identity, "session policy", text)
	return err
}
