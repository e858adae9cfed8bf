// Package bedrockruntime is the face of models: it binds what Amazon Bedrock Runtime (2023-09-30) says to
// the model room. Types and constraints are generated; see api.gen.go.
//
// Guardrails, prompts of Bedrock's own and system tools are refused by name, as are videos, audio and
// files in buckets. Service tiers, latencies and points to cache at say how to make an answer, not which:
// they are taken, and change nothing.
package bedrockruntime

import (
	"context"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/model"
	"github.com/moorage-dev/moorage/internal/model/anthropic"
)

type handlers struct{ models *model.Service }

// Serve adds the operations that Moorage offers to svc.
func Serve(svc *wire.Service, models *model.Service) {
	h := handlers{models}
	wire.Handle(svc, Converse, h.converse)
	wire.Handle(svc, ConverseStream, h.stream)
	wire.Handle(svc, CountTokens, h.count)
	wire.Handle(svc, InvokeModel, h.invoke)
	wire.Handle(svc, InvokeModelWithResponseStream, h.invokeStream)
}

func (h handlers) converse(ctx context.Context, in *ConverseInput) (*ConverseOutput, error) {
	if in.GuardrailConfig != nil {
		return nil, unsupported("guardrailConfig")
	}
	r, err := requestOf(conversation{in.ModelId, in.Messages, in.System, in.ToolConfig, in.InferenceConfig, in.AdditionalModelRequestFields, in.OutputConfig, in.PromptVariables})
	if err != nil {
		return nil, err
	}
	began := time.Now()
	answer, err := model.Collect(h.models.Answer(ctx, r))
	if err != nil {
		return nil, err
	}
	message := Message{Role: ConversationRoleAssistant, Content: blocksOf(answer.Message)}
	return &ConverseOutput{
		Output: ConverseOutputShape{Message: &message}, StopReason: StopReason(answer.Stop.Reason), Usage: usageOf(answer.Stop.Usage),
		Metrics: ConverseMetrics{LatencyMs: time.Since(began).Milliseconds()},
	}, nil
}

func (h handlers) stream(ctx context.Context, in *ConverseStreamInput) (*ConverseStreamOutput, error) {
	if in.GuardrailConfig != nil {
		return nil, unsupported("guardrailConfig")
	}
	r, err := requestOf(conversation{in.ModelId, in.Messages, in.System, in.ToolConfig, in.InferenceConfig, in.AdditionalModelRequestFields, in.OutputConfig, in.PromptVariables})
	if err != nil {
		return nil, err
	}
	events, err := model.Begun(h.models.Answer(ctx, r))
	if err != nil {
		return nil, err
	}
	return &ConverseStreamOutput{Stream: written(events, time.Now())}, nil
}

func (h handlers) count(_ context.Context, in *CountTokensInput) (*CountTokensOutput, error) {
	var r model.Request
	var err error
	switch c, i := in.Input.Converse, in.Input.InvokeModel; {
	case c != nil:
		r, err = requestOf(conversation{in.ModelId, c.Messages, c.System, c.ToolConfig, nil, c.AdditionalModelRequestFields, nil, nil})
	case i != nil:
		r, err = anthropic.Read(in.ModelId, i.Body)
	default:
		err = moorage.Errorf(moorage.Invalid, "input has neither converse nor invokeModel")
	}
	if err != nil {
		return nil, err
	}
	return &CountTokensOutput{InputTokens: int32(model.Estimate(r))}, nil
}

func unsupported(member string) error {
	return moorage.Errorf(moorage.Unsupported, "Moorage does not support %s: leave it out", member)
}
