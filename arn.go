package moorage

import "strings"

// ARN names one resource: arn:aws:SERVICE:REGION:ACCOUNT:RESOURCE.
// Source: AWS General Reference, "Amazon Resource Names".
type ARN struct {
	Partition, Service, Region, Account, Resource string
}

// ParseARN splits s. The resource part may itself hold colons and slashes.
func ParseARN(s string) (ARN, error) {
	var a ARN
	begin, rest, _ := strings.Cut(s, ":")
	a.Partition, rest, _ = strings.Cut(rest, ":")
	a.Service, rest, _ = strings.Cut(rest, ":")
	a.Region, rest, _ = strings.Cut(rest, ":")
	a.Account, a.Resource, _ = strings.Cut(rest, ":")
	if begin != "arn" || a.Partition == "" || a.Service == "" || a.Resource == "" {
		return ARN{}, Errorf(Invalid, "%q is not an ARN: want arn:aws:service:region:account:resource", s)
	}
	return a, nil
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
	return ARN{"aws", service, region, account, workloadPrefix + name}
}

const workloadPrefix = "workload-identity-directory/default/workload-identity/"

// WorkloadName returns the name of the workload identity that the ARN names, or "".
func (a ARN) WorkloadName() string {
	name, ok := strings.CutPrefix(a.Resource, workloadPrefix)
	if a.Service != service || !ok || strings.Contains(name, "/") {
		return ""
	}
	return name
}

// RuntimeID returns the runtime id, and the endpoint's name when the ARN names an endpoint. Every call asks
// for it, some more than once.
func (a ARN) RuntimeID() (id, endpoint string, err error) {
	rest, ok := strings.CutPrefix(a.Resource, "runtime/")
	id, endpoint, named := strings.Cut(rest, "/runtime-endpoint/")
	if a.Service != service || !ok || !isRuntimeID(id) || named && !isName(endpoint, 48) {
		return "", "", Errorf(Invalid, "%s does not name an agent runtime", a)
	}
	return id, endpoint, nil
}

const idSuffix = 10 // letters and digits that make a runtime's id its own

// isRuntimeID reports whether s is a runtime's name, a hyphen and the suffix.
func isRuntimeID(s string) bool {
	at := len(s) - idSuffix - 1
	return at > 0 && s[at] == '-' && isName(s[:at], 100) && !strings.ContainsFunc(s[at+1:], notAlphanumeric)
}

// isName reports whether s is a letter, and letters, digits and underscores after it, of at most limit bytes.
func isName(s string, limit int) bool {
	return s != "" && len(s) <= limit && !notAlphanumeric(rune(s[0])) && (s[0] < '0' || s[0] > '9') &&
		!strings.ContainsFunc(s, func(r rune) bool { return r != '_' && notAlphanumeric(r) })
}

func notAlphanumeric(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
}
