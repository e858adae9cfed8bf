package cli

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
)

// settings is everything that makes a version of a runtime, in a form that can be compared: what
// is wanted with what runs.
type settings struct {
	Artifact    artifact
	Role        string
	Description string
	Protocol    string
	Idle, Max   int32 // seconds
	Env         map[string]string
	Headers     []string // lower case, sorted
	Authorizer  *authorizer
}

// artifact is an image, or a zip and how to start it.
type artifact struct {
	Image       string
	Bucket, Key string
	Runtime     string
	EntryPoint  []string // a file, or a launcher and a file
}

// Defaults of the API that a runtime always reports. Source: AgentCore lifecycle settings.
const (
	defaultIdle = 900
	defaultMax  = 28800
)

// settings says what the project wants of a runtime that runs art.
func (p *project) settings(art artifact, role string) settings {
	s := settings{
		Artifact: art, Role: role, Description: p.Description, Protocol: p.Protocol, Env: maps.Clone(p.Env), Authorizer: p.Authorizer,
		Idle: int32(time.Duration(p.IdleTimeout).Seconds()), Max: int32(time.Duration(p.MaxLifetime).Seconds()),
	}
	if s.Max == 0 {
		s.Max = defaultMax
	}
	if s.Idle == 0 {
		s.Idle = min(defaultIdle, s.Max)
	}
	for _, h := range p.Headers {
		s.Headers = append(s.Headers, strings.ToLower(h))
	}
	slices.Sort(s.Headers)
	return s
}

// currentSettings are those of a runtime's latest version.
func currentSettings(rt *bedrockagentcorecontrol.GetAgentRuntimeOutput) settings {
	s := settings{
		Artifact: artifactOf(rt.AgentRuntimeArtifact), Role: aws.ToString(rt.RoleArn), Description: aws.ToString(rt.Description),
		Protocol: "HTTP", Env: rt.EnvironmentVariables,
	}
	if rt.ProtocolConfiguration != nil {
		s.Protocol = string(rt.ProtocolConfiguration.ServerProtocol)
	}
	if l := rt.LifecycleConfiguration; l != nil {
		s.Idle, s.Max = aws.ToInt32(l.IdleRuntimeSessionTimeout), aws.ToInt32(l.MaxLifetime)
	}
	if h, ok := rt.RequestHeaderConfiguration.(*types.RequestHeaderConfigurationMemberRequestHeaderAllowlist); ok {
		for _, name := range h.Value {
			s.Headers = append(s.Headers, strings.ToLower(name))
		}
		slices.Sort(s.Headers)
	}
	if a, ok := rt.AuthorizerConfiguration.(*types.AuthorizerConfigurationMemberCustomJWTAuthorizer); ok {
		s.Authorizer = &authorizer{
			DiscoveryURL: aws.ToString(a.Value.DiscoveryUrl), AllowedAudience: a.Value.AllowedAudience,
			AllowedClients: a.Value.AllowedClients, AllowedScopes: a.Value.AllowedScopes,
			privateWay: privateWay{endpointOf(a.Value.PrivateEndpoint), overridesOf(a.Value.PrivateEndpointOverrides)},
			Workloads:  workloadsOf(a.Value.AllowedWorkloadConfiguration),
		}
	}
	return s
}

func artifactOf(a types.AgentRuntimeArtifact) artifact {
	switch a := a.(type) {
	case *types.AgentRuntimeArtifactMemberContainerConfiguration:
		return artifact{Image: aws.ToString(a.Value.ContainerUri)}
	case *types.AgentRuntimeArtifactMemberCodeConfiguration:
		out := artifact{Runtime: string(a.Value.Runtime), EntryPoint: a.Value.EntryPoint}
		if code, ok := a.Value.Code.(*types.CodeMemberS3); ok {
			out.Bucket, out.Key = aws.ToString(code.Value.Bucket), aws.ToString(code.Value.Prefix)
		}
		return out
	}
	return artifact{}
}

// equal takes an empty list or map for none.
func (s settings) equal(o settings) bool {
	for _, x := range []*settings{&s, &o} {
		if len(x.Env) == 0 {
			x.Env = nil
		}
		if len(x.Headers) == 0 {
			x.Headers = nil
		}
	}
	return reflect.DeepEqual(s, o)
}

// createInput asks for a new runtime.
func (s settings) createInput(name string, tags map[string]string) *bedrockagentcorecontrol.CreateAgentRuntimeInput {
	return &bedrockagentcorecontrol.CreateAgentRuntimeInput{
		AgentRuntimeName: &name, Tags: tags, AgentRuntimeArtifact: s.Artifact.input(), RoleArn: &s.Role, Description: optional(s.Description),
		NetworkConfiguration:  &types.NetworkConfiguration{NetworkMode: types.NetworkModePublic},
		ProtocolConfiguration: s.protocol(), LifecycleConfiguration: s.lifecycle(), EnvironmentVariables: s.Env,
		RequestHeaderConfiguration: s.headers(), AuthorizerConfiguration: s.authorizer(),
	}
}

// updateInput asks for the next version of a runtime. An update replaces everything, so what the
// project cannot say is carried over from before.
func (s settings) updateInput(before *bedrockagentcorecontrol.GetAgentRuntimeOutput) *bedrockagentcorecontrol.UpdateAgentRuntimeInput {
	in := &bedrockagentcorecontrol.UpdateAgentRuntimeInput{
		AgentRuntimeId: before.AgentRuntimeId, AgentRuntimeArtifact: s.Artifact.input(), RoleArn: &s.Role, Description: optional(s.Description),
		NetworkConfiguration: before.NetworkConfiguration, FilesystemConfigurations: before.FilesystemConfigurations,
		ProtocolConfiguration: s.protocol(), LifecycleConfiguration: s.lifecycle(), EnvironmentVariables: s.Env,
		RequestHeaderConfiguration: s.headers(), AuthorizerConfiguration: s.authorizer(),
	}
	s.carryOver(in.AuthorizerConfiguration, before.AuthorizerConfiguration)
	if in.NetworkConfiguration == nil {
		in.NetworkConfiguration = &types.NetworkConfiguration{NetworkMode: types.NetworkModePublic}
	}
	return in
}

// carryOver keeps what the project has no words for, as long as the tokens are the same provider's: a rule that got lost would
// let in who was kept out.
func (s settings) carryOver(in, before types.AuthorizerConfiguration) {
	next, ok := in.(*types.AuthorizerConfigurationMemberCustomJWTAuthorizer)
	last, had := before.(*types.AuthorizerConfigurationMemberCustomJWTAuthorizer)
	if !ok || !had || aws.ToString(next.Value.DiscoveryUrl) != aws.ToString(last.Value.DiscoveryUrl) {
		return
	}
	next.Value.CustomClaims, next.Value.AdvertisedScopeMapping = last.Value.CustomClaims, last.Value.AdvertisedScopeMapping
}

func (a artifact) input() types.AgentRuntimeArtifact {
	if a.Image != "" {
		return &types.AgentRuntimeArtifactMemberContainerConfiguration{Value: types.ContainerConfiguration{ContainerUri: &a.Image}}
	}
	return &types.AgentRuntimeArtifactMemberCodeConfiguration{Value: types.CodeConfiguration{
		Code:       &types.CodeMemberS3{Value: types.S3Location{Bucket: &a.Bucket, Prefix: &a.Key}},
		EntryPoint: a.EntryPoint, Runtime: types.AgentManagedRuntimeType(a.Runtime),
	}}
}

func (s settings) protocol() *types.ProtocolConfiguration {
	return &types.ProtocolConfiguration{ServerProtocol: types.ServerProtocol(s.Protocol)}
}

func (s settings) lifecycle() *types.LifecycleConfiguration {
	return &types.LifecycleConfiguration{IdleRuntimeSessionTimeout: &s.Idle, MaxLifetime: &s.Max}
}

func (s settings) headers() types.RequestHeaderConfiguration {
	if len(s.Headers) == 0 {
		return nil
	}
	return &types.RequestHeaderConfigurationMemberRequestHeaderAllowlist{Value: s.Headers}
}

func (s settings) authorizer() types.AuthorizerConfiguration {
	if s.Authorizer == nil {
		return nil
	}
	return &types.AuthorizerConfigurationMemberCustomJWTAuthorizer{Value: types.CustomJWTAuthorizerConfiguration{
		DiscoveryUrl: &s.Authorizer.DiscoveryURL, AllowedAudience: s.Authorizer.AllowedAudience,
		AllowedClients: s.Authorizer.AllowedClients, AllowedScopes: s.Authorizer.AllowedScopes,
		PrivateEndpoint: s.Authorizer.PrivateEndpoint.input(), PrivateEndpointOverrides: s.Authorizer.overrides(),
		AllowedWorkloadConfiguration: s.Authorizer.Workloads.input(),
	}}
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
