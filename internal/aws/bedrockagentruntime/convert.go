package bedrockagentruntime

import (
	"encoding/json"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/knowledge"
)

// query reads how a base is to be asked.
func query(text string, c *KnowledgeBaseRetrievalConfiguration) (knowledge.Query, error) {
	q := knowledge.Query{Text: text}
	if c == nil {
		return q, nil
	}
	var filter *RetrievalFilter
	switch {
	case c.VectorSearchConfiguration != nil:
		v := c.VectorSearchConfiguration
		if v.RerankingConfiguration != nil {
			return q, unsupported("vectorSearchConfiguration.rerankingConfiguration")
		}
		if v.ImplicitFilterConfiguration != nil {
			return q, unsupported("vectorSearchConfiguration.implicitFilterConfiguration")
		}
		filter, q.Results, q.Semantic = v.Filter, int(value(v.NumberOfResults)), v.OverrideSearchType == SearchTypeSemantic
	case c.ManagedSearchConfiguration != nil:
		m := c.ManagedSearchConfiguration
		if m.RerankingConfiguration != nil {
			return q, unsupported("managedSearchConfiguration.rerankingConfiguration")
		}
		filter, q.Results = m.Filter, int(value(m.NumberOfResults))
	}
	if filter == nil {
		return q, nil
	}
	f, err := filterOf(*filter, 0)
	q.Filter = &f
	return q, err
}

// maxNesting of filters. Bedrock allows one group in another.
const maxNesting = 4

func filterOf(f RetrievalFilter, depth int) (out knowledge.Filter, err error) {
	if depth > maxNesting {
		return out, moorage.Errorf(moorage.Invalid, "a filter may be nested %d deep", maxNesting)
	}
	for name, group := range map[string][]RetrievalFilter{"andAll": f.AndAll, "orAll": f.OrAll} {
		if group == nil {
			continue
		}
		out.Op = name
		for _, one := range group {
			of, err := filterOf(one, depth+1)
			if err != nil {
				return out, err
			}
			out.Of = append(out.Of, of)
		}
		return out, nil
	}
	for name, a := range map[string]*FilterAttribute{
		"equals": f.Equals, "notEquals": f.NotEquals, "greaterThan": f.GreaterThan, "greaterThanOrEquals": f.GreaterThanOrEquals,
		"lessThan": f.LessThan, "lessThanOrEquals": f.LessThanOrEquals, "in": f.In, "notIn": f.NotIn,
		"startsWith": f.StartsWith, "stringContains": f.StringContains, "listContains": f.ListContains,
	} {
		if a != nil {
			out.Op, out.Key = name, a.Key
			err = json.Unmarshal(a.Value, &out.Value)
		}
	}
	if err == nil && out.Op == "" {
		err = moorage.Errorf(moorage.Invalid, "a filter has no condition in it")
	}
	return out, err
}

func content(p knowledge.Passage) RetrievalResultContent {
	return RetrievalResultContent{Text: &p.Text, Type: RetrievalResultContentTypeText}
}

func location(p knowledge.Passage) *RetrievalResultLocation {
	return &RetrievalResultLocation{Type: RetrievalResultLocationTypeS3, S3Location: &RetrievalResultS3Location{Uri: &p.Document.URI}}
}

// metadata is the document's, and what Bedrock adds to it.
func metadata(p knowledge.Passage) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	set := func(name string, v any) {
		if doc, err := json.Marshal(v); err == nil { // what was JSON once always is
			out[name] = doc
		}
	}
	for name, v := range p.Document.Metadata {
		set(name, v)
	}
	set("x-amz-bedrock-kb-source-uri", p.Document.URI)
	set("x-amz-bedrock-kb-chunk-id", p.ID)
	set("x-amz-bedrock-kb-data-source-id", p.Document.Source)
	return out
}

// citations says what bears out which piece of a text.
func citations(text string, a *knowledge.Answer) []Citation {
	out := []Citation{}
	for _, c := range knowledge.Cite(text, a.Passages) {
		start, end := int32(c.Start), int32(c.End)
		part := &GeneratedResponsePart{TextResponsePart: &TextResponsePart{Text: &c.Text, Span: &Span{Start: &start, End: &end}}}
		references := []RetrievedReference{}
		for _, p := range c.Passages {
			found := content(p)
			references = append(references, RetrievedReference{Content: &found, Location: location(p), Metadata: metadata(p)})
		}
		out = append(out, Citation{GeneratedResponsePart: part, RetrievedReferences: references})
	}
	return out
}

// value returns what p points at, or the zero value.
func value[T any](p *T) T {
	var zero T
	if p == nil {
		return zero
	}
	return *p
}
