// Package bedrockagent is the face of knowledge bases: it binds what Agents for Amazon Bedrock (2023-06-05)
// says of them, of their data sources and of ingestion jobs to the knowledge room. Types and constraints
// are generated; see api.gen.go.
//
// Data sources are buckets of this server's own S3. Whatever store a base names, its index is ours: such
// words are kept and told back.
package bedrockagent

import (
	"context"

	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/knowledge"
)

type handlers struct {
	knowledge *knowledge.Service
	arn       func(id string) string
}

// Serve adds the operations that Moorage offers to svc. Arn makes a knowledge base's ARN from its id.
func Serve(svc *wire.Service, k *knowledge.Service, arn func(id string) string) {
	h := handlers{k, arn}
	wire.Handle(svc, CreateKnowledgeBase, h.create)
	wire.Handle(svc, GetKnowledgeBase, h.get)
	wire.Handle(svc, UpdateKnowledgeBase, h.update)
	wire.Handle(svc, DeleteKnowledgeBase, h.delete)
	wire.Handle(svc, ListKnowledgeBases, h.list)
	wire.Handle(svc, CreateDataSource, h.createSource)
	wire.Handle(svc, GetDataSource, h.getSource)
	wire.Handle(svc, UpdateDataSource, h.updateSource)
	wire.Handle(svc, DeleteDataSource, h.deleteSource)
	wire.Handle(svc, ListDataSources, h.listSources)
	wire.Handle(svc, StartIngestionJob, h.startJob)
	wire.Handle(svc, GetIngestionJob, h.getJob)
	wire.Handle(svc, ListIngestionJobs, h.listJobs)
}

func (h handlers) create(ctx context.Context, in *CreateKnowledgeBaseInput) (*CreateKnowledgeBaseOutput, error) {
	dimensions, err := dimensionsOf(in.KnowledgeBaseConfiguration)
	if err != nil {
		return nil, err
	}
	b := knowledge.Base{
		Name: in.Name, Description: value(in.Description), Role: in.RoleArn, Config: raw(in.KnowledgeBaseConfiguration),
		Storage: rawOptional(in.StorageConfiguration), Tags: in.Tags, Dimensions: dimensions, Token: value(in.ClientToken),
	}
	made, err := h.knowledge.Create(ctx, b)
	if err != nil {
		return nil, err
	}
	out, err := h.describe(made)
	return &CreateKnowledgeBaseOutput{KnowledgeBase: out}, err
}

func (h handlers) get(ctx context.Context, in *GetKnowledgeBaseInput) (*GetKnowledgeBaseOutput, error) {
	b, err := h.knowledge.Base(ctx, in.KnowledgeBaseId)
	if err != nil {
		return nil, err
	}
	out, err := h.describe(b)
	return &GetKnowledgeBaseOutput{KnowledgeBase: out}, err
}

func (h handlers) update(ctx context.Context, in *UpdateKnowledgeBaseInput) (*UpdateKnowledgeBaseOutput, error) {
	old, err := h.knowledge.Base(ctx, in.KnowledgeBaseId)
	if err != nil {
		return nil, err
	}
	if dimensions, err := dimensionsOf(in.KnowledgeBaseConfiguration); err != nil {
		return nil, err
	} else if dimensions != 0 && dimensions != old.Dimensions {
		return nil, invalid("knowledgeBaseConfiguration", "the vectors of a knowledge base keep their dimensions: create another")
	}
	b, err := h.knowledge.Update(ctx, in.KnowledgeBaseId, func(b *knowledge.Base) {
		b.Name, b.Description, b.Role = in.Name, value(in.Description), in.RoleArn
		b.Config = raw(in.KnowledgeBaseConfiguration)
		if in.StorageConfiguration != nil {
			b.Storage = raw(in.StorageConfiguration)
		}
	})
	if err != nil {
		return nil, err
	}
	out, err := h.describe(b)
	return &UpdateKnowledgeBaseOutput{KnowledgeBase: out}, err
}

func (h handlers) delete(ctx context.Context, in *DeleteKnowledgeBaseInput) (*DeleteKnowledgeBaseOutput, error) {
	if err := h.knowledge.Delete(ctx, in.KnowledgeBaseId); err != nil {
		return nil, err
	}
	return &DeleteKnowledgeBaseOutput{KnowledgeBaseId: in.KnowledgeBaseId, Status: KnowledgeBaseStatusDeleting}, nil
}

func (h handlers) list(ctx context.Context, in *ListKnowledgeBasesInput) (*ListKnowledgeBasesOutput, error) {
	bases, next, err := page(h.knowledge.Bases(ctx), func(b knowledge.Base) string { return b.ID }, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &ListKnowledgeBasesOutput{KnowledgeBaseSummaries: []KnowledgeBaseSummary{}, NextToken: next}
	for _, b := range bases {
		out.KnowledgeBaseSummaries = append(out.KnowledgeBaseSummaries, KnowledgeBaseSummary{
			KnowledgeBaseId: b.ID, Name: b.Name, Description: optional(b.Description), Status: KnowledgeBaseStatusActive, UpdatedAt: b.UpdatedAt,
		})
	}
	return out, nil
}

func (h handlers) createSource(ctx context.Context, in *CreateDataSourceInput) (*CreateDataSourceOutput, error) {
	s := knowledge.Source{
		Name: in.Name, Description: value(in.Description), Retain: in.DataDeletionPolicy == DataDeletionPolicyRetain, Token: value(in.ClientToken),
	}
	if err := configure(&s, in.DataSourceConfiguration, in.VectorIngestionConfiguration); err != nil {
		return nil, err
	}
	s, err := h.knowledge.CreateSource(ctx, in.KnowledgeBaseId, s)
	if err != nil {
		return nil, err
	}
	out, err := describeSource(in.KnowledgeBaseId, s)
	return &CreateDataSourceOutput{DataSource: out}, err
}

func (h handlers) getSource(ctx context.Context, in *GetDataSourceInput) (*GetDataSourceOutput, error) {
	s, err := h.knowledge.Source(ctx, in.KnowledgeBaseId, in.DataSourceId)
	if err != nil {
		return nil, err
	}
	out, err := describeSource(in.KnowledgeBaseId, s)
	return &GetDataSourceOutput{DataSource: out}, err
}

func (h handlers) updateSource(ctx context.Context, in *UpdateDataSourceInput) (*UpdateDataSourceOutput, error) {
	var changed knowledge.Source
	if err := configure(&changed, in.DataSourceConfiguration, in.VectorIngestionConfiguration); err != nil {
		return nil, err
	}
	s, err := h.knowledge.UpdateSource(ctx, in.KnowledgeBaseId, in.DataSourceId, func(s *knowledge.Source) {
		s.Name, s.Description, s.Retain = in.Name, value(in.Description), in.DataDeletionPolicy == DataDeletionPolicyRetain
		s.Bucket, s.Prefix, s.Config, s.Ingestion, s.Chunking = changed.Bucket, changed.Prefix, changed.Config, changed.Ingestion, changed.Chunking
	})
	if err != nil {
		return nil, err
	}
	out, err := describeSource(in.KnowledgeBaseId, s)
	return &UpdateDataSourceOutput{DataSource: out}, err
}

func (h handlers) deleteSource(ctx context.Context, in *DeleteDataSourceInput) (*DeleteDataSourceOutput, error) {
	if err := h.knowledge.DeleteSource(ctx, in.KnowledgeBaseId, in.DataSourceId); err != nil {
		return nil, err
	}
	return &DeleteDataSourceOutput{KnowledgeBaseId: in.KnowledgeBaseId, DataSourceId: in.DataSourceId, Status: DataSourceStatusDeleting}, nil
}

func (h handlers) listSources(ctx context.Context, in *ListDataSourcesInput) (*ListDataSourcesOutput, error) {
	all, err := h.knowledge.Sources(ctx, in.KnowledgeBaseId)
	if err != nil {
		return nil, err
	}
	sources, next, err := page(all, func(s knowledge.Source) string { return s.ID }, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &ListDataSourcesOutput{DataSourceSummaries: []DataSourceSummary{}, NextToken: next}
	for _, s := range sources {
		out.DataSourceSummaries = append(out.DataSourceSummaries, DataSourceSummary{
			KnowledgeBaseId: in.KnowledgeBaseId, DataSourceId: s.ID, Name: s.Name, Status: DataSourceStatusAvailable,
			Description: optional(s.Description), UpdatedAt: s.UpdatedAt,
		})
	}
	return out, nil
}

func (h handlers) startJob(ctx context.Context, in *StartIngestionJobInput) (*StartIngestionJobOutput, error) {
	j, err := h.knowledge.StartJob(ctx, in.KnowledgeBaseId, in.DataSourceId, value(in.Description), value(in.ClientToken))
	if err != nil {
		return nil, err
	}
	return &StartIngestionJobOutput{IngestionJob: describeJob(in.KnowledgeBaseId, j)}, nil
}

func (h handlers) getJob(ctx context.Context, in *GetIngestionJobInput) (*GetIngestionJobOutput, error) {
	j, err := h.knowledge.Job(ctx, in.KnowledgeBaseId, in.DataSourceId, in.IngestionJobId)
	if err != nil {
		return nil, err
	}
	return &GetIngestionJobOutput{IngestionJob: describeJob(in.KnowledgeBaseId, j)}, nil
}

func (h handlers) listJobs(ctx context.Context, in *ListIngestionJobsInput) (*ListIngestionJobsOutput, error) {
	all, err := h.knowledge.Jobs(ctx, in.KnowledgeBaseId, in.DataSourceId)
	if err != nil {
		return nil, err
	}
	jobs, next, err := page(arrange(all, in.Filters, in.SortBy), func(j knowledge.Job) string { return j.ID }, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &ListIngestionJobsOutput{IngestionJobSummaries: []IngestionJobSummary{}, NextToken: next}
	for _, j := range jobs {
		d := describeJob(in.KnowledgeBaseId, j)
		out.IngestionJobSummaries = append(out.IngestionJobSummaries, IngestionJobSummary{
			KnowledgeBaseId: d.KnowledgeBaseId, DataSourceId: d.DataSourceId, IngestionJobId: d.IngestionJobId, Description: d.Description,
			Status: d.Status, StartedAt: d.StartedAt, UpdatedAt: d.UpdatedAt, Statistics: d.Statistics,
		})
	}
	return out, nil
}
