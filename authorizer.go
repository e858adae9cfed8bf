package moorage

import "strings"

// JWTAuthorizer says which bearer tokens may call a runtime. At least one of Audience, Clients, Scopes
// and Claims is set; each that is set has to match (AND), by any of its values (OR).
// Source: AgentCore API, CustomJWTAuthorizerConfiguration.
type JWTAuthorizer struct {
	DiscoveryURL string            `json:"discoveryUrl"` // of the provider's OpenID or OAuth metadata
	Audience     []string          `json:"audience,omitempty"`
	Clients      []string          `json:"clients,omitempty"` // against the claim client_id, and no other
	Scopes       []string          `json:"scopes,omitempty"`
	Advertised   map[string]string `json:"advertised,omitempty"` // scope to the name that callers are told
	Claims       []ClaimRule       `json:"claims,omitempty"`
	// Private is the way to the host of DiscoveryURL where that is on no public network, and Overrides to others that the
	// provider's metadata names. Both are kept as they came.
	Private   *PrivateEndpoint  `json:"private,omitempty"`
	Overrides []PrivateOverride `json:"overrides,omitempty"`
	// Certificate is of who signs for those hosts, beside the authorities that are trusted anyway; nil for nobody.
	Certificate *CertificateRef `json:"certificate,omitempty"`
	// Workloads are those that a call has to have come through, beside its token; nil asks for none.
	Workloads *WorkloadRule `json:"workloads,omitempty"`
}

// WorkloadRule wants one of these among the workloads that a call came through. Source: AgentCore API,
// AllowedWorkloadConfiguration.
type WorkloadRule struct {
	Hosts []string `json:"hosts,omitempty"` // ARNs of what workloads run in: agent runtimes
	Names []string `json:"names,omitempty"` // of workload identities
}

// PrivateEndpoint is a way to a host off the public network. One of its two is set.
// Source: AgentCore API, PrivateEndpoint.
type PrivateEndpoint struct {
	Resource string      `json:"resource,omitempty"` // a resource configuration: rcfg-…, or an ARN that ends so
	VPC      *PrivateVPC `json:"vpc,omitempty"`
}

// ID is what the operator of a server knows an endpoint by: rcfg-… or vpc-….
func (e PrivateEndpoint) ID() string {
	if e.VPC != nil {
		return e.VPC.ID
	}
	return e.Resource[strings.LastIndexByte(e.Resource, '/')+1:]
}

// PrivateVPC is a network in which names resolve. Subnets, SecurityGroups and Tags are kept, and mean nothing here.
type PrivateVPC struct {
	ID             string            `json:"id"`
	Subnets        []string          `json:"subnets,omitempty"`
	AddressType    string            `json:"addressType"` // IPV4 or IPV6
	SecurityGroups []string          `json:"securityGroups,omitempty"`
	Tags           map[string]string `json:"tags,omitempty"`
	RoutingDomain  string            `json:"routingDomain,omitempty"` // resolved instead of the host's own name
}

// CertificateRef names an object of this server that holds certificates in PEM. Source: AgentCore API, S3CertificateConfiguration.
type CertificateRef struct {
	URI   string `json:"uri"`             // s3://BUCKET/KEY
	Owner string `json:"owner,omitempty"` // account of the bucket; empty for ours
}

// PrivateOverride is the way to one host, by its name.
type PrivateOverride struct {
	Domain   string          `json:"domain"`
	Endpoint PrivateEndpoint `json:"endpoint"`
}

// ClaimRule is what one claim of a token has to be. Name is a flat key, dots and colons included.
type ClaimRule struct {
	Name     string   `json:"name"`
	List     bool     `json:"list,omitempty"` // the claim is a list of strings, else a string
	Operator string   `json:"operator"`       // EQUALS, CONTAINS or CONTAINS_ANY
	Values   []string `json:"values"`         // one, but for CONTAINS_ANY
}
