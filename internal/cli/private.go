package cli

import (
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
)

// privateWay is how a provider off the public network is reached, in the API's own words.
type privateWay struct {
	PrivateEndpoint *privateEndpoint          `yaml:"privateEndpoint,omitempty"`
	Overrides       []privateEndpointOverride `yaml:"privateEndpointOverrides,omitempty"`
}

type privateEndpoint struct {
	Lattice *latticeResource `yaml:"selfManagedLatticeResource,omitempty"`
	VPC     *vpcResource     `yaml:"managedVpcResource,omitempty"`
}

type latticeResource struct {
	ID string `yaml:"resourceConfigurationIdentifier"`
}

type vpcResource struct {
	ID             string            `yaml:"vpcIdentifier"`
	Subnets        []string          `yaml:"subnetIds,omitempty"`
	AddressType    string            `yaml:"endpointIpAddressType"`
	SecurityGroups []string          `yaml:"securityGroupIds,omitempty"`
	Tags           map[string]string `yaml:"tags,omitempty"`
	RoutingDomain  string            `yaml:"routingDomain,omitempty"`
}

type privateEndpointOverride struct {
	Domain          string          `yaml:"domain"`
	PrivateEndpoint privateEndpoint `yaml:"privateEndpoint"`
}

var latticeID = regexp.MustCompile(`^(rcfg-[0-9a-z]{17}|arn:.+:resourceconfiguration/rcfg-[0-9a-z]{17})$`)

// reach sets the private endpoints that flags name: ID, or HOST=ID.
func (w *privateWay) reach(texts []string) error {
	w.PrivateEndpoint, w.Overrides = nil, nil
	for _, text := range texts {
		host, id, isOverride := strings.Cut(text, "=")
		if !isOverride {
			id = text
		}
		if !latticeID.MatchString(id) || isOverride && host == "" {
			return usagef("--private-endpoint %q is neither rcfg-ID, with 17 lower-case letters and digits, nor HOST=rcfg-ID; a VPC is named in moorage.yaml, or by the API", text)
		}
		endpoint := privateEndpoint{Lattice: &latticeResource{id}}
		switch {
		case isOverride:
			w.Overrides = append(w.Overrides, privateEndpointOverride{host, endpoint})
		case w.PrivateEndpoint != nil:
			return usagef("--private-endpoint %q: the provider has an endpoint already; HOST=%s is for another host of its", text, id)
		default:
			w.PrivateEndpoint = &endpoint
		}
	}
	return nil
}

// input is the endpoint as it is sent; nil for none.
func (e *privateEndpoint) input() types.PrivateEndpoint {
	switch {
	case e == nil:
		return nil
	case e.VPC != nil:
		return &types.PrivateEndpointMemberManagedVpcResource{Value: types.ManagedVpcResource{
			VpcIdentifier: &e.VPC.ID, SubnetIds: e.VPC.Subnets, EndpointIpAddressType: types.EndpointIpAddressType(e.VPC.AddressType),
			SecurityGroupIds: e.VPC.SecurityGroups, Tags: e.VPC.Tags, RoutingDomain: optional(e.VPC.RoutingDomain),
		}}
	case e.Lattice != nil:
		return &types.PrivateEndpointMemberSelfManagedLatticeResource{
			Value: &types.SelfManagedLatticeResourceMemberResourceConfigurationIdentifier{Value: e.Lattice.ID},
		}
	}
	return nil
}

func endpointOf(in types.PrivateEndpoint) *privateEndpoint {
	switch in := in.(type) {
	case *types.PrivateEndpointMemberSelfManagedLatticeResource:
		if id, ok := in.Value.(*types.SelfManagedLatticeResourceMemberResourceConfigurationIdentifier); ok {
			return &privateEndpoint{Lattice: &latticeResource{id.Value}}
		}
	case *types.PrivateEndpointMemberManagedVpcResource:
		v := in.Value
		return &privateEndpoint{VPC: &vpcResource{
			ID: aws.ToString(v.VpcIdentifier), Subnets: v.SubnetIds, AddressType: string(v.EndpointIpAddressType), SecurityGroups: v.SecurityGroupIds,
			Tags: v.Tags, RoutingDomain: aws.ToString(v.RoutingDomain),
		}}
	}
	return nil
}

func (w privateWay) overrides() (out []types.PrivateEndpointOverride) {
	for _, o := range w.Overrides {
		out = append(out, types.PrivateEndpointOverride{Domain: &o.Domain, PrivateEndpoint: o.PrivateEndpoint.input()})
	}
	return out
}

func overridesOf(in []types.PrivateEndpointOverride) (out []privateEndpointOverride) {
	for _, o := range in {
		if e := endpointOf(o.PrivateEndpoint); e != nil {
			out = append(out, privateEndpointOverride{aws.ToString(o.Domain), *e})
		}
	}
	return out
}
