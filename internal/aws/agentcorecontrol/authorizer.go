package agentcorecontrol

import "github.com/moorage-dev/moorage"

const jwtMember = "authorizerConfiguration.customJWTAuthorizer"

func (s settings) setAuthorizer(c *moorage.Config) error {
	if s.authorizer == nil {
		return nil
	}
	in := s.authorizer.CustomJWTAuthorizer
	if in == nil {
		return invalid("authorizerConfiguration", "customJWTAuthorizer must be set: it is the only kind of authorizer that there is")
	}
	for member, set := range map[string]bool{
		"privateEndpoint": in.PrivateEndpoint != nil, "privateEndpointOverrides": len(in.PrivateEndpointOverrides) > 0,
		"certificateConfigurations": len(in.CertificateConfigurations) > 0, "allowedWorkloadConfiguration": in.AllowedWorkloadConfiguration != nil,
	} {
		if set {
			return invalid(jwtMember+"."+member, "%s is not supported by Moorage; a provider on a private network is reached when the server is started with --provider-network", member)
		}
	}
	c.Authorizer = &moorage.JWTAuthorizer{
		DiscoveryURL: in.DiscoveryUrl, Audience: in.AllowedAudience, Clients: in.AllowedClients, Scopes: in.AllowedScopes, Advertised: in.AdvertisedScopeMapping,
	}
	for _, rule := range in.CustomClaims {
		c.Authorizer.Claims = append(c.Authorizer.Claims, ruleOf(rule))
	}
	return nil
}

func ruleOf(in CustomClaimValidationType) moorage.ClaimRule {
	match := in.AuthorizingClaimMatchValue
	values := match.ClaimMatchValue.MatchValueStringList
	if one := match.ClaimMatchValue.MatchValueString; one != nil {
		values = []string{*one}
	}
	return moorage.ClaimRule{
		Name: in.InboundTokenClaimName, List: in.InboundTokenClaimValueType == InboundTokenClaimValueTypeStringArray,
		Operator: string(match.ClaimMatchOperator), Values: values,
	}
}

func authorizerOf(a *moorage.JWTAuthorizer) *AuthorizerConfiguration {
	if a == nil {
		return nil
	}
	out := &CustomJWTAuthorizerConfiguration{
		DiscoveryUrl: a.DiscoveryURL, AllowedAudience: a.Audience, AllowedClients: a.Clients, AllowedScopes: a.Scopes, AdvertisedScopeMapping: a.Advertised,
	}
	for _, rule := range a.Claims {
		out.CustomClaims = append(out.CustomClaims, claimOf(rule))
	}
	return &AuthorizerConfiguration{CustomJWTAuthorizer: out}
}

func claimOf(rule moorage.ClaimRule) CustomClaimValidationType {
	out := CustomClaimValidationType{
		InboundTokenClaimName: rule.Name, InboundTokenClaimValueType: InboundTokenClaimValueTypeString,
		AuthorizingClaimMatchValue: AuthorizingClaimMatchValueType{ClaimMatchOperator: ClaimMatchOperatorType(rule.Operator)},
	}
	if rule.List {
		out.InboundTokenClaimValueType = InboundTokenClaimValueTypeStringArray
	}
	match := &out.AuthorizingClaimMatchValue.ClaimMatchValue
	if rule.Operator == string(ClaimMatchOperatorTypeContainsAny) {
		match.MatchValueStringList = rule.Values
	} else {
		match.MatchValueString = &rule.Values[0]
	}
	return out
}
