package bedrockagent

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/knowledge"
)

// dimensionsOf is how many dimensions a base's vectors are to have; 0 where it is not said.
func dimensionsOf(c KnowledgeBaseConfiguration) (int, error) {
	var model *EmbeddingModelConfiguration
	switch {
	case c.Type == KnowledgeBaseTypeKendra || c.Type == KnowledgeBaseTypeSql:
		return 0, moorage.Errorf(moorage.Unsupported, "knowledge bases of the type %s are not supported by Moorage: use VECTOR", c.Type)
	case c.VectorKnowledgeBaseConfiguration != nil:
		model = c.VectorKnowledgeBaseConfiguration.EmbeddingModelConfiguration
	case c.ManagedKnowledgeBaseConfiguration != nil:
		model = c.ManagedKnowledgeBaseConfiguration.EmbeddingModelConfiguration
	case c.Type == KnowledgeBaseTypeVector:
		return 0, invalid("knowledgeBaseConfiguration.vectorKnowledgeBaseConfiguration", "a VECTOR knowledge base has a vectorKnowledgeBaseConfiguration")
	}
	if model == nil || model.BedrockEmbeddingModelConfiguration == nil {
		return 0, nil
	}
	return int(value(model.BedrockEmbeddingModelConfiguration.Dimensions)), nil
}

func (h handlers) describe(b knowledge.Base) (KnowledgeBase, error) {
	out := KnowledgeBase{
		KnowledgeBaseId: b.ID, Name: b.Name, KnowledgeBaseArn: h.arn(b.ID), Description: optional(b.Description), RoleArn: b.Role,
		Status: KnowledgeBaseStatusActive, CreatedAt: b.CreatedAt, UpdatedAt: b.UpdatedAt,
	}
	if err := json.Unmarshal(b.Config, &out.KnowledgeBaseConfiguration); err != nil {
		return out, err
	}
	if b.Storage == nil {
		return out, nil
	}
	return out, json.Unmarshal(b.Storage, &out.StorageConfiguration)
}

// configure reads where a source's documents are and how they are cut.
func configure(s *knowledge.Source, c DataSourceConfiguration, v *VectorIngestionConfiguration) (err error) {
	if c.Type != DataSourceTypeS3 {
		return moorage.Errorf(moorage.Unsupported, "data sources of the type %s are not supported by Moorage: put the documents into a bucket, and use S3", c.Type)
	}
	if c.S3Configuration == nil {
		return invalid("dataSourceConfiguration.s3Configuration", "a data source of the type S3 has an s3Configuration")
	}
	_, s.Bucket, _ = strings.Cut(c.S3Configuration.BucketArn, ":::")
	if len(c.S3Configuration.InclusionPrefixes) > 0 {
		s.Prefix = c.S3Configuration.InclusionPrefixes[0]
	}
	s.Config, s.Ingestion = raw(c), rawOptional(v)
	if v == nil {
		return nil
	}
	for name, given := range map[string]bool{
		"customTransformationConfiguration": v.CustomTransformationConfiguration != nil, "contextEnrichmentConfiguration": v.ContextEnrichmentConfiguration != nil,
		"parsingConfiguration": v.ParsingConfiguration != nil,
	} {
		if given {
			return moorage.Errorf(moorage.Unsupported, "%s is not supported by Moorage: documents are read as text, JSON, CSV and HTML", name)
		}
	}
	s.Chunking, err = chunking(v.ChunkingConfiguration)
	return err
}

func chunking(c *ChunkingConfiguration) (knowledge.Chunking, error) {
	switch {
	case c == nil:
		return knowledge.Chunking{}, nil
	case c.ChunkingStrategy == ChunkingStrategyNone:
		return knowledge.Chunking{Whole: true}, nil
	case c.ChunkingStrategy != ChunkingStrategyFixedSize:
		return knowledge.Chunking{}, moorage.Errorf(moorage.Unsupported, "chunking by %s is not supported by Moorage: use FIXED_SIZE or NONE", c.ChunkingStrategy)
	case c.FixedSizeChunkingConfiguration == nil:
		return knowledge.Chunking{}, invalid("vectorIngestionConfiguration.chunkingConfiguration.fixedSizeChunkingConfiguration", "chunking by FIXED_SIZE has a fixedSizeChunkingConfiguration")
	}
	f := c.FixedSizeChunkingConfiguration
	return knowledge.Chunking{Tokens: int(f.MaxTokens), Overlap: int(f.OverlapPercentage)}, nil
}

func describeSource(base string, s knowledge.Source) (DataSource, error) {
	out := DataSource{
		KnowledgeBaseId: base, DataSourceId: s.ID, Name: s.Name, Status: DataSourceStatusAvailable, Description: optional(s.Description),
		DataDeletionPolicy: DataDeletionPolicyDelete, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt,
	}
	if s.Retain {
		out.DataDeletionPolicy = DataDeletionPolicyRetain
	}
	if err := json.Unmarshal(s.Config, &out.DataSourceConfiguration); err != nil || s.Ingestion == nil {
		return out, err
	}
	return out, json.Unmarshal(s.Ingestion, &out.VectorIngestionConfiguration)
}

func describeJob(base string, j knowledge.Job) IngestionJob {
	c := j.Counts
	return IngestionJob{
		KnowledgeBaseId: base, DataSourceId: j.Source, IngestionJobId: j.ID, Description: optional(j.Description),
		Status: IngestionJobStatus(j.Status), FailureReasons: j.Failures, StartedAt: j.StartedAt, UpdatedAt: j.UpdatedAt,
		Statistics: &IngestionJobStatistics{
			NumberOfDocumentsScanned: &c.Scanned, NumberOfMetadataDocumentsScanned: &c.ScannedMetadata, NumberOfNewDocumentsIndexed: &c.New,
			NumberOfModifiedDocumentsIndexed: &c.Modified, NumberOfMetadataDocumentsModified: &c.ModifiedMetadata,
			NumberOfDocumentsDeleted: &c.Deleted, NumberOfDocumentsFailed: &c.Failed, NumberOfDocumentsSkipped: &c.Skipped,
		},
	}
}

// arrange filters and sorts jobs, which come newest first.
func arrange(jobs []knowledge.Job, filters []IngestionJobFilter, by *IngestionJobSortBy) []knowledge.Job {
	for _, f := range filters {
		jobs = slices.DeleteFunc(jobs, func(j knowledge.Job) bool { return !slices.Contains(f.Values, string(j.Status)) })
	}
	if by == nil {
		return jobs
	}
	slices.SortStableFunc(jobs, func(a, b knowledge.Job) int {
		order := a.StartedAt.Compare(b.StartedAt)
		if by.Attribute == IngestionJobSortByAttributeStatus {
			order = cmp.Compare(a.Status, b.Status)
		}
		if by.Order == SortOrderDescending {
			order = -order
		}
		return order
	})
	return jobs
}

const defaultPage = 100

// page cuts a list after the element that the token names.
func page[T any](all []T, key func(T) string, size *int32, token *string) ([]T, *string, error) {
	if token != nil {
		after, err := base64.RawURLEncoding.DecodeString(*token)
		i := slices.IndexFunc(all, func(v T) bool { return key(v) == string(after) })
		if err != nil || i < 0 {
			return nil, nil, invalid("nextToken", "nextToken is not one that this server gave, or what it names is gone: list from the start")
		}
		all = all[i+1:]
	}
	n := defaultPage
	if size != nil {
		n = int(*size)
	}
	if len(all) <= n {
		return all, nil, nil
	}
	next := base64.RawURLEncoding.EncodeToString([]byte(key(all[n-1])))
	return all[:n], &next, nil
}

func invalid(field, message string) error {
	return &moorage.Error{Code: moorage.Invalid, Message: message, Fields: []moorage.Field{{Name: field, Message: message}}}
}

// raw is a structure of the model as JSON. Such structures always have some.
func raw(v any) json.RawMessage {
	doc, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return doc
}

func rawOptional[T any](p *T) json.RawMessage {
	if p == nil {
		return nil
	}
	return raw(p)
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
