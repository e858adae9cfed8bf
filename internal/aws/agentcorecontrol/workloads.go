package agentcorecontrol

import (
	"context"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/identity/workload"
)

type workloads struct{ *workload.Service }

// ServeWorkloads adds the workload identities to svc.
func ServeWorkloads(svc *wire.Service, s *workload.Service) {
	h := workloads{s}
	wire.Handle(svc, CreateWorkloadIdentity, h.create)
	wire.Handle(svc, GetWorkloadIdentity, h.get)
	wire.Handle(svc, UpdateWorkloadIdentity, h.update)
	wire.Handle(svc, DeleteWorkloadIdentity, h.delete)
	wire.Handle(svc, ListWorkloadIdentities, h.list)
}

func (h workloads) create(ctx context.Context, in *CreateWorkloadIdentityInput) (*CreateWorkloadIdentityOutput, error) {
	w, err := h.Create(ctx, in.Name, in.AllowedResourceOauth2ReturnUrls, in.Tags)
	return &CreateWorkloadIdentityOutput{Name: w.Name, WorkloadIdentityArn: w.ARN, AllowedResourceOauth2ReturnUrls: w.ReturnURLs}, err
}

func (h workloads) get(_ context.Context, in *GetWorkloadIdentityInput) (*GetWorkloadIdentityOutput, error) {
	w, ok := h.Identity(in.Name)
	if !ok {
		return nil, moorage.Errorf(moorage.NotFound, "no workload identity is named %q", in.Name)
	}
	return &GetWorkloadIdentityOutput{
		Name: w.Name, WorkloadIdentityArn: w.ARN, AllowedResourceOauth2ReturnUrls: w.ReturnURLs, CreatedTime: w.CreatedAt, LastUpdatedTime: w.UpdatedAt,
	}, nil
}

func (h workloads) update(ctx context.Context, in *UpdateWorkloadIdentityInput) (*UpdateWorkloadIdentityOutput, error) {
	w, err := h.Update(ctx, in.Name, in.AllowedResourceOauth2ReturnUrls)
	return &UpdateWorkloadIdentityOutput{
		Name: w.Name, WorkloadIdentityArn: w.ARN, AllowedResourceOauth2ReturnUrls: w.ReturnURLs, CreatedTime: w.CreatedAt, LastUpdatedTime: w.UpdatedAt,
	}, err
}

func (h workloads) delete(ctx context.Context, in *DeleteWorkloadIdentityInput) (*DeleteWorkloadIdentityOutput, error) {
	return &DeleteWorkloadIdentityOutput{}, h.Delete(ctx, in.Name)
}

func (h workloads) list(ctx context.Context, in *ListWorkloadIdentitiesInput) (*ListWorkloadIdentitiesOutput, error) {
	page, err := pageOf(in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	if in.MaxResults == nil {
		page.size = maxIdentityPage
	}
	found, err := h.List(ctx, page.after, page.size+1)
	if err != nil {
		return nil, err
	}
	out := &ListWorkloadIdentitiesOutput{WorkloadIdentities: []WorkloadIdentityType{}}
	found, out.NextToken = cut(found, page, func(w moorage.WorkloadIdentity) string { return w.Name })
	for _, w := range found {
		out.WorkloadIdentities = append(out.WorkloadIdentities, WorkloadIdentityType{Name: w.Name, WorkloadIdentityArn: w.ARN})
	}
	return out, nil
}

// maxIdentityPage is the most of a page of identities, and of OAuth2 providers. Source: the service's model.
const maxIdentityPage = 20
