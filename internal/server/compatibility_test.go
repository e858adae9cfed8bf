package server

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/moorage-dev/moorage/internal/aws/agentcore"
	"github.com/moorage-dev/moorage/internal/aws/agentcorecontrol"
	"github.com/moorage-dev/moorage/internal/aws/bedrockagent"
	"github.com/moorage-dev/moorage/internal/aws/bedrockagentruntime"
	"github.com/moorage-dev/moorage/internal/aws/bedrockruntime"
	"github.com/moorage-dev/moorage/internal/aws/cognitoidp"
	"github.com/moorage-dev/moorage/internal/aws/wire"
)

var update = flag.Bool("update", false, "write docs/COMPATIBILITY.md from the routes")

const compatibilityPath = "../../docs/COMPATIBILITY.md"

// TestCompatibility_saysWhatTheRoutesSay holds the document to the routes that are served.
func TestCompatibility_saysWhatTheRoutesSay(t *testing.T) {
	want := compatibility()
	if *update {
		if err := os.WriteFile(compatibilityPath, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(compatibilityPath)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != want {
		t.Error("docs/COMPATIBILITY.md is not what the routes say; run: go test ./internal/server -run Compatibility -update")
	}
}

func compatibility() string {
	var b strings.Builder
	b.WriteString("# Compatibility\n\nMade from the routes by `go test ./internal/server -run Compatibility -update`.\n\n" +
		"An operation that is not listed as served is refused by name (`UnsupportedOperationException`, 400), and clients do not retry it.\n")
	names := []string{agentcorecontrol.Model.Name, agentcore.Model.Name, bedrockagent.Model.Name, bedrockagentruntime.Model.Name, bedrockruntime.Model.Name}
	for i, svc := range slices.Concat(services(nil, nil, nil, nil, nil, nil), knowledgeServices(nil, nil, nil), []*wire.Service{modelService(nil, nil)}) {
		fmt.Fprintf(&b, "\n## %s\n\n| operation | request |\n|---|---|\n", names[i])
		refused := 0
		for _, op := range svc.Operations() {
			if !op.Offered {
				refused++
				continue
			}
			fmt.Fprintf(&b, "| %s | `%s %s` |\n", op.Name, op.Method, op.URI)
		}
		fmt.Fprintf(&b, "\n%d further operations of this service are refused by name.\n", refused)
	}
	b.WriteString(`
Knowledge bases take documents from buckets of this server; whatever vector store they name, the index is Moorage's own. A question may have 20,000
characters. Guardrails, reranking, images, external sources, and chunking other than fixed or none are refused by name.

A provider of models that cannot be reached, throttles or fails is asked three times in all, half a second and a second apart or as long as it asks to
wait, up to 20 seconds; never once it has begun to answer. After that clients see ThrottlingException, ServiceUnavailableException, ModelErrorException or, within a
stream, its exceptions. A provider that says nothing for two minutes is a ModelTimeoutException. ` + "`moorage.model.tries`" + ` in a call's span says how often it was asked.

The same models answer ` + "`POST /v1/chat/completions`" + `, ` + "`GET /v1/models`" + ` and ` + "`GET /v1/models/{model}`" + ` of OpenAI's API: plain and streamed, tools that are functions, images as data
addresses, errors in its form. What a request says beyond Converse's terms reaches providers that speak the same form; to others JSON as
` + "`response_format`" + ` and ` + "`logprobs`" + ` are refused, and what only says how is left out. ` + "`n`" + ` is 1. JSON of a schema, which ` + "`outputConfig`" + ` asks for in Converse,
reaches those and Amazon Bedrock, and is refused by others; so does its ` + "`effort`" + `, which others leave out.

Beside the model of AgentCore: ` + "`GET /runtimes/{agentRuntimeArn}/ws`" + ` (WebSocket) and ` + "`…/ws/shells`" + ` (interactive shells). An agent is addressed by its ARN, encoded or
not, or by its id with ` + "`accountId`" + `.

## Amazon S3

Path-style buckets and objects for code uploads: CreateBucket, HeadBucket, DeleteBucket, GetBucketLocation, ListObjectsV2, PutObject,
GetObject, HeadObject, DeleteObject, CreateMultipartUpload, UploadPart, CompleteMultipartUpload, AbortMultipartUpload. No versions, no ACLs.

## AWS STS

GetCallerIdentity and AssumeRole (external id, session policy, role chaining; no session tags, no second factor).

## AWS IAM

Users, access keys (two for each user), roles, inline policies, and a few built-in policies to attach: CreateUser, GetUser, ListUsers, DeleteUser,
CreateAccessKey, ListAccessKeys, UpdateAccessKey, DeleteAccessKey, GetAccessKeyLastUsed, CreateRole, GetRole, ListRoles, DeleteRole, UpdateAssumeRolePolicy,
Put, Get, Delete and List of user and role policies, Attach, Detach and ListAttached of both, ListGroupsForUser and ListInstanceProfilesForRole (empty).
Tags of users and roles are taken and not kept. Permissions boundaries, groups and managed policies of one's own are refused.

## OCI distribution

` + "`/v2/`" + `: push and pull with an access key as user and its secret as password.

## Private endpoints of identity providers

` + "`privateEndpoint`" + ` and ` + "`privateEndpointOverrides`" + ` of JWT authorizers and of custom OAuth2 credential providers are taken, kept and answered as they came. There is no VPC and no Lattice here: whoever runs the
server says what stands for one, and an endpoint that they did not name is a ValidationException which says how.

| in the request | ` + "`moorage serve --private-endpoint`" + ` | what is dialled |
|---|---|---|
| ` + "`selfManagedLatticeResource`" + `, by id or ARN | ` + "`rcfg-0a1b2c3d4e5f6a7b8=10.0.0.7:8443`" + ` | that address; without a port the URL's |
| ` + "`managedVpcResource`" + ` | ` + "`vpc-0a1b2c3d=10.0.0.0/16`" + ` (repeatable) | what the host's name, or ` + "`routingDomain`" + `, resolves to on this machine, in the family of ` + "`endpointIpAddressType`" + `, if it is in the network. Subnets, security groups and tags are kept and mean nothing |

` + "`privateEndpoint`" + ` is for the host of ` + "`discoveryUrl`" + ` (of a credential provider without one, of its token endpoint), an override for the host that it names, letter by letter and no host below it; the metadata, the key set, the token endpoint and redirects
each go by their own host, and hosts without an endpoint by the public network. TLS is spoken in the host's name, with this machine's
authorities or, alone, those of ` + "`--private-endpoint-ca ID=FILE`" + `, and beside either those that ` + "`certificateConfigurations`" + ` names as an object in a bucket of this server
(` + "`s3`" + `; read for each connection, so that replacing the object is enough; there is no Secrets Manager, and ` + "`moorage deploy`" + ` has no word for it and leaves it out). As in the cloud service the discovery URL has to be https, overrides and certificates need a
` + "`privateEndpoint`" + `, all are of one kind, and no domain is there twice. An endpoint that is down, silent, or gone from the options is
a ServiceUnavailableException after five seconds at the most: nobody is let in.

## Allowed workloads of JWT authorizers

With ` + "`allowedWorkloadConfiguration`" + ` a call needs, beside a token that passes, a workload access token in the header
` + "`X-Amz-Bedrock-AgentCore-Identity-WAT`" + `, and one of the workloads in its chain has to be in either list. In the cloud service these are gateways; here
there are none, so they are what this server knows to be workloads:

| | who calls | how it has a workload access token |
|---|---|---|
| ` + "`workloadIdentities`" + ` | a gateway of your own, or any program, by the name of its workload identity | ` + "`GetWorkloadAccessToken`" + ` and its siblings, signed: policies say who may. 15 minutes |
| ` + "`hostingEnvironments`" + `, with the ARN of an agent runtime of this account | that agent, out of its sandbox, at ` + "`AWS_ENDPOINT_URL_BEDROCK_AGENTCORE`" + ` | it is handed one with each call on behalf of a user; elsewhere it counts for nothing |

The ARN of a gateway can match nothing here, and is refused. An agent's token remembers the sixteen workloads that it was called through, so a gateway is in the chain of what
the agents behind it call. Without a workload access token the answer is 401 with the cloud service's text, ` + "`Transaction token required: …`" + `; one that is forged,
expired, out of place or of another workload is 403. The status of the former and both of the latter's are ours, and so is that names need not exist yet.

## Not served yet

Session endpoints (` + "`allowedPorts`" + `), capacity providers, lifecycle hooks, file systems other than session storage.
`)
	users := watchService{cognitoService(nil, wire.Options{}), cognitoidp.Model.Name, cognitoNote, "cognito-idp"}
	for _, svc := range append((&house{}).watchServices(), users) {
		fmt.Fprintf(&b, "\n## %s\n\n%s", svc.name, svc.note)
		served := []string{}
		for _, op := range svc.Operations() {
			if op.Offered {
				served = append(served, op.Name)
			}
		}
		fmt.Fprintf(&b, "\n\nServed: %s. Everything else is refused by name.\n", strings.Join(served, ", "))
	}
	return b.String()
}
