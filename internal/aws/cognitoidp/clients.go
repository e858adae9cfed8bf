package cognitoidp

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/moorage-dev/moorage/internal/identity/pool"
)

// apply puts on a client what in says of it. What in leaves out gets its default, also when a client is changed.
func apply(c *pool.Client, in *UpdateUserPoolClientInput) error {
	providers := in.SupportedIdentityProviders
	err := refuse(
		refusal{"AnalyticsConfiguration", in.AnalyticsConfiguration != nil},
		refusal{"RefreshTokenRotation", in.RefreshTokenRotation != nil && in.RefreshTokenRotation.Feature == FeatureTypeEnabled},
		refusal{"SupportedIdentityProviders other than COGNITO", len(providers) > 1 || len(providers) == 1 && providers[0] != "COGNITO"},
	)
	if err != nil {
		return err
	}
	units := TokenValidityUnitsType{}
	if in.TokenValidityUnits != nil {
		units = *in.TokenValidityUnits
	}
	c.Access = life(in.AccessTokenValidity, units.AccessToken, time.Hour, pool.DefaultLife)
	c.Identity = life(in.IdTokenValidity, units.IdToken, time.Hour, pool.DefaultLife)
	c.Refresh = life(in.RefreshTokenValidity, units.RefreshToken, 24*time.Hour, pool.DefaultRefresh)
	c.HideUsers = in.PreventUserExistenceErrors == PreventUserExistenceErrorTypesEnabled
	c.Scopes, c.Callbacks = in.AllowedOAuthScopes, in.CallbackURLs
	c.Flows, c.OAuth = nil, nil
	for _, flow := range in.ExplicitAuthFlows {
		c.Flows = append(c.Flows, "ALLOW_"+strings.TrimPrefix(string(flow), "ALLOW_"))
	}
	if len(c.Flows) == 0 { // source: CreateUserPoolClient, ExplicitAuthFlows
		c.Flows = []string{"ALLOW_REFRESH_TOKEN_AUTH", "ALLOW_USER_SRP_AUTH", "ALLOW_CUSTOM_AUTH"}
	}
	if yes(in.AllowedOAuthFlowsUserPoolClient) {
		for _, flow := range in.AllowedOAuthFlows {
			c.OAuth = append(c.OAuth, string(flow))
		}
	}
	c.Shown, err = json.Marshal(in) // a description has the same members
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
	if err := refuse(refusal{"a ClientSecret of one's own (GenerateSecret is)", text(in.ClientSecret) != ""}); err != nil {
		return nil, err
	}
	settings := new(UpdateUserPoolClientInput)
	if err := recast(in, settings); err != nil {
		return nil, err
	}
	c := pool.Client{Pool: in.UserPoolId, Name: in.ClientName}
	if err := apply(&c, settings); err != nil {
		return nil, err
	}
	made, err := h.PutClient(ctx, c, yes(in.GenerateSecret))
	if err != nil {
		return nil, err
	}
	out, err := shownClient(made)
	return &CreateUserPoolClientOutput{UserPoolClient: out}, err
}

// recast copies the members that two structures share by name.
func recast(from, to any) error {
	raw, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, to)
}

func (h handlers) updateClient(ctx context.Context, in *UpdateUserPoolClientInput) (*UpdateUserPoolClientOutput, error) {
	c, err := h.ClientOf(in.UserPoolId, in.ClientId)
	if err != nil {
		return nil, err
	}
	if in.ClientName != nil {
		c.Name = *in.ClientName
	}
	if err := apply(&c, in); err != nil {
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
