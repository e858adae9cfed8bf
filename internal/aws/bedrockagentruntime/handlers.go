// Package bedrockagentruntime is the face of retrieval: it binds what Agents for Amazon Bedrock Runtime
// (2023-07-26) says of knowledge bases to the knowledge room. Types and constraints are generated; see
// api.gen.go.
//
// Guardrails, rerankers and images are refused by name. A session id is taken and told back: answers do
// not depend on those before.
package bedrockagentruntime

import (
	"context"
	"iter"
	"strings"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/knowledge"
)

type handlers struct{ knowledge *knowledge.Service }

// Serve adds the operations that Moorage offers to svc.
func Serve(svc *wire.Service, k *knowledge.Service) {
	h := handlers{k}
	wire.Handle(svc, Retrieve, h.retrieve)
	wire.Handle(svc, RetrieveAndGenerate, h.generate)
	wire.Handle(svc, RetrieveAndGenerateStream, h.stream)
}

func (h handlers) retrieve(ctx context.Context, in *RetrieveInput) (*RetrieveOutput, error) {
	switch {
	case in.GuardrailConfiguration != nil:
		return nil, unsupported("guardrailConfiguration")
	case in.RetrievalQuery.Image != nil || in.RetrievalQuery.Text == nil:
		return nil, moorage.Errorf(moorage.Unsupported, "Moorage searches by text: give retrievalQuery.text, and no image")
	}
	q, err := query(*in.RetrievalQuery.Text, in.RetrievalConfiguration)
	if err != nil {
		return nil, err
	}
	found, err := h.knowledge.Retrieve(ctx, baseID(in.KnowledgeBaseId), q)
	if err != nil {
		return nil, err
	}
	out := &RetrieveOutput{RetrievalResults: []KnowledgeBaseRetrievalResult{}}
	for _, p := range found {
		out.RetrievalResults = append(out.RetrievalResults, KnowledgeBaseRetrievalResult{
			Content: content(p), Location: location(p), Metadata: metadata(p), Score: &p.Score,
		})
	}
	return out, nil
}

// baseID takes a knowledge base's id from its ARN, if that is what it is.
func baseID(text string) string { return text[strings.LastIndexByte(text, '/')+1:] }

func (h handlers) generate(ctx context.Context, in *RetrieveAndGenerateInput) (*RetrieveAndGenerateOutput, error) {
	answer, err := h.answer(ctx, in.Input.Text, in.RetrieveAndGenerateConfiguration, in.SessionId)
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	for piece, err := range answer.Pieces {
		if err != nil {
			return nil, err
		}
		text.WriteString(piece)
	}
	return &RetrieveAndGenerateOutput{
		Output: RetrieveAndGenerateOutputShape{Text: text.String()}, SessionId: answer.Session, Citations: citations(text.String(), answer),
	}, nil
}

func (h handlers) stream(ctx context.Context, in *RetrieveAndGenerateStreamInput) (*RetrieveAndGenerateStreamOutput, error) {
	answer, err := h.answer(ctx, in.Input.Text, in.RetrieveAndGenerateConfiguration, in.SessionId)
	if err != nil {
		return nil, err
	}
	return &RetrieveAndGenerateStreamOutput{SessionId: answer.Session, Stream: events(answer)}, nil
}

// events are the pieces of an answer and, once it is whole, its citations.
func events(answer *knowledge.Answer) iter.Seq2[RetrieveAndGenerateStreamResponseOutput, error] {
	return func(yield func(RetrieveAndGenerateStreamResponseOutput, error) bool) {
		var text strings.Builder
		for piece, err := range answer.Pieces {
			text.WriteString(piece)
			event := RetrieveAndGenerateStreamResponseOutput{Output: &RetrieveAndGenerateOutputEvent{Text: piece}}
			if !yield(event, err) || err != nil {
				return
			}
		}
		for _, c := range citations(text.String(), answer) {
			event := RetrieveAndGenerateStreamResponseOutput{Citation: &CitationEvent{
				Citation: &c, GeneratedResponsePart: c.GeneratedResponsePart, RetrievedReferences: c.RetrievedReferences,
			}}
			if !yield(event, nil) {
				return
			}
		}
	}
}

func (h handlers) answer(ctx context.Context, text string, c *RetrieveAndGenerateConfiguration, session *string) (*knowledge.Answer, error) {
	switch {
	case c == nil || c.KnowledgeBaseConfiguration == nil && c.Type == RetrieveAndGenerateTypeKnowledgeBase:
		return nil, moorage.Errorf(moorage.Invalid, "retrieveAndGenerateConfiguration has no knowledgeBaseConfiguration")
	case c.Type != RetrieveAndGenerateTypeKnowledgeBase:
		return nil, unsupported("retrieveAndGenerateConfiguration.externalSourcesConfiguration")
	}
	k := c.KnowledgeBaseConfiguration
	q, err := query(text, k.RetrievalConfiguration)
	if err != nil {
		return nil, err
	}
	q.Each = true
	ask := knowledge.Ask{Query: q, Session: value(session), Prompt: knowledge.Prompt{Model: k.ModelArn}}
	if err := settings(&ask, k.GenerationConfiguration); err != nil {
		return nil, err
	}
	return h.knowledge.Answer(ctx, k.KnowledgeBaseId, ask)
}

func settings(ask *knowledge.Ask, g *GenerationConfiguration) error {
	if g == nil {
		return nil
	}
	if g.GuardrailConfiguration != nil {
		return unsupported("generationConfiguration.guardrailConfiguration")
	}
	if g.PromptTemplate != nil {
		ask.Template = value(g.PromptTemplate.TextPromptTemplate)
	}
	if g.InferenceConfig == nil || g.InferenceConfig.TextInferenceConfig == nil {
		return nil
	}
	t := g.InferenceConfig.TextInferenceConfig
	ask.Prompt.MaxTokens, ask.Prompt.Temperature, ask.Prompt.TopP, ask.Prompt.Stop = int(value(t.MaxTokens)), t.Temperature, t.TopP, t.StopSequences
	return nil
}

func unsupported(member string) error {
	return moorage.Errorf(moorage.Unsupported, "%s is not supported by Moorage: leave it out", member)
}
