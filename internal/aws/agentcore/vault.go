package agentcore

import (
	"context"

	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/identity/vault"
)

// ServeVault adds what agents get from the token vault to svc.
func ServeVault(svc *wire.Service, v *vault.Vault, heard Fetched) {
	of := func(ctx context.Context, f Fetch, token string) Fetch {
		if g, err := v.Workloads.Redeem(ctx, token); err == nil && heard != nil {
			f.Workload = g.Workload
		}
		return f
	}
	wire.Handle(svc, GetResourceApiKey, func(ctx context.Context, in *GetResourceApiKeyInput) (*GetResourceApiKeyOutput, error) {
		f := of(ctx, Fetch{Operation: "GetResourceAPIKey", Provider: in.ResourceCredentialProviderName, Kind: vault.APIKey}, in.WorkloadIdentityToken)
		key, err := observed(ctx, heard, f, func() (string, error) {
			return v.APIKey(ctx, in.WorkloadIdentityToken, in.ResourceCredentialProviderName)
		})
		return &GetResourceApiKeyOutput{ApiKey: key}, err
	})
	wire.Handle(svc, GetResourceOauth2Token, func(ctx context.Context, in *GetResourceOauth2TokenInput) (*GetResourceOauth2TokenOutput, error) {
		f := of(ctx, Fetch{Operation: "GetResourceOAuth2Token", Provider: in.ResourceCredentialProviderName, Kind: vault.OAuth2, Flow: vault.Flow(in.Oauth2Flow)}, in.WorkloadIdentityToken)
		a, err := observed(ctx, heard, f, func() (vault.Answer, error) {
			return v.AccessToken(ctx, vault.Request{
				Token: in.WorkloadIdentityToken, Provider: in.ResourceCredentialProviderName, Scopes: in.Scopes, Flow: vault.Flow(in.Oauth2Flow),
				SessionURI: value(in.SessionUri), ReturnURL: value(in.ResourceOauth2ReturnUrl), Force: value(in.ForceAuthentication),
				Parameters: in.CustomParameters, State: value(in.CustomState), Resources: in.Resources, Audiences: in.Audiences,
			})
		})
		return &GetResourceOauth2TokenOutput{ // clients look for the members that are there
			AccessToken: optional(a.AccessToken), AuthorizationUrl: optional(a.AuthorizationURL), SessionUri: optional(a.SessionURI), SessionStatus: SessionStatus(a.Status),
		}, err
	})
}

// ServeConsent adds the word of apps that a user consented to svc. Agents have no such word.
func ServeConsent(svc *wire.Service, v *vault.Vault) {
	wire.Handle(svc, CompleteResourceTokenAuth, func(ctx context.Context, in *CompleteResourceTokenAuthInput) (*CompleteResourceTokenAuthOutput, error) {
		return &CompleteResourceTokenAuthOutput{}, v.Complete(ctx, in.SessionUri, value(in.UserIdentifier.UserToken), value(in.UserIdentifier.UserId))
	})
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
