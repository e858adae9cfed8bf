// Package policy reads policies in IAM's JSON language, and decides by them.
//
// It is pure: no files, no clock, no network. [Parse] turns a document into a form in which a decision costs no more than
// comparing it, refuses what IAM would refuse, and says where. [Evaluate] holds documents against one request. Who holds which
// policy, and how policies of several kinds add up, is the business of package iam.
//
// Elements: Version, Id, Sid, Effect, Principal, NotPrincipal, Action, NotAction, Resource, NotResource, Condition. Wildcards are * and ?;
// an ARN is compared field by field, so that a star in one field does not reach into the next. Actions and names of condition
// keys are the same in any case, all else is not. Variables (${aws:username}, ${key, 'default'}) stand for text that is
// taken as it is, stars included; a variable that has no value matches nothing. Source: IAM User Guide, "IAM JSON policy reference".
package policy

// Kind is where a policy is attached, which decides what it has to say.
type Kind int

const (
	Identity Kind = iota // to a user or role: says on what, not who
	Resource             // to a resource: says who
	Trust                // to a role: says who may become it, and no resource
)

// MaxDocument is how long a document may be, in bytes. Source: AgentCore API, ResourcePolicyBody.
const MaxDocument = 20480

// Request is what somebody wants to do.
type Request struct {
	Principal Principal
	Action    string // service:Operation
	Resource  string // ARN, or * for what concerns no single resource
	// Values returns the values of a condition key, whose name is in lower case; none when it is not there. Nil knows none.
	Values func(key string) []string
}

// Principal is who wants it.
type Principal struct {
	ARN     string // user, or session of a role; empty for nobody in particular
	Role    string // ARN of the role, for its sessions
	Account string
	Service string // a service's name, such as bedrock-agentcore.amazonaws.com, instead of all the others
}

func (r *Request) values(key string) []string {
	if r.Values == nil {
		return nil
	}
	return r.Values(key)
}

// Match is a statement that applies to a request.
type Match struct {
	Policy    string // name of the document
	Statement string // its Sid, or its number from 1
	Deny      bool
	// Account says that the principal was matched as its account only: the statement leaves the decision to
	// the account's own policies.
	Account bool
}

// Evaluate returns the statements of documents that apply to a request, the denials first.
func Evaluate(documents []*Document, r *Request) (matches []Match) {
	denials := 0
	for _, d := range documents {
		for i := range d.statements {
			s := &d.statements[i]
			applies, account := s.applies(r)
			if !applies {
				continue
			}
			m := Match{Policy: d.Name, Statement: s.sid, Deny: s.deny, Account: account}
			matches = append(matches, m)
			if s.deny {
				last := len(matches) - 1
				matches[denials], matches[last] = matches[last], matches[denials]
				denials++
			}
		}
	}
	return matches
}
