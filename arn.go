package moorage

import (
	"regexp"
	"strings"
)

// ARN names one resource: arn:aws:SERVICE:REGION:ACCOUNT:RESOURCE.
// Source: AWS General Reference, "Amazon Resource Names".
type ARN struct {
	Partition, Service, Region, Account, Resource string
}

// ParseARN splits s. The resource part may itself hold colons and slashes.
func ParseARN(s string) (ARN, error) {
	p := strings.SplitN(s, ":", 6)
	if len(p) != 6 || p[0] != "arn" || p[1] == "" || p[2] == "" || p[5] == "" {
		return ARN{}, Errorf(Invalid, "%q is not an ARN: want arn:aws:service:region:account:resource", s)
	}
	return ARN{p[1], p[2], p[3], p[4], p[5]}, nil
}

func (a ARN) String() string {
	return strings.Join([]string{"arn", a.Partition, a.Service, a.Region, a.Account, a.Resource}, ":")
}

const service = "bedrock-agentcore"

// RuntimeARN names the runtime with the given id.
func RuntimeARN(region, account, runtimeID string) ARN {
	return ARN{"aws", service, region, account, "runtime/" + runtimeID}
}

// EndpointARN names an endpoint of a runtime.
func EndpointARN(region, account, runtimeID, endpoint string) ARN {
	return ARN{"aws", service, region, account, "runtime/" + runtimeID + "/runtime-endpoint/" + endpoint}
}

// WorkloadIdentityARN names the identity under which a runtime acts.
func WorkloadIdentityARN(region, account, name string) ARN {
	return ARN{"aws", service, region, account, "workload-identity-directory/default/workload-identity/" + name}
}

var runtimeResource = regexp.MustCompile(`^runtime/([a-zA-Z][a-zA-Z0-9_]{0,99}-[a-zA-Z0-9]{10})(?:/runtime-endpoint/([a-zA-Z][a-zA-Z0-9_]{0,47}))?$`)

// RuntimeID returns the runtime id, and the endpoint's name when the ARN names an endpoint.
func (a ARN) RuntimeID() (id, endpoint string, err error) {
	m := runtimeResource.FindStringSubmatch(a.Resource)
	if a.Service != service || m == nil {
		return "", "", Errorf(Invalid, "%s does not name an agent runtime", a)
	}
	return m[1], m[2], nil
}
