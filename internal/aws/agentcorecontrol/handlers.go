// Package agentcorecontrol is the control plane's face: it binds the API of Amazon Bedrock AgentCore
// Control (2023-06-05) to the control room. Types and constraints are generated; see api.gen.go.
package agentcorecontrol

import (
	"context"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/control"
)

type handlers struct{ control *control.Service }

// Serve adds the operations that Moorage offers to svc.
func Serve(svc *wire.Service, c *control.Service) {
	h := handlers{c}
	wire.Handle(svc, CreateAgentRuntime, h.create)
	wire.Handle(svc, GetAgentRuntime, h.get)
	wire.Handle(svc, UpdateAgentRuntime, h.update)
	wire.Handle(svc, DeleteAgentRuntime, h.delete)
	wire.Handle(svc, ListAgentRuntimes, h.list)
	wire.Handle(svc, ListAgentRuntimeVersions, h.listVersions)
	wire.Handle(svc, CreateAgentRuntimeEndpoint, h.createEndpoint)
	wire.Handle(svc, GetAgentRuntimeEndpoint, h.getEndpoint)
	wire.Handle(svc, UpdateAgentRuntimeEndpoint, h.updateEndpoint)
	wire.Handle(svc, DeleteAgentRuntimeEndpoint, h.deleteEndpoint)
	wire.Handle(svc, ListAgentRuntimeEndpoints, h.listEndpoints)
	wire.Handle(svc, TagResource, h.tag)
	wire.Handle(svc, UntagResource, h.untag)
	wire.Handle(svc, ListTagsForResource, h.listTags)
	wire.Handle(svc, PutResourcePolicy, h.putPolicy)
	wire.Handle(svc, GetResourcePolicy, h.getPolicy)
	wire.Handle(svc, DeleteResourcePolicy, h.deletePolicy)
}

func (h handlers) create(ctx context.Context, in *CreateAgentRuntimeInput) (*CreateAgentRuntimeOutput, error) {
	config, err := in.settings().config()
	if err != nil {
		return nil, err
	}
	made, err := h.control.Create(ctx, control.CreateRequest{Name: in.AgentRuntimeName, Config: config, Tags: in.Tags, Token: value(in.ClientToken)})
	if err != nil {
		return nil, err
	}
	rt, v := made.Runtime, made.Version
	return &CreateAgentRuntimeOutput{
		AgentRuntimeArn: rt.ARN, AgentRuntimeId: rt.ID, AgentRuntimeVersion: v.Label(), CreatedAt: rt.CreatedAt,
		Status: AgentRuntimeStatus(v.Status), WorkloadIdentityDetails: identityOf(rt),
	}, nil
}

func (h handlers) update(ctx context.Context, in *UpdateAgentRuntimeInput) (*UpdateAgentRuntimeOutput, error) {
	config, err := in.settings().config()
	if err != nil {
		return nil, err
	}
	made, err := h.control.Update(ctx, in.AgentRuntimeId, config, value(in.ClientToken))
	if err != nil {
		return nil, err
	}
	rt, v := made.Runtime, made.Version
	return &UpdateAgentRuntimeOutput{
		AgentRuntimeArn: rt.ARN, AgentRuntimeId: rt.ID, AgentRuntimeVersion: v.Label(), CreatedAt: rt.CreatedAt,
		LastUpdatedAt: v.UpdatedAt, Status: AgentRuntimeStatus(v.Status), WorkloadIdentityDetails: identityOf(rt),
	}, nil
}

func (h handlers) get(ctx context.Context, in *GetAgentRuntimeInput) (*GetAgentRuntimeOutput, error) {
	number, err := versionNumber(in.AgentRuntimeVersion)
	if err != nil {
		return nil, err
	}
	found, err := h.control.Get(ctx, in.AgentRuntimeId, number)
	if err != nil {
		return nil, err
	}
	return describe(found), nil
}

func (h handlers) delete(ctx context.Context, in *DeleteAgentRuntimeInput) (*DeleteAgentRuntimeOutput, error) {
	number, err := versionNumber(in.AgentRuntimeVersion)
	if err != nil {
		return nil, err
	}
	rt, err := h.control.Delete(ctx, in.AgentRuntimeId, number, value(in.ClientToken))
	if err != nil {
		return nil, err
	}
	return &DeleteAgentRuntimeOutput{Status: AgentRuntimeStatusDeleting, AgentRuntimeId: &rt.ID, AgentRuntimeVersion: in.AgentRuntimeVersion}, nil
}

func (h handlers) list(ctx context.Context, in *ListAgentRuntimesInput) (*ListAgentRuntimesOutput, error) {
	page, err := pageOf(in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	found, err := h.control.List(ctx, page.after, page.size+1)
	if err != nil {
		return nil, err
	}
	out := &ListAgentRuntimesOutput{AgentRuntimes: []AgentRuntime{}}
	found, out.NextToken = cut(found, page, func(c control.Created) string { return c.Runtime.ID })
	for _, c := range found {
		out.AgentRuntimes = append(out.AgentRuntimes, item(c.Runtime, c.Version, c.Runtime.Status, c.Runtime.UpdatedAt))
	}
	return out, nil
}

func (h handlers) listVersions(ctx context.Context, in *ListAgentRuntimeVersionsInput) (*ListAgentRuntimeVersionsOutput, error) {
	page, err := pageOf(in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	before, err := page.number()
	if err != nil {
		return nil, err
	}
	rt, found, err := h.control.Versions(ctx, in.AgentRuntimeId, before, page.size+1)
	if err != nil {
		return nil, err
	}
	out := &ListAgentRuntimeVersionsOutput{AgentRuntimes: []AgentRuntime{}}
	found, out.NextToken = cut(found, page, moorage.Version.Label)
	for _, v := range found {
		out.AgentRuntimes = append(out.AgentRuntimes, item(rt, v, v.Status, v.UpdatedAt))
	}
	return out, nil
}

func (h handlers) tag(ctx context.Context, in *TagResourceInput) (*TagResourceOutput, error) {
	return &TagResourceOutput{}, h.control.Tag(ctx, in.ResourceArn, in.Tags)
}

func (h handlers) untag(ctx context.Context, in *UntagResourceInput) (*UntagResourceOutput, error) {
	return &UntagResourceOutput{}, h.control.Untag(ctx, in.ResourceArn, in.TagKeys)
}

func (h handlers) listTags(ctx context.Context, in *ListTagsForResourceInput) (*ListTagsForResourceOutput, error) {
	tags, err := h.control.Tags(ctx, in.ResourceArn)
	return &ListTagsForResourceOutput{Tags: tags}, err
}

func (h handlers) putPolicy(ctx context.Context, in *PutResourcePolicyInput) (*PutResourcePolicyOutput, error) {
	return &PutResourcePolicyOutput{Policy: in.Policy}, h.control.PutPolicy(ctx, in.ResourceArn, in.Policy)
}

func (h handlers) getPolicy(ctx context.Context, in *GetResourcePolicyInput) (*GetResourcePolicyOutput, error) {
	document, err := h.control.Policy(ctx, in.ResourceArn)
	return &GetResourcePolicyOutput{Policy: optional(document)}, err
}

func (h handlers) deletePolicy(ctx context.Context, in *DeleteResourcePolicyInput) (*DeleteResourcePolicyOutput, error) {
	return &DeleteResourcePolicyOutput{}, h.control.DeletePolicy(ctx, in.ResourceArn)
}
