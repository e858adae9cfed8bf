package agentcorecontrol

import "github.com/moorage-dev/moorage"

// privatelyOf reads how a provider off the public network is reached.
func privatelyOf(in *PrivateEndpoint, overrides []PrivateEndpointOverride) (private *moorage.PrivateEndpoint, out []moorage.PrivateOverride) {
	if in != nil {
		endpoint := privateOf(*in)
		private = &endpoint
	}
	for _, o := range overrides {
		out = append(out, moorage.PrivateOverride{Domain: o.Domain, Endpoint: privateOf(o.PrivateEndpoint)})
	}
	return private, out
}

// endpointsOf is privatelyOf the other way.
func endpointsOf(private *moorage.PrivateEndpoint, overrides []moorage.PrivateOverride) (out *PrivateEndpoint, others []PrivateEndpointOverride) {
	if private != nil {
		endpoint := endpointOf(*private)
		out = &endpoint
	}
	for _, o := range overrides {
		others = append(others, PrivateEndpointOverride{Domain: o.Domain, PrivateEndpoint: endpointOf(o.Endpoint)})
	}
	return out, others
}

func privateOf(in PrivateEndpoint) (out moorage.PrivateEndpoint) {
	if r := in.SelfManagedLatticeResource; r != nil {
		out.Resource = value(r.ResourceConfigurationIdentifier)
	}
	if v := in.ManagedVpcResource; v != nil {
		out.VPC = &moorage.PrivateVPC{
			ID: v.VpcIdentifier, Subnets: v.SubnetIds, AddressType: string(v.EndpointIpAddressType), SecurityGroups: v.SecurityGroupIds, Tags: v.Tags,
			RoutingDomain: value(v.RoutingDomain),
		}
	}
	return out
}

func endpointOf(in moorage.PrivateEndpoint) (out PrivateEndpoint) {
	if v := in.VPC; v != nil {
		out.ManagedVpcResource = &ManagedVpcResource{
			VpcIdentifier: v.ID, SubnetIds: v.Subnets, EndpointIpAddressType: EndpointIpAddressType(v.AddressType), SecurityGroupIds: v.SecurityGroups, Tags: v.Tags,
		}
		if v.RoutingDomain != "" {
			out.ManagedVpcResource.RoutingDomain = &v.RoutingDomain
		}
		return out
	}
	out.SelfManagedLatticeResource = &SelfManagedLatticeResource{ResourceConfigurationIdentifier: &in.Resource}
	return out
}

func certificateOf(member string, in []CertificateConfiguration) (*moorage.CertificateRef, error) {
	if len(in) == 0 { // there is one at the most
		return nil, nil
	}
	if in[0].S3 == nil {
		return nil, invalid(member+".certificateConfigurations.1", "there is no Secrets Manager here: put the certificate into a bucket of this server, and name it by s3")
	}
	return &moorage.CertificateRef{URI: in[0].S3.Uri, Owner: value(in[0].S3.BucketOwnerAccountId)}, nil
}

func certificatesOf(ref *moorage.CertificateRef) []CertificateConfiguration {
	if ref == nil {
		return nil
	}
	return []CertificateConfiguration{{S3: &S3CertificateConfiguration{Uri: ref.URI, BucketOwnerAccountId: optional(ref.Owner)}}}
}
