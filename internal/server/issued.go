package server

import (
	"context"
	"net/http"
	"strings"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/guest"
	"github.com/moorage-dev/moorage/internal/identity"
	"github.com/moorage-dev/moorage/internal/identity/audit"
	"github.com/moorage-dev/moorage/internal/identity/workload"
)

// loggedIn puts a console's login, or its refusal, on record.
func (h *house) loggedIn(r *http.Request, id string, refused error) error {
	record := audit.Record{Kind: audit.Token, Source: string(moorage.SigV4), Action: "moorage:ConsoleLogin", Refused: refused != nil}
	if identity.IsAccessKeyID(id) {
		record.Key = id
	}
	if refused != nil {
		record.Reason = refused.Error()
	} else if key, err := h.people.AccessKey(r.Context(), id); err == nil {
		record.Caller = key.Principal
	}
	return h.note(r, record)
}

// issuedToWorkload puts a workload access token on record.
func (h *house) issuedToWorkload(ctx context.Context, g workload.Grant) error {
	c := identity.CallerOf(ctx)
	record := audit.Record{
		Kind: audit.Token, RequestID: wire.RequestID(ctx), Caller: callerName(c), Source: string(c.Source), Key: c.AccessKeyID,
		Action: "bedrock-agentcore:GetWorkloadAccessToken", Resources: []string{moorage.WorkloadIdentityARN(h.Region, h.account, g.Workload).String()},
		Detail: map[string]string{},
	}
	for name, value := range map[string]string{"session": g.Session, "user": g.User.Key(), "through": strings.Join(g.User.Through, " ")} {
		if value != "" {
			record.Detail[name] = value
		}
	}
	return h.audit.Record(ctx, record)
}

// issuedInside puts credentials of a role, which an agent fetched, on record.
func (h *house) issuedInside(ctx context.Context, who guest.Occupant) error {
	record := audit.Record{Kind: audit.Token, Caller: who.RuntimeARN, Action: "sts:AssumeRole", Resources: []string{who.Role}, Detail: map[string]string{"sandbox": who.Sandbox}}
	if who.Session != "" {
		record.Detail["session"] = who.Session
	}
	return h.audit.Record(ctx, record)
}
