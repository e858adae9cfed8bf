package bedrock

import (
	"encoding/json"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/model"
)

// written is a request as the SDK sends it.
func written(r model.Request) (*bedrockruntime.ConverseStreamInput, error) {
	if err := r.WordsOrSchema(); err != nil {
		return nil, err
	}
	out := &bedrockruntime.ConverseStreamInput{ModelId: &r.Model, InferenceConfig: inference(r), OutputConfig: output(r.Format())}
	for _, s := range r.System {
		out.System = append(out.System, &types.SystemContentBlockMemberText{Value: s})
	}
	for _, m := range r.Messages {
		content, err := blocks(m.Content)
		if err != nil {
			return nil, err
		}
		out.Messages = append(out.Messages, types.Message{Role: types.ConversationRole(m.Role), Content: content})
	}
	if len(r.Tools) > 0 {
		out.ToolConfig = &types.ToolConfiguration{ToolChoice: choice(r.Choice)}
	}
	for _, t := range r.Tools {
		schema, err := doc(t.Schema)
		if err != nil {
			return nil, err
		}
		spec := types.ToolSpecification{Name: &t.Name, InputSchema: &types.ToolInputSchemaMemberJson{Value: schema}}
		if t.Description != "" {
			spec.Description = &t.Description
		}
		if t.Strict {
			spec.Strict = &t.Strict
		}
		out.ToolConfig.Tools = append(out.ToolConfig.Tools, &types.ToolMemberToolSpec{Value: spec})
	}
	if r.Extra != nil {
		extra, err := doc(r.Extra)
		if err != nil {
			return nil, err
		}
		out.AdditionalModelRequestFields = extra
	}
	return out, nil
}

// doc is JSON as the SDK takes it.
func doc(raw json.RawMessage) (document.Interface, error) {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return nil, &moorage.Error{Code: moorage.Invalid, Message: "a tool's schema or input, or a further setting, is no JSON", Err: err}
	}
	return document.NewLazyDocument(v), nil
}

func inference(r model.Request) *types.InferenceConfiguration {
	c := &types.InferenceConfiguration{StopSequences: r.Stop, Temperature: narrow(r.Temperature), TopP: narrow(r.TopP)}
	if r.MaxTokens > 0 {
		c.MaxTokens = aws.Int32(int32(min(r.MaxTokens, 1<<31-1)))
	}
	return c
}

func output(f model.Format) *types.OutputConfig {
	var c types.OutputConfig
	if f.Effort != "" {
		c.Effort = &f.Effort
	}
	if f.Response != nil && f.Response.Schema != nil {
		text := string(f.Response.Schema.Schema)
		s := types.JsonSchemaDefinition{Schema: &text, Name: &f.Response.Schema.Name}
		if f.Response.Schema.Description != "" {
			s.Description = &f.Response.Schema.Description
		}
		c.TextFormat = &types.OutputFormat{Type: types.OutputFormatTypeJsonSchema, Structure: &types.OutputFormatStructureMemberJsonSchema{Value: s}}
	}
	if c == (types.OutputConfig{}) {
		return nil
	}
	return &c
}

func narrow(f *float64) *float32 {
	if f == nil {
		return nil
	}
	return aws.Float32(float32(*f))
}

func choice(c model.Choice) types.ToolChoice {
	switch {
	case c.Name != "":
		return &types.ToolChoiceMemberTool{Value: types.SpecificToolChoice{Name: &c.Name}}
	case c.Any:
		return &types.ToolChoiceMemberAny{}
	}
	return nil
}

func blocks(content []model.Block) (out []types.ContentBlock, err error) {
	for _, b := range content {
		var block types.ContentBlock
		switch {
		case b.ToolUse != nil:
			input, err := doc(b.ToolUse.Input)
			if err != nil {
				return nil, err
			}
			block = &types.ContentBlockMemberToolUse{Value: types.ToolUseBlock{ToolUseId: &b.ToolUse.ID, Name: &b.ToolUse.Name, Input: input}}
		case b.ToolResult != nil:
			block = &types.ContentBlockMemberToolResult{Value: result(*b.ToolResult)}
		case b.Reasoning != nil:
			block = &types.ContentBlockMemberReasoningContent{Value: reasoning(*b.Reasoning)}
		case b.Image != nil:
			block = &types.ContentBlockMemberImage{Value: image(*b.Image)}
		case b.Document != nil:
			block = &types.ContentBlockMemberDocument{Value: file(*b.Document)}
		case b.Text != "":
			block = &types.ContentBlockMemberText{Value: b.Text}
		default:
			continue // Bedrock takes no empty text
		}
		out = append(out, block)
	}
	return out, nil
}

func result(r model.ToolResult) types.ToolResultBlock {
	out := types.ToolResultBlock{ToolUseId: &r.ID, Status: types.ToolResultStatusSuccess}
	if r.Failed {
		out.Status = types.ToolResultStatusError
	}
	for _, b := range r.Content {
		switch {
		case b.Image != nil:
			out.Content = append(out.Content, &types.ToolResultContentBlockMemberImage{Value: image(*b.Image)})
		case b.Document != nil:
			out.Content = append(out.Content, &types.ToolResultContentBlockMemberDocument{Value: file(*b.Document)})
		default:
			out.Content = append(out.Content, &types.ToolResultContentBlockMemberText{Value: b.Text})
		}
	}
	return out
}

func reasoning(r model.Reasoning) types.ReasoningContentBlock {
	if r.Redacted != nil {
		return &types.ReasoningContentBlockMemberRedactedContent{Value: r.Redacted}
	}
	text := types.ReasoningTextBlock{Text: &r.Text}
	if r.Signature != "" {
		text.Signature = &r.Signature
	}
	return &types.ReasoningContentBlockMemberReasoningText{Value: text}
}

func image(m model.Media) types.ImageBlock {
	return types.ImageBlock{Format: types.ImageFormat(m.Format), Source: &types.ImageSourceMemberBytes{Value: m.Bytes}}
}

func file(m model.Media) types.DocumentBlock {
	name := m.Name
	if name == "" {
		name = "document" // Bedrock wants one
	}
	return types.DocumentBlock{Format: types.DocumentFormat(m.Format), Name: &name, Source: &types.DocumentSourceMemberBytes{Value: m.Bytes}}
}
