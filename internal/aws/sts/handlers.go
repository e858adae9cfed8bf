// Package sts answers the one question of AWS STS that every toolkit asks first: who am I?
// Types and constraints are generated; see api.gen.go.
package sts

import (
	"context"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/wire"
)

// Serve adds GetCallerIdentity to svc. Caller returns who makes the call of ctx.
func Serve(svc *wire.Service, caller func(context.Context) moorage.Caller) {
	wire.Handle(svc, GetCallerIdentity, func(ctx context.Context, _ *GetCallerIdentityInput) (*GetCallerIdentityOutput, error) {
		c := caller(ctx)
		return &GetCallerIdentityOutput{Account: &c.Account, Arn: &c.ARN, UserId: &c.AccessKeyID}, nil
	})
}
