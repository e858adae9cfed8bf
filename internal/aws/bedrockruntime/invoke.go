package bedrockruntime

import (
	"context"

	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/model"
	"github.com/moorage-dev/moorage/internal/model/anthropic"
)

// InvokeModel takes a body in the form of the model's maker: here Anthropic's for every model.

func (h handlers) invoke(ctx context.Context, in *InvokeModelInput) (*InvokeModelOutput, error) {
	if in.GuardrailIdentifier != nil {
		return nil, unsupported("guardrailIdentifier")
	}
	r, err := anthropic.Read(in.ModelId, in.Body)
	if err != nil {
		return nil, err
	}
	answer, err := model.Collect(h.models.Answer(ctx, r))
	if err != nil {
		return nil, err
	}
	doc, err := anthropic.Write(messageID(ctx), answer)
	return &InvokeModelOutput{Body: doc, ContentType: "application/json"}, err
}

func (h handlers) invokeStream(ctx context.Context, in *InvokeModelWithResponseStreamInput) (*InvokeModelWithResponseStreamOutput, error) {
	if in.GuardrailIdentifier != nil {
		return nil, unsupported("guardrailIdentifier")
	}
	r, err := anthropic.Read(in.ModelId, in.Body)
	if err != nil {
		return nil, err
	}
	events, err := model.Begun(h.models.Answer(ctx, r))
	if err != nil {
		return nil, err
	}
	return &InvokeModelWithResponseStreamOutput{ContentType: "application/json", Body: func(yield func(ResponseStream, error) bool) {
		for doc, err := range anthropic.Stream(messageID(ctx), events) {
			if !yield(ResponseStream{Chunk: &PayloadPart{Bytes: doc}}, err) || err != nil {
				return
			}
		}
	}}, nil
}

// messageID names an answer after its request.
func messageID(ctx context.Context) string { return "msg_" + wire.CallOf(ctx).RequestID }
