package compat

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

func (s *server) models() *bedrockruntime.Client {
	return bedrockruntime.New(bedrockruntime.Options{BaseEndpoint: &s.client.Endpoint, Region: s.client.Region, Credentials: s.client, Retryer: aws.NopRetryer{}, HTTPClient: goClient})
}

// said is a streamed answer, put together.
type said struct {
	text, tool, input string
	stop              types.StopReason
	tokens            int32
}

func (s *server) converse(t *testing.T, in *bedrockruntime.ConverseStreamInput) (out said) {
	t.Helper()
	answer, err := s.models().ConverseStream(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	stream := answer.GetStream()
	defer stream.Close()
	for e := range stream.Events() {
		switch e := e.(type) {
		case *types.ConverseStreamOutputMemberContentBlockStart:
			out.tool = aws.ToString(e.Value.Start.(*types.ContentBlockStartMemberToolUse).Value.Name)
		case *types.ConverseStreamOutputMemberContentBlockDelta:
			switch d := e.Value.Delta.(type) {
			case *types.ContentBlockDeltaMemberText:
				out.text += d.Value
			case *types.ContentBlockDeltaMemberToolUse:
				out.input += aws.ToString(d.Value.Input)
			}
		case *types.ConverseStreamOutputMemberMessageStop:
			out.stop = e.Value.StopReason
		case *types.ConverseStreamOutputMemberMetadata:
			out.tokens = aws.ToInt32(e.Value.Usage.TotalTokens)
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func says(text string) []types.Message {
	return []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: text}}}}
}

// TestModels_goSDK asks by the AWS SDK for Go, and again through a provider that asks Bedrock, for which the server itself
// stands in.
func TestModels_goSDK(t *testing.T) {
	s := shared(t)
	t.Setenv("MOORAGE_MODEL_KEY", s.client.AccessKeyID+":"+s.client.SecretAccessKey)
	for _, args := range [][]string{
		{"models", "add", "aws", "--kind", "bedrock", "--region", s.client.Region, "--url", s.client.Endpoint},
		{"models", "route", "by-bedrock", "aws", "--model", "us.amazon.nova-lite-v1:0"},
	} {
		if out, err := s.cli(t.Context(), args...); err != nil {
			t.Fatal(err, out)
		}
	}
	defer s.cli(t.Context(), "models", "remove", "aws")
	defer s.cli(t.Context(), "models", "unroute", "by-bedrock")

	lookup := &types.ToolConfiguration{Tools: []types.Tool{&types.ToolMemberToolSpec{Value: types.ToolSpecification{
		Name: aws.String("lookup"), Description: aws.String("Looks up facts."),
		InputSchema: &types.ToolInputSchemaMemberJson{Value: document.NewLazyDocument(map[string]any{
			"type": "object", "properties": map[string]any{"query": map[string]any{"type": "string"}}, "required": []string{"query"},
		})},
	}}}}
	steps := []types.SystemContentBlock{&types.SystemContentBlockMemberText{Value: "1. Call the lookup tool with the user's request.\n2. Answer."}}
	for _, id := range []string{"us.amazon.nova-lite-v1:0", "by-bedrock"} {
		const facts = "NeuraHealth Solutions announced MediScan. It reached an accuracy of 94 percent."
		whole, err := s.models().Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: &id, Messages: says(facts)})
		if err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		text := whole.Output.(*types.ConverseOutputMemberMessage).Value.Content[0].(*types.ContentBlockMemberText).Value
		pieces := s.converse(t, &bedrockruntime.ConverseStreamInput{ModelId: &id, Messages: says(facts)})
		if !strings.Contains(text, "94 percent") || pieces.text != text || pieces.stop != whole.StopReason || pieces.tokens != aws.ToInt32(whole.Usage.TotalTokens) {
			t.Errorf("%s: in pieces %+v, whole %q, %v", id, pieces, text, whole.StopReason)
		}
		used := s.converse(t, &bedrockruntime.ConverseStreamInput{ModelId: &id, System: steps, Messages: says("Oslo"), ToolConfig: lookup})
		if used.tool != "lookup" || used.stop != types.StopReasonToolUse || !json.Valid([]byte(used.input)) || !strings.Contains(used.input, "Oslo") {
			t.Errorf("%s: %+v", id, used)
		}
	}
	_, err := s.models().Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: aws.String("nobodys-model"), Messages: says("Hello")})
	if unknown := (*types.ResourceNotFoundException)(nil); !errors.As(err, &unknown) {
		t.Errorf("an unknown model: %v", err)
	}
}
