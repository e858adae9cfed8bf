package cli

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
)

// allowedWorkloads are those that calls have to come through, in the API's own words.
type allowedWorkloads struct {
	Hosts []hostingEnvironment `yaml:"hostingEnvironments,omitempty"`
	Names []string             `yaml:"workloadIdentities,omitempty"`
}

type hostingEnvironment struct {
	ARN string `yaml:"arn"`
}

// workloadsNamed tells ARNs of runtimes from names of workload identities, which have no colon.
func workloadsNamed(texts []string) *allowedWorkloads {
	var out allowedWorkloads
	for _, text := range texts {
		if strings.Contains(text, ":") {
			out.Hosts = append(out.Hosts, hostingEnvironment{text})
		} else {
			out.Names = append(out.Names, text)
		}
	}
	return &out
}

// input is the rule as it is sent; nil for none.
func (w *allowedWorkloads) input() *types.AllowedWorkloadConfiguration {
	if w == nil {
		return nil
	}
	out := &types.AllowedWorkloadConfiguration{WorkloadIdentities: w.Names}
	for _, host := range w.Hosts {
		out.HostingEnvironments = append(out.HostingEnvironments, types.HostingEnvironment{Arn: &host.ARN})
	}
	return out
}

func workloadsOf(in *types.AllowedWorkloadConfiguration) *allowedWorkloads {
	if in == nil {
		return nil
	}
	out := &allowedWorkloads{Names: in.WorkloadIdentities}
	for _, host := range in.HostingEnvironments {
		out.Hosts = append(out.Hosts, hostingEnvironment{aws.ToString(host.Arn)})
	}
	return out
}
