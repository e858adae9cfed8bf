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
	c.Authorizer = &moorage.JWTAuthorizer{
		DiscoveryURL: in.DiscoveryUrl, Audience: in.AllowedAudience, Clients: in.AllowedClients, Scopes: in.AllowedScopes, Advertised: in.AdvertisedScopeMapping,
	}
	for _, rule := range in.CustomClaims {
		c.Authorizer.Claims = append(c.Authorizer.Claims, ruleOf(rule))
	}
	certificate, err := certificateOf(jwtMember, in.CertificateConfigurations)
	if err != nil {
		return err
	}
	c.Authorizer.Certificate = certificate
	c.Authorizer.Private, c.Authorizer.Overrides = privatelyOf(in.PrivateEndpoint, in.PrivateEndpointOverrides)
	if w := in.AllowedWorkloadConfiguration; w != nil {
		c.Authorizer.Workloads = &moorage.WorkloadRule{Names: w.WorkloadIdentities}
		for _, host := range w.HostingEnvironments {
			c.Authorizer.Workloads.Hosts = append(c.Authorizer.Workloads.Hosts, host.Arn)
		}
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
	out.CertificateConfigurations = certificatesOf(a.Certificate)
	out.PrivateEndpoint, out.PrivateEndpointOverrides = endpointsOf(a.Private, a.Overrides)
	if w := a.Workloads; w != nil {
		out.AllowedWorkloadConfiguration = &AllowedWorkloadConfiguration{WorkloadIdentities: w.Names}
		for _, arn := range w.Hosts {
			out.AllowedWorkloadConfiguration.HostingEnvironments = append(out.AllowedWorkloadConfiguration.HostingEnvironments, HostingEnvironment{Arn: arn})
		}
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
