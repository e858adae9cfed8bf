package bedrockruntime

import (
	"encoding/json"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/model"
)

// conversation is what Converse and ConverseStream have in common.
type conversation struct {
	modelID   string
	messages  []Message
	system    []SystemContentBlock
	tools     *ToolConfiguration
	inference *InferenceConfiguration
	extra     json.RawMessage
	output    *OutputConfig
	prompt    map[string]PromptVariableValues
}

func requestOf(c conversation) (model.Request, error) {
	r := model.Request{Model: c.modelID, Extra: c.extra}
	if c.prompt != nil {
		return r, unsupported("promptVariables")
	}
	if len(c.messages) == 0 {
		return r, moorage.Errorf(moorage.Invalid, "messages: a conversation has at least one message")
	}
	for _, s := range c.system {
		switch {
		case s.Text != nil:
			r.System = append(r.System, *s.Text)
		case s.GuardContent != nil && s.GuardContent.Text != nil:
			r.System = append(r.System, s.GuardContent.Text.Text)
		}
	}
	if err := format(&r, c.output); err != nil {
		return r, err
	}
	if i := c.inference; i != nil {
		r.MaxTokens, r.Temperature, r.TopP, r.Stop = int(value(i.MaxTokens)), i.Temperature, i.TopP, i.StopSequences
	}
	for _, m := range c.messages {
		content, err := contentOf(m.Content)
		if err != nil {
			return r, err
		}
		r.Messages = append(r.Messages, model.Message{Role: model.Role(m.Role), Content: content})
	}
	return r, offer(&r, c.tools)
}

// format says how the answer is to be made.
func format(r *model.Request, c *OutputConfig) (err error) {
	if c == nil {
		return nil
	}
	f := model.Format{Effort: value(c.Effort)}
	if c.TextFormat != nil && c.TextFormat.Structure.JsonSchema != nil {
		s := c.TextFormat.Structure.JsonSchema
		if !json.Valid([]byte(s.Schema)) {
			return moorage.Errorf(moorage.Invalid, "outputConfig.textFormat.structure.jsonSchema.schema is not JSON")
		}
		name := value(s.Name)
		if name == "" {
			name = "answer" // OpenAI's form wants one
		}
		f.Response = model.JSON(model.Schema{Name: name, Description: value(s.Description), Schema: json.RawMessage(s.Schema), Strict: true})
	}
	r.OpenAI, err = json.Marshal(f)
	return err
}

func offer(r *model.Request, c *ToolConfiguration) error {
	if c == nil {
		return nil
	}
	for _, t := range c.Tools {
		if t.SystemTool != nil {
			return unsupported("toolConfig.tools.systemTool")
		}
		if s := t.ToolSpec; s != nil {
			r.Tools = append(r.Tools, model.Tool{Name: s.Name, Description: value(s.Description), Schema: s.InputSchema.Json, Strict: value(s.Strict)})
		}
	}
	if choice := c.ToolChoice; choice != nil {
		r.Choice.Any = choice.Any != nil
		if choice.Tool != nil {
			r.Choice.Name = choice.Tool.Name
		}
	}
	return r.CheckTools()
}

func contentOf(blocks []ContentBlock) (out []model.Block, err error) {
	for _, b := range blocks {
		var block model.Block
		switch {
		case b.Text != nil:
			block.Text = *b.Text
		case b.ReasoningContent != nil:
			block.Reasoning = reasoningOf(*b.ReasoningContent)
		case b.ToolUse != nil:
			block.ToolUse = &model.ToolUse{ID: b.ToolUse.ToolUseId, Name: b.ToolUse.Name, Input: model.Object(string(b.ToolUse.Input))}
		case b.ToolResult != nil:
			block.ToolResult, err = resultOf(*b.ToolResult)
		case b.Image != nil:
			block.Image, err = imageOf(*b.Image)
		case b.Document != nil:
			block.Document, err = documentOf(*b.Document)
		case b.GuardContent != nil && b.GuardContent.Text != nil:
			block.Text = b.GuardContent.Text.Text
		case b.CachePoint != nil:
			continue
		default:
			err = moorage.Errorf(moorage.Unsupported, "a message may hold text, reasoning, tool uses and results, images and documents; this kind of content is not supported")
		}
		if err != nil {
			return nil, err
		}
		out = append(out, block)
	}
	return out, nil
}

func reasoningOf(b ReasoningContentBlock) *model.Reasoning {
	if b.ReasoningText == nil {
		return &model.Reasoning{Redacted: b.RedactedContent}
	}
	return &model.Reasoning{Text: b.ReasoningText.Text, Signature: value(b.ReasoningText.Signature)}
}

func resultOf(b ToolResultBlock) (*model.ToolResult, error) {
	result := &model.ToolResult{ID: b.ToolUseId, Failed: b.Status == ToolResultStatusError}
	for _, c := range b.Content {
		var block model.Block
		var err error
		switch {
		case c.Text != nil:
			block.Text = *c.Text
		case c.Json != nil:
			block.Text = string(c.Json)
		case c.Image != nil:
			block.Image, err = imageOf(*c.Image)
		case c.Document != nil:
			block.Document, err = documentOf(*c.Document)
		default:
			err = moorage.Errorf(moorage.Unsupported, "a tool's result may hold text, JSON, images and documents; this kind of content is not supported")
		}
		if err != nil {
			return nil, err
		}
		result.Content = append(result.Content, block)
	}
	return result, nil
}

func imageOf(b ImageBlock) (*model.Media, error) {
	if b.Source.Bytes == nil {
		return nil, unsupported("image.source.s3Location")
	}
	return &model.Media{Format: string(b.FormatName), Bytes: b.Source.Bytes}, nil
}

func documentOf(b DocumentBlock) (*model.Media, error) {
	d := &model.Media{Format: string(b.Format), Name: b.Name, Bytes: b.Source.Bytes}
	switch {
	case b.Source.S3Location != nil:
		return nil, unsupported("document.source.s3Location")
	case b.Source.Text != nil:
		d.Bytes = []byte(*b.Source.Text)
	}
	for _, c := range b.Source.Content {
		d.Bytes = append(d.Bytes, value(c.Text)+"\n"...)
	}
	if d.Format == "" {
		d.Format = "txt"
	}
	return d, nil
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
