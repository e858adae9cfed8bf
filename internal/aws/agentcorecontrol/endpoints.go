package agentcorecontrol

import (
	"context"
	"strconv"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/control"
)

func (h handlers) createEndpoint(ctx context.Context, in *CreateAgentRuntimeEndpointInput) (*CreateAgentRuntimeEndpointOutput, error) {
	number, err := versionNumber(in.AgentRuntimeVersion)
	if err != nil {
		return nil, err
	}
	e, err := h.control.CreateEndpoint(ctx, control.EndpointRequest{
		RuntimeID: in.AgentRuntimeId, Name: in.Name, Description: in.Description, Version: number, Tags: in.Tags, Token: value(in.ClientToken),
	})
	if err != nil {
		return nil, err
	}
	return &CreateAgentRuntimeEndpointOutput{
		TargetVersion: strconv.Itoa(e.Target), AgentRuntimeEndpointArn: e.ARN, AgentRuntimeArn: runtimeARN(e),
		AgentRuntimeId: &e.RuntimeID, EndpointName: &e.Name, Status: AgentRuntimeEndpointStatus(e.Status), CreatedAt: e.CreatedAt,
	}, nil
}

func (h handlers) getEndpoint(ctx context.Context, in *GetAgentRuntimeEndpointInput) (*GetAgentRuntimeEndpointOutput, error) {
	_, e, err := h.control.Endpoint(ctx, in.AgentRuntimeId, in.EndpointName)
	if err != nil {
		return nil, err
	}
	return &GetAgentRuntimeEndpointOutput{
		LiveVersion: label(e.Live), TargetVersion: label(e.Target), AgentRuntimeEndpointArn: e.ARN, AgentRuntimeArn: runtimeARN(e),
		Description: optional(e.Description), Status: AgentRuntimeEndpointStatus(e.Status), CreatedAt: e.CreatedAt, LastUpdatedAt: e.UpdatedAt,
		FailureReason: optional(e.FailureReason), Name: e.Name, Id: e.ID,
	}, nil
}

func (h handlers) updateEndpoint(ctx context.Context, in *UpdateAgentRuntimeEndpointInput) (*UpdateAgentRuntimeEndpointOutput, error) {
	number, err := versionNumber(in.AgentRuntimeVersion)
	if err != nil {
		return nil, err
	}
	e, err := h.control.UpdateEndpoint(ctx, control.EndpointRequest{
		RuntimeID: in.AgentRuntimeId, Name: in.EndpointName, Description: in.Description, Version: number, Token: value(in.ClientToken),
	})
	if err != nil {
		return nil, err
	}
	return &UpdateAgentRuntimeEndpointOutput{
		LiveVersion: label(e.Live), TargetVersion: label(e.Target), AgentRuntimeEndpointArn: e.ARN, AgentRuntimeArn: runtimeARN(e),
		Status: AgentRuntimeEndpointStatus(e.Status), CreatedAt: e.CreatedAt, LastUpdatedAt: e.UpdatedAt,
	}, nil
}

func (h handlers) deleteEndpoint(ctx context.Context, in *DeleteAgentRuntimeEndpointInput) (*DeleteAgentRuntimeEndpointOutput, error) {
	if err := h.control.DeleteEndpoint(ctx, in.AgentRuntimeId, in.EndpointName, value(in.ClientToken)); err != nil {
		return nil, err
	}
	return &DeleteAgentRuntimeEndpointOutput{Status: AgentRuntimeEndpointStatusDeleting, AgentRuntimeId: &in.AgentRuntimeId, EndpointName: &in.EndpointName}, nil
}

func (h handlers) listEndpoints(ctx context.Context, in *ListAgentRuntimeEndpointsInput) (*ListAgentRuntimeEndpointsOutput, error) {
	page, err := pageOf(in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	_, found, err := h.control.Endpoints(ctx, in.AgentRuntimeId, page.after, page.size+1)
	if err != nil {
		return nil, err
	}
	out := &ListAgentRuntimeEndpointsOutput{RuntimeEndpoints: []AgentRuntimeEndpoint{}}
	found, out.NextToken = cut(found, page, func(e moorage.Endpoint) string { return e.Name })
	for _, e := range found {
		out.RuntimeEndpoints = append(out.RuntimeEndpoints, AgentRuntimeEndpoint{
			Name: e.Name, LiveVersion: label(e.Live), TargetVersion: label(e.Target), AgentRuntimeEndpointArn: e.ARN, AgentRuntimeArn: runtimeARN(e),
			Status: AgentRuntimeEndpointStatus(e.Status), Id: e.ID, Description: optional(e.Description), CreatedAt: e.CreatedAt, LastUpdatedAt: e.UpdatedAt,
		})
	}
	return out, nil
}

// label is a version as endpoints show it: none for 0.
func label(number int) *string {
	if number == 0 {
		return nil
	}
	text := strconv.Itoa(number)
	return &text
}

// runtimeARN is an endpoint's ARN up to the endpoint.
func runtimeARN(e moorage.Endpoint) string {
	return e.ARN[:len(e.ARN)-len("/runtime-endpoint/"+e.Name)]
}
