package agentcore

import (
	"context"

	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/identity/workload"
)

// ServeWorkloads adds the tokens of workload identities to svc.
func ServeWorkloads(svc *wire.Service, s *workload.Service, heard Fetched) {
	wire.Handle(svc, GetWorkloadAccessToken, func(ctx context.Context, in *GetWorkloadAccessTokenInput) (*GetWorkloadAccessTokenOutput, error) {
		token, err := observed(ctx, heard, Fetch{Operation: "GetWorkloadAccessToken", Workload: in.WorkloadName}, func() (string, error) { return s.Token(ctx, in.WorkloadName) })
		return &GetWorkloadAccessTokenOutput{WorkloadAccessToken: token}, err
	})
	wire.Handle(svc, GetWorkloadAccessTokenForJWT, func(ctx context.Context, in *GetWorkloadAccessTokenForJWTInput) (*GetWorkloadAccessTokenForJWTOutput, error) {
		token, err := observed(ctx, heard, Fetch{Operation: "GetWorkloadAccessTokenForJWT", Workload: in.WorkloadName, UserToken: in.UserToken}, func() (string, error) {
			return s.TokenForJWT(ctx, in.WorkloadName, in.UserToken)
		})
		return &GetWorkloadAccessTokenForJWTOutput{WorkloadAccessToken: token}, err
	})
	wire.Handle(svc, GetWorkloadAccessTokenForUserId, func(ctx context.Context, in *GetWorkloadAccessTokenForUserIdInput) (*GetWorkloadAccessTokenForUserIdOutput, error) {
		token, err := observed(ctx, heard, Fetch{Operation: "GetWorkloadAccessTokenForUserId", Workload: in.WorkloadName}, func() (string, error) {
			return s.TokenForUser(ctx, in.WorkloadName, in.UserId)
		})
		return &GetWorkloadAccessTokenForUserIdOutput{WorkloadAccessToken: token}, err
	})
}
