package control

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"

	"github.com/moorage-dev/moorage"
)

// checkPrivate holds an authorizer's private endpoints against what goes together, and against those that there are.
// Source: AgentCore developer guide, "Connect to private identity providers"; AgentCore CLI, which checks as the service does.
func (s *Service) checkPrivate(a moorage.JWTAuthorizer) error {
	if a.Private == nil {
		if len(a.Overrides) > 0 {
			return invalid(jwtMember+".privateEndpointOverrides", "privateEndpointOverrides can only be used when privateEndpoint is also set")
		}
		return nil
	}
	if u, err := url.Parse(a.DiscoveryURL); err != nil || u.Scheme != "https" || u.Hostname() == "" {
		return invalid(jwtMember+".discoveryUrl", "behind a private endpoint the discovery URL must begin with https:// and name a host; %q does not", a.DiscoveryURL)
	}
	if err := s.checkEndpoint(jwtMember+".privateEndpoint", *a.Private); err != nil {
		return err
	}
	seen := map[string]bool{}
	for i, o := range a.Overrides {
		member := fmt.Sprintf("%s.privateEndpointOverrides.%d", jwtMember, i+1)
		domain := strings.ToLower(o.Domain)
		switch {
		case !hostName.MatchString(domain) && net.ParseIP(domain) == nil:
			return invalid(member+".domain", "%q is not the name of a host, such as keys.example.com: leave out scheme, port and path", o.Domain)
		case seen[domain]:
			return invalid(member+".domain", "the domain %s has an override already", o.Domain)
		case (o.Endpoint.VPC == nil) != (a.Private.VPC == nil):
			return invalid(member+".privateEndpoint", "privateEndpoint and privateEndpointOverrides must all be the same kind: either all selfManagedLatticeResource or all managedVpcResource")
		}
		seen[domain] = true
		if err := s.checkEndpoint(member+".privateEndpoint", o.Endpoint); err != nil {
			return err
		}
	}
	return nil
}

var hostName = regexp.MustCompile(`^([a-z0-9_]([a-z0-9_-]*[a-z0-9_])?\.)*[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)

// checkEndpoint wants an endpoint that this server knows: there is no VPC to look in.
func (s *Service) checkEndpoint(member string, e moorage.PrivateEndpoint) error {
	id := e.ID()
	if s.HasEndpoint != nil && s.HasEndpoint(id) {
		return nil
	}
	place := "ADDRESS"
	if e.VPC != nil {
		place = "NETWORK"
	}
	return invalid(member, "this server has no private endpoint %s: whoever runs it says where that is, with moorage serve --private-endpoint %s=%s", id, id, place)
}
