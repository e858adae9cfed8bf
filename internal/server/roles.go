package server

import (
	"context"
	"net/http"
	"time"

	"github.com/moorage-dev/moorage"
	awsiam "github.com/moorage-dev/moorage/internal/aws/iam"
	"github.com/moorage-dev/moorage/internal/aws/sts"
	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/identity"
	"github.com/moorage-dev/moorage/internal/identity/audit"
	"github.com/moorage-dev/moorage/internal/identity/iam"
)

func (h *house) iam() http.Handler {
	svc := wire.NewService(awsiam.Model, wire.Options{Logger: h.Log})
	awsiam.Serve(svc, h.people, identity.CallerOf)
	svc.Use(func(next http.Handler) http.Handler { return h.signed(next, wire.WriteError) })
	return svc
}

// maxChained is the longest session of a role that was opened by a session of a role. Source: STS API, AssumeRole.
const maxChained = time.Hour

// assume opens a session of a role.
func (h *house) assume(ctx context.Context, in *sts.AssumeRoleInput) (*sts.AssumeRoleOutput, error) {
	c := identity.CallerOf(ctx)
	if len(in.PolicyArns) > 0 || len(in.Tags) > 0 || in.SerialNumber != nil {
		return nil, moorage.Errorf(moorage.Unsupported, "AssumeRole with PolicyArns, Tags or a second factor is not supported by Moorage; Policy is")
	}
	role, decision := h.people.MayAssume(c, in.RoleArn, func(key string) []string {
		switch key {
		case "sts:externalid":
			return some(pointed(in.ExternalId))
		case "sts:rolesessionname":
			return []string{in.RoleSessionName}
		}
		return nil
	})
	record := audit.Record{
		Kind: audit.Token, RequestID: wire.RequestID(ctx), Caller: callerName(c), Source: string(c.Source), Key: c.AccessKeyID, Action: "sts:AssumeRole",
		Resources: []string{in.RoleArn}, Refused: !decision.Allowed, Reason: decision.Why, Detail: map[string]string{"session": in.RoleSessionName},
	}
	if err := h.audit.Record(ctx, record); err != nil {
		return nil, err
	}
	if !decision.Allowed {
		return nil, moorage.Errorf(moorage.Denied, "User: %s is not authorized to perform: sts:AssumeRole on resource: %s", c.ARN, in.RoleArn)
	}
	return h.openRole(c, role, in)
}

func pointed(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

func (h *house) openRole(c moorage.Caller, role iam.RoleView, in *sts.AssumeRoleInput) (*sts.AssumeRoleOutput, error) {
	life := iam.DefaultDuration
	if in.DurationSeconds != nil {
		life = time.Duration(*in.DurationSeconds) * time.Second
	}
	if life > role.MaxDuration {
		return nil, &moorage.Error{Code: moorage.Invalid, Exception: "ValidationError", Message: "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."}
	}
	if c.Owner() != c.ARN && life > maxChained {
		return nil, &moorage.Error{Code: moorage.Invalid, Exception: "ValidationError", Message: "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"}
	}
	bound := pointed(in.Policy)
	if err := iam.SessionPolicy(bound); err != nil {
		return nil, err
	}
	made, err := h.temporary.IssueRole(identity.RoleSession{Role: role.ARN, RoleID: role.ID, Name: in.RoleSessionName, Policy: bound}, time.Now().Add(life))
	if err != nil {
		return nil, err
	}
	arn := moorage.ARN{Partition: "aws", Service: "sts", Account: h.account, Resource: "assumed-role/" + role.Name + "/" + in.RoleSessionName}
	return &sts.AssumeRoleOutput{
		Credentials:     &sts.Credentials{AccessKeyId: made.AccessKeyID, SecretAccessKey: made.SecretAccessKey, SessionToken: made.SessionToken, Expiration: made.Expires},
		AssumedRoleUser: &sts.AssumedRoleUser{AssumedRoleId: role.ID + ":" + in.RoleSessionName, Arn: arn.String()},
	}, nil
}
