package bearer

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"

	"github.com/moorage-dev/moorage"
)

// Check holds a way against what goes together, and against the endpoints that there are. Its errors are Invalid, of the members of a
// request that begin with member; at is the one that has its URL.
// Source: AgentCore developer guide, "Connect to private identity providers"; AgentCore CLI, which checks as the service does.
func (all Endpoints) Check(member, at string, w Way) error {
	if w.Private == nil {
		if w.Certificate != nil {
			return invalid(member+".certificateConfigurations", "certificateConfigurations can only be used when privateEndpoint is also set")
		}
		if len(w.Overrides) > 0 {
			return invalid(member+".privateEndpointOverrides", "privateEndpointOverrides can only be used when privateEndpoint is also set")
		}
		return nil
	}
	if u, err := url.Parse(w.URL); err != nil || u.Scheme != "https" || u.Hostname() == "" {
		return invalid(at, "behind a private endpoint the provider's URL must begin with https:// and name a host; %q does not", w.URL)
	}
	if err := all.check(member+".privateEndpoint", *w.Private); err != nil {
		return err
	}
	if w.Certificate != nil {
		if _, err := w.roots(nil); err != nil {
			return invalid(member+".certificateConfigurations.1.s3", "%v", err)
		}
	}
	seen := map[string]bool{}
	for i, o := range w.Overrides {
		member := fmt.Sprintf("%s.privateEndpointOverrides.%d", member, i+1)
		domain := strings.ToLower(o.Domain)
		switch {
		case !hostName.MatchString(domain) && net.ParseIP(domain) == nil:
			return invalid(member+".domain", "%q is not the name of a host, such as keys.example.com: leave out scheme, port and path", o.Domain)
		case seen[domain]:
			return invalid(member+".domain", "the domain %s has an override already", o.Domain)
		case (o.Endpoint.VPC == nil) != (w.Private.VPC == nil):
			return invalid(member+".privateEndpoint", "privateEndpoint and privateEndpointOverrides must all be the same kind: either all selfManagedLatticeResource or all managedVpcResource")
		}
		seen[domain] = true
		if err := all.check(member+".privateEndpoint", o.Endpoint); err != nil {
			return err
		}
	}
	return nil
}

var hostName = regexp.MustCompile(`^([a-z0-9_]([a-z0-9_-]*[a-z0-9_])?\.)*[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)

// check wants an endpoint that this server knows: there is no VPC to look in.
func (all Endpoints) check(member string, e moorage.PrivateEndpoint) error {
	id := e.ID()
	if _, ok := all[id]; ok {
		return nil
	}
	place := "ADDRESS"
	if e.VPC != nil {
		place = "NETWORK"
	}
	return invalid(member, "this server has no private endpoint %s: whoever runs it says where that is, with moorage serve --private-endpoint %s=%s", id, id, place)
}

func invalid(member, format string, args ...any) error {
	message := fmt.Sprintf(format, args...)
	return &moorage.Error{Code: moorage.Invalid, Message: message, Fields: []moorage.Field{{Name: member, Message: message}}}
}
