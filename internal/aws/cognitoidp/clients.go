package cognitoidp

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/moorage-dev/moorage/internal/identity/pool"
)

// settings are what CreateUserPoolClient and UpdateUserPoolClient both say of a client. What they leave out gets its default,
// also when a client is changed.
type settings struct {
	access, identity, refresh *int32
	units                     *TokenValidityUnitsType
	flows                     []ExplicitAuthFlowsType
	oauth                     []OAuthFlowType
	mayOAuth                  *bool
	scopes, callbacks         []string
	providers                 []string
	hide                      PreventUserExistenceErrorTypes
	rotation                  *RefreshTokenRotationType
	shown                     UserPoolClientType
}

// apply puts settings on a client.
func (s settings) apply(c *pool.Client) error {
	err := refuse(
		refusal{"RefreshTokenRotation", s.rotation != nil && s.rotation.Feature == FeatureTypeEnabled},
		refusal{"SupportedIdentityProviders other than COGNITO", len(s.providers) > 1 || len(s.providers) == 1 && s.providers[0] != "COGNITO"},
	)
	if err != nil {
		return err
	}
	units := TokenValidityUnitsType{}
	if s.units != nil {
		units = *s.units
	}
	c.Access = life(s.access, units.AccessToken, time.Hour, pool.DefaultLife)
	c.Identity = life(s.identity, units.IdToken, time.Hour, pool.DefaultLife)
	c.Refresh = life(s.refresh, units.RefreshToken, 24*time.Hour, pool.DefaultRefresh)
	c.HideUsers = s.hide == PreventUserExistenceErrorTypesEnabled
	c.Flows, c.OAuth = nil, nil
	for _, flow := range s.flows {
		c.Flows = append(c.Flows, "ALLOW_"+strings.TrimPrefix(string(flow), "ALLOW_"))
	}
	if len(s.flows) == 0 { // source: CreateUserPoolClient, ExplicitAuthFlows
		c.Flows = []string{"ALLOW_REFRESH_TOKEN_AUTH", "ALLOW_USER_SRP_AUTH", "ALLOW_CUSTOM_AUTH"}
	}
	if yes(s.mayOAuth) {
		for _, flow := range s.oauth {
			c.OAuth = append(c.OAuth, string(flow))
		}
	}
	c.Scopes, c.Callbacks = s.scopes, s.callbacks
	c.Shown, err = json.Marshal(s.shown)
	return err
}

// life is how long a token lives; 0 and nothing are the default.
func life(n *int32, unit TimeUnitsType, usual, otherwise time.Duration) time.Duration {
	if n == nil || *n == 0 {
		return otherwise
	}
	switch unit {
	case TimeUnitsTypeSeconds:
		usual = time.Second
	case TimeUnitsTypeMinutes:
		usual = time.Minute
	case TimeUnitsTypeHours:
		usual = time.Hour
	case TimeUnitsTypeDays:
		usual = 24 * time.Hour
	}
	return time.Duration(*n) * usual
}

func (h handlers) createClient(ctx context.Context, in *CreateUserPoolClientInput) (*CreateUserPoolClientOutput, error) {
	if err := refuse(refusal{"a ClientSecret of one's own (GenerateSecret is)", text(in.ClientSecret) != ""}, refusal{"AnalyticsConfiguration", in.AnalyticsConfiguration != nil}); err != nil {
		return nil, err
	}
	c := pool.Client{Pool: in.UserPoolId, Name: in.ClientName}
	s := settings{
		in.AccessTokenValidity, in.IdTokenValidity, in.RefreshTokenValidity, in.TokenValidityUnits, in.ExplicitAuthFlows, in.AllowedOAuthFlows,
		in.AllowedOAuthFlowsUserPoolClient, in.AllowedOAuthScopes, in.CallbackURLs, in.SupportedIdentityProviders, in.PreventUserExistenceErrors,
		in.RefreshTokenRotation, UserPoolClientType{
			AccessTokenValidity: in.AccessTokenValidity, IdTokenValidity: in.IdTokenValidity, RefreshTokenValidity: in.RefreshTokenValidity,
			TokenValidityUnits: in.TokenValidityUnits, ReadAttributes: in.ReadAttributes, WriteAttributes: in.WriteAttributes,
			ExplicitAuthFlows: in.ExplicitAuthFlows, SupportedIdentityProviders: in.SupportedIdentityProviders, CallbackURLs: in.CallbackURLs,
			LogoutURLs: in.LogoutURLs, DefaultRedirectURI: in.DefaultRedirectURI, AllowedOAuthFlows: in.AllowedOAuthFlows,
			AllowedOAuthScopes: in.AllowedOAuthScopes, AllowedOAuthFlowsUserPoolClient: in.AllowedOAuthFlowsUserPoolClient,
			PreventUserExistenceErrors: in.PreventUserExistenceErrors, EnableTokenRevocation: in.EnableTokenRevocation, AuthSessionValidity: in.AuthSessionValidity,
		},
	}
	if err := s.apply(&c); err != nil {
		return nil, err
	}
	made, err := h.PutClient(ctx, c, yes(in.GenerateSecret))
	if err != nil {
		return nil, err
	}
	out, err := shownClient(made)
	return &CreateUserPoolClientOutput{UserPoolClient: out}, err
}

func (h handlers) updateClient(ctx context.Context, in *UpdateUserPoolClientInput) (*UpdateUserPoolClientOutput, error) {
	if err := refuse(refusal{"AnalyticsConfiguration", in.AnalyticsConfiguration != nil}); err != nil {
		return nil, err
	}
	c, err := h.ClientOf(in.UserPoolId, in.ClientId)
	if err != nil {
		return nil, err
	}
	if in.ClientName != nil {
		c.Name = *in.ClientName
	}
	s := settings{
		in.AccessTokenValidity, in.IdTokenValidity, in.RefreshTokenValidity, in.TokenValidityUnits, in.ExplicitAuthFlows, in.AllowedOAuthFlows,
		in.AllowedOAuthFlowsUserPoolClient, in.AllowedOAuthScopes, in.CallbackURLs, in.SupportedIdentityProviders, in.PreventUserExistenceErrors,
		in.RefreshTokenRotation, UserPoolClientType{
			AccessTokenValidity: in.AccessTokenValidity, IdTokenValidity: in.IdTokenValidity, RefreshTokenValidity: in.RefreshTokenValidity,
			TokenValidityUnits: in.TokenValidityUnits, ReadAttributes: in.ReadAttributes, WriteAttributes: in.WriteAttributes,
			ExplicitAuthFlows: in.ExplicitAuthFlows, SupportedIdentityProviders: in.SupportedIdentityProviders, CallbackURLs: in.CallbackURLs,
			LogoutURLs: in.LogoutURLs, DefaultRedirectURI: in.DefaultRedirectURI, AllowedOAuthFlows: in.AllowedOAuthFlows,
			AllowedOAuthScopes: in.AllowedOAuthScopes, AllowedOAuthFlowsUserPoolClient: in.AllowedOAuthFlowsUserPoolClient,
			PreventUserExistenceErrors: in.PreventUserExistenceErrors, EnableTokenRevocation: in.EnableTokenRevocation, AuthSessionValidity: in.AuthSessionValidity,
		},
	}
	if err := s.apply(&c); err != nil {
		return nil, err
	}
	made, err := h.PutClient(ctx, c, false)
	if err != nil {
		return nil, err
	}
	out, err := shownClient(made)
	return &UpdateUserPoolClientOutput{UserPoolClient: out}, err
}

func (h handlers) describeClient(_ context.Context, in *DescribeUserPoolClientInput) (*DescribeUserPoolClientOutput, error) {
	c, err := h.ClientOf(in.UserPoolId, in.ClientId)
	if err != nil {
		return nil, err
	}
	out, err := shownClient(c)
	return &DescribeUserPoolClientOutput{UserPoolClient: out}, err
}

func shownClient(c pool.Client) (*UserPoolClientType, error) {
	out := new(UserPoolClientType)
	if err := json.Unmarshal(c.Shown, out); err != nil {
		return nil, err
	}
	out.UserPoolId, out.ClientId, out.ClientName = &c.Pool, &c.ID, &c.Name
	out.CreationDate, out.LastModifiedDate = &c.Created, &c.Changed
	if c.Secret != "" {
		out.ClientSecret = &c.Secret
	}
	if out.RefreshTokenValidity == nil {
		out.RefreshTokenValidity = some(int32(c.Refresh / (24 * time.Hour)))
	}
	if out.AllowedOAuthFlowsUserPoolClient == nil {
		out.AllowedOAuthFlowsUserPoolClient = some(false)
	}
	if out.EnableTokenRevocation == nil {
		out.EnableTokenRevocation = some(true)
	}
	if len(out.ExplicitAuthFlows) == 0 {
		for _, flow := range c.Flows {
			out.ExplicitAuthFlows = append(out.ExplicitAuthFlows, ExplicitAuthFlowsType(flow))
		}
	}
	return out, nil
}

func (h handlers) listClients(_ context.Context, in *ListUserPoolClientsInput) (*ListUserPoolClientsOutput, error) {
	all, err := h.Clients(in.UserPoolId)
	if err != nil {
		return nil, err
	}
	some, next, err := page(all, in.NextToken, number(in.MaxResults, maxUsers))
	out := &ListUserPoolClientsOutput{UserPoolClients: []UserPoolClientDescription{}, NextToken: next}
	for _, c := range some {
		out.UserPoolClients = append(out.UserPoolClients, UserPoolClientDescription{ClientId: &c.ID, ClientName: &c.Name, UserPoolId: &c.Pool})
	}
	return out, err
}
