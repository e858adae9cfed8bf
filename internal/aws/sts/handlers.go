// Package sts answers the question of AWS STS that every toolkit asks first, who am I?, and opens sessions of roles.
// Types and constraints are generated; see api.gen.go.
package sts

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"strings"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/wire"
)

// Serve adds GetCallerIdentity to svc. Caller returns who makes the call of ctx.
func Serve(svc *wire.Service, caller func(context.Context) moorage.Caller) {
	wire.Handle(svc, GetCallerIdentity, func(ctx context.Context, _ *GetCallerIdentityInput) (*GetCallerIdentityOutput, error) {
		c := caller(ctx)
		id := userID(c)
		return &GetCallerIdentityOutput{Account: &c.Account, Arn: &c.ARN, UserId: &id}, nil
	})
}

// Roles opens a session of a role for the caller of ctx.
type Roles func(ctx context.Context, in *AssumeRoleInput) (*AssumeRoleOutput, error)

// ServeRoles adds AssumeRole to svc.
func ServeRoles(svc *wire.Service, assume Roles) { wire.Handle(svc, AssumeRole, assume) }

// userID is ROLE-ID:SESSION for a role's session, where the role's id follows from its ARN, and the key's id
// for everybody else.
func userID(c moorage.Caller) string {
	role := c.Owner()
	if role == c.ARN {
		return c.AccessKeyID
	}
	sum := sha256.Sum256([]byte(role))
	session := c.ARN[strings.LastIndex(c.ARN, "/")+1:]
	return "AROA" + base32.StdEncoding.EncodeToString(sum[:])[:17] + ":" + session
}
