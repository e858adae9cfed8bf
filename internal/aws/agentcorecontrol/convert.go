package agentcorecontrol

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/control"
)

// settings are the members that Create and Update share.
type settings struct {
	artifact     AgentRuntimeArtifact
	role         string
	network      *NetworkConfiguration
	description  *string
	authorizer   *AuthorizerConfiguration
	headers      *RequestHeaderConfiguration
	protocol     *ProtocolConfiguration
	lifecycle    *LifecycleConfiguration
	environment  map[string]string
	filesystems  []FilesystemConfiguration
	platform     *string
	creating     bool
	unsupported  map[string]bool // members set that Moorage does not offer
	requireMMDS2 *RuntimeMetadataConfiguration
}

func (in *CreateAgentRuntimeInput) settings() settings {
	return settings{
		artifact: in.AgentRuntimeArtifact, role: in.RoleArn, network: in.NetworkConfiguration, description: in.Description,
		authorizer: in.AuthorizerConfiguration, headers: in.RequestHeaderConfiguration, protocol: in.ProtocolConfiguration,
		lifecycle: in.LifecycleConfiguration, environment: in.EnvironmentVariables, filesystems: in.FilesystemConfigurations,
		platform: in.PlatformVersion, creating: true,
		unsupported: map[string]bool{
			"capacityProviderConfiguration": in.CapacityProviderConfiguration != nil, "hooksConfiguration": in.HooksConfiguration != nil,
			"allowedPorts": in.AllowedPorts != nil, "resourceConfigurations": in.ResourceConfigurations != nil,
		},
	}
}

func (in *UpdateAgentRuntimeInput) settings() settings {
	return settings{
		artifact: in.AgentRuntimeArtifact, role: in.RoleArn, network: in.NetworkConfiguration, description: in.Description,
		authorizer: in.AuthorizerConfiguration, headers: in.RequestHeaderConfiguration, protocol: in.ProtocolConfiguration,
		lifecycle: in.LifecycleConfiguration, environment: in.EnvironmentVariables, filesystems: in.FilesystemConfigurations,
		platform: in.PlatformVersion, requireMMDS2: in.MetadataConfiguration,
		unsupported: map[string]bool{
			"capacityProviderConfiguration": in.CapacityProviderConfiguration != nil, "hooksConfiguration": in.HooksConfiguration != nil,
			"allowedPorts": in.AllowedPorts != nil, "resourceConfigurations": in.ResourceConfigurations != nil,
		},
	}
}

// invalid refuses one member.
func invalid(member, format string, args ...any) error {
	message := fmt.Sprintf(format, args...)
	return &moorage.Error{Code: moorage.Invalid, Message: message, Fields: []moorage.Field{{Name: member, Message: message}}}
}

// config turns the wire's members into the noun, refusing what Moorage does not offer.
func (s settings) config() (moorage.Config, error) {
	for member, set := range s.unsupported {
		if set {
			return moorage.Config{}, invalid(member, "%s is not supported by Moorage", member)
		}
	}
	if m := s.requireMMDS2; m != nil && !m.RequireMMDSV2 {
		return moorage.Config{}, invalid("metadataConfiguration.requireMMDSV2", "sessions offer the metadata service in its second version only; requireMMDSV2 cannot be false")
	}
	c := moorage.Config{Description: value(s.description), RoleARN: s.role, Environment: s.environment, Platform: value(s.platform), Lifecycle: lifecycle(s.lifecycle)}
	if h := s.headers; h != nil {
		c.Headers = h.RequestHeaderAllowlist
	}
	if p := s.protocol; p != nil {
		c.Protocol = moorage.Protocol{Name: string(p.ServerProtocol), Port: int(value(p.Port)), Path: value(p.Path)}
	}
	for _, set := range []func(*moorage.Config) error{s.setArtifact, s.setNetwork, s.setStorage, s.setAuthorizer} {
		if err := set(&c); err != nil {
			return moorage.Config{}, err
		}
	}
	return c, nil
}

func (s settings) setArtifact(c *moorage.Config) error {
	if a := s.artifact.ContainerConfiguration; a != nil {
		c.Container = &moorage.ContainerImage{URI: a.ContainerUri}
		return nil
	}
	a := s.artifact.CodeConfiguration
	if a == nil || a.Code.S3 == nil {
		return invalid("agentRuntimeArtifact", "one of containerConfiguration and codeConfiguration with code.s3 must be set")
	}
	c.Code = &moorage.CodeZip{
		Bucket: a.Code.S3.Bucket, Key: a.Code.S3.Prefix, VersionID: value(a.Code.S3.VersionId),
		Runtime: string(a.Runtime), EntryPoint: a.EntryPoint,
	}
	if c.Code.VersionID != "" {
		return invalid("agentRuntimeArtifact.codeConfiguration.code.s3.versionId", "buckets have no versions here; leave versionId out")
	}
	return nil
}

func (s settings) setNetwork(c *moorage.Config) error {
	c.Network.Mode = string(NetworkModePublic)
	if s.network == nil {
		return nil
	}
	c.Network.Mode = string(s.network.NetworkMode)
	vpc := s.network.NetworkModeConfig
	if vpc == nil {
		return nil
	}
	if vpc.RequireServiceS3Endpoint != nil && s.creating {
		return invalid("networkConfiguration.networkModeConfig.requireServiceS3Endpoint", "requireServiceS3Endpoint cannot be set when an agent runtime is created")
	}
	c.Network.SecurityGroups, c.Network.Subnets = vpc.SecurityGroups, vpc.Subnets
	return nil
}

func (s settings) setStorage(c *moorage.Config) error {
	for i, f := range s.filesystems {
		member := fmt.Sprintf("filesystemConfigurations.%d", i+1)
		if f.SessionStorage == nil {
			return invalid(member, "only sessionStorage is supported by Moorage")
		}
		if c.Storage != "" {
			return invalid(member, "sessionStorage can be configured once")
		}
		c.Storage = f.SessionStorage.MountPath
	}
	return nil
}

// lifecycle fills the defaults. A maximum below the default idle timeout lowers that too.
func lifecycle(in *LifecycleConfiguration) moorage.Lifecycle {
	out := moorage.Lifecycle{Idle: moorage.DefaultIdle, Max: moorage.DefaultMax}
	if in == nil {
		return out
	}
	if in.MaxLifetime != nil {
		out.Max = time.Duration(*in.MaxLifetime) * time.Second
		out.Idle = min(out.Idle, out.Max)
	}
	if in.IdleRuntimeSessionTimeout != nil {
		out.Idle = time.Duration(*in.IdleRuntimeSessionTimeout) * time.Second
	}
	return out
}

// describe is the answer of GetAgentRuntime. What a version's status says wins over the runtime's
// for all but the latest version.
func describe(c control.Created) *GetAgentRuntimeOutput {
	rt, v := c.Runtime, c.Version
	status, reason, updated := rt.Status, rt.FailureReason, rt.UpdatedAt
	if v.Number != rt.Latest {
		status, reason, updated = v.Status, v.FailureReason, v.UpdatedAt
	}
	idle, longest := int32(v.Config.Lifecycle.Idle.Seconds()), int32(v.Config.Lifecycle.Max.Seconds())
	out := &GetAgentRuntimeOutput{
		AgentRuntimeArn: rt.ARN, AgentRuntimeName: rt.Name, AgentRuntimeId: rt.ID, AgentRuntimeVersion: v.Label(),
		CreatedAt: rt.CreatedAt, LastUpdatedAt: updated, RoleArn: v.Config.RoleARN, Status: AgentRuntimeStatus(status),
		NetworkConfiguration:    networkOf(v.Config.Network),
		LifecycleConfiguration:  LifecycleConfiguration{IdleRuntimeSessionTimeout: &idle, MaxLifetime: &longest},
		FailureReason:           optional(reason),
		Description:             optional(v.Config.Description),
		WorkloadIdentityDetails: identityOf(rt),
		AgentRuntimeArtifact:    artifactOf(v.Config),
		EnvironmentVariables:    v.Config.Environment,
		MetadataConfiguration:   &RuntimeMetadataConfiguration{RequireMMDSV2: true},
		PlatformVersion:         optional(v.Config.Platform),
	}
	if p := v.Config.Protocol; p.Name != "" {
		out.ProtocolConfiguration = &ProtocolConfiguration{ServerProtocol: ServerProtocol(p.Name), Path: optional(p.Path)}
		if p.Port != 0 {
			port := int32(p.Port)
			out.ProtocolConfiguration.Port = &port
		}
	}
	out.AuthorizerConfiguration = authorizerOf(v.Config.Authorizer)
	if h := v.Config.Headers; len(h) > 0 {
		out.RequestHeaderConfiguration = &RequestHeaderConfiguration{RequestHeaderAllowlist: h}
	}
	if v.Config.Storage != "" {
		out.FilesystemConfigurations = []FilesystemConfiguration{{SessionStorage: &SessionStorageConfiguration{MountPath: v.Config.Storage}}}
	}
	return out
}

func networkOf(n moorage.Network) *NetworkConfiguration {
	out := &NetworkConfiguration{NetworkMode: NetworkMode(n.Mode)}
	if len(n.Subnets)+len(n.SecurityGroups) > 0 {
		out.NetworkModeConfig = &VpcConfig{SecurityGroups: n.SecurityGroups, Subnets: n.Subnets}
	}
	return out
}

func artifactOf(c moorage.Config) *AgentRuntimeArtifact {
	if c.Container != nil {
		return &AgentRuntimeArtifact{ContainerConfiguration: &ContainerConfiguration{ContainerUri: c.Container.URI}}
	}
	return &AgentRuntimeArtifact{CodeConfiguration: &CodeConfiguration{
		Code:    Code{S3: &S3Location{Bucket: c.Code.Bucket, Prefix: c.Code.Key, VersionId: optional(c.Code.VersionID)}},
		Runtime: AgentManagedRuntimeType(c.Code.Runtime), EntryPoint: c.Code.EntryPoint,
	}}
}

func identityOf(rt moorage.Runtime) *WorkloadIdentityDetails {
	return &WorkloadIdentityDetails{WorkloadIdentityArn: rt.Identity}
}

// item is one row of the two lists. The contract wants a description, even an empty one.
func item(rt moorage.Runtime, v moorage.Version, status moorage.Status, updated time.Time) AgentRuntime {
	return AgentRuntime{
		AgentRuntimeArn: rt.ARN, AgentRuntimeId: rt.ID, AgentRuntimeVersion: v.Label(), AgentRuntimeName: rt.Name,
		Description: v.Config.Description, LastUpdatedAt: updated, Status: AgentRuntimeStatus(status),
	}
}

// versionNumber reads a version; nil is 0. The model's pattern has already been checked.
func versionNumber(text *string) (int, error) {
	if text == nil {
		return 0, nil
	}
	n, err := strconv.Atoi(*text)
	if err != nil {
		return 0, invalid("agentRuntimeVersion", "%q is not a version number", *text)
	}
	return n, nil
}

// page is where a list begins and how long it may be.
type page struct {
	after string
	size  int
}

const defaultPage = 100

func pageOf(size *int32, token *string) (page, error) {
	p := page{size: defaultPage}
	if size != nil {
		p.size = int(*size)
	}
	after, err := base64.RawURLEncoding.DecodeString(value(token))
	if err != nil {
		return page{}, invalid("nextToken", "nextToken is not one that this server gave")
	}
	p.after = string(after)
	return p, nil
}

func (p page) number() (int, error) {
	if p.after == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(p.after)
	if err != nil || n < 1 {
		return 0, invalid("nextToken", "nextToken is not one that this server gave")
	}
	return n, nil
}

// cut shortens a list that was asked for with one too many, and makes the token for the rest.
func cut[T any](found []T, p page, key func(T) string) ([]T, *string) {
	if len(found) <= p.size {
		return found, nil
	}
	found = found[:p.size]
	token := base64.RawURLEncoding.EncodeToString([]byte(key(found[p.size-1])))
	return found, &token
}

// value returns what p points at, or the zero value.
func value[T any](p *T) T {
	var zero T
	if p == nil {
		return zero
	}
	return *p
}

// optional returns nil for the empty string.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
