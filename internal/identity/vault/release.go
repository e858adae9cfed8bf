package vault

import (
	"context"
	"fmt"

	"github.com/cedar-policy/cedar-go"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity/workload"
)

// Release is a credential that a workload is given, or is refused.
type Release struct {
	Workload string
	Session  string // internal id; empty for none
	User     string // key of the user on whose behalf; empty for nobody
	Provider string // ARN
	Flow     Flow
	Injected bool // into a call: the workload does not see it
}

// Policy says in Cedar which credentials are released:
//
//	principal  AgentCore::Workload::"NAME", with runtime, the name of the agent runtime
//	action     AgentCore::Action::"GetResourceApiKey" or "GetResourceOauth2Token"
//	resource   AgentCore::CredentialProvider::"NAME", with kind (apikey, oauth2) and vendor
//	context    flow (API_KEY, M2M, …), injected, and user: kind (jwt, id, none), issuer, subject and id
//
// What no policy permits, or one forbids, is refused; so is what a policy fails to decide.
type Policy struct{ set *cedar.PolicySet }

// DefaultPolicy releases every credential of the account to each of its workloads, as the cloud service does where the
// roles permit it.
const DefaultPolicy = "permit (principal, action, resource);"

// ParsePolicy reads policies. Name is for the messages of its errors, which are Invalid.
func ParsePolicy(name string, text []byte) (*Policy, error) {
	set, err := cedar.NewPolicySetFromBytes(name, text)
	if err != nil {
		return nil, moorage.Errorf(moorage.Invalid, "%s is not in Cedar: %w", name, err)
	}
	return &Policy{set}, nil
}

// permits decides; errs are those of policies that could not be evaluated.
func (p *Policy) permits(g workload.Grant, to *Provider, flow Flow, injected bool) (ok bool, errs string) {
	principal, resource := cedar.NewEntityUID("AgentCore::Workload", cedar.String(g.Workload)), cedar.NewEntityUID("AgentCore::CredentialProvider", cedar.String(to.Name))
	action := "GetResourceOauth2Token"
	if flow == FlowAPIKey {
		action = "GetResourceApiKey"
	}
	kind := "none"
	switch {
	case g.User.Issuer != "":
		kind = "jwt"
	case g.User.ID != "":
		kind = "id"
	}
	text := func(s string) cedar.Value { return cedar.String(s) }
	entities := cedar.EntityMap{
		principal: {UID: principal, Attributes: cedar.NewRecord(cedar.RecordMap{"runtime": text(runtimeName(g.Workload))})},
		resource:  {UID: resource, Attributes: cedar.NewRecord(cedar.RecordMap{"kind": text(string(to.Kind)), "vendor": text(to.Client.Vendor)})},
	}
	decision, diagnostic := cedar.Authorize(p.set, entities, cedar.Request{
		Principal: principal, Action: cedar.NewEntityUID("AgentCore::Action", cedar.String(action)), Resource: resource,
		Context: cedar.NewRecord(cedar.RecordMap{
			"flow": text(string(flow)), "injected": cedar.Boolean(injected),
			"user": cedar.NewRecord(cedar.RecordMap{"kind": text(kind), "issuer": text(g.User.Issuer), "subject": text(g.User.Subject), "id": text(g.User.ID)}),
		}),
	})
	if len(diagnostic.Errors) > 0 { // a forbid that fails to be decided would not forbid
		return false, fmt.Sprint(diagnostic.Errors)
	}
	return decision == cedar.Allow, ""
}

// runtimeName is a runtime's name without the suffix that makes its id; a name has no hyphen.
func runtimeName(id string) string {
	for i := range id {
		if id[i] == '-' {
			return id[:i]
		}
	}
	return id
}

// release decides whether a workload is given what a provider has, and records it.
func (v *Vault) release(ctx context.Context, g workload.Grant, p *Provider, flow Flow, injected bool) (refused error) {
	if v.Policy != nil {
		ok, errs := v.Policy.permits(g, p, flow, injected)
		if errs != "" {
			v.Log.ErrorContext(ctx, "a policy on the release of credentials cannot be evaluated", "provider", p.Name, "workload", g.Workload, "err", errs)
		}
		if !ok {
			refused = moorage.Errorf(moorage.Denied, "workload %s is not authorized to use the credential provider %s", g.Workload, p.Name)
		}
	}
	if v.Note == nil {
		return refused
	}
	err := v.Note(ctx, Release{Workload: g.Workload, Session: g.Session, User: g.User.Key(), Provider: v.ARN(*p), Flow: flow, Injected: injected}, refused)
	if refused == nil && err != nil {
		return moorage.Errorf(moorage.Unavailable, "the release of a credential cannot be recorded: %w", err)
	}
	return refused
}
