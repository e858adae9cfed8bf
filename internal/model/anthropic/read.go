package anthropic

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/model"
)

// Read reads a request to a model of that id.
func Read(modelID string, body []byte) (model.Request, error) {
	r := model.Request{Model: modelID}
	var in request
	if err := json.Unmarshal(body, &in); err != nil {
		return r, &moorage.Error{Code: moorage.Invalid, Message: "the body is not a request of Anthropic's Messages API, the only form that InvokeModel takes here; Converse takes one form for all models", Err: err}
	}
	if len(in.Messages) == 0 || in.MaxTokens <= 0 {
		return r, moorage.Errorf(moorage.Invalid, "messages and max_tokens are required in the body; InvokeModel takes the form of Anthropic's Messages API, Converse takes one form for all models")
	}
	r.MaxTokens, r.Temperature, r.TopP, r.Stop = in.MaxTokens, in.Temperature, in.TopP, in.Stop
	system, err := blocks(in.System)
	if err != nil {
		return r, err
	}
	for _, b := range system {
		r.System = append(r.System, b.Text)
	}
	for _, m := range in.Messages {
		content, err := blocks(m.Content)
		if err != nil {
			return r, err
		}
		r.Messages = append(r.Messages, model.Message{Role: m.Role, Content: content})
	}
	for _, t := range in.Tools {
		if t.Type != "" && t.Type != "custom" {
			return r, moorage.Errorf(moorage.Unsupported, "the tool %q is of type %q, which the model's maker runs itself: Moorage offers models tools that have an input_schema, and that the agent runs", t.Name, t.Type)
		}
		r.Tools = append(r.Tools, model.Tool{Name: t.Name, Description: t.Description, Schema: t.Schema, Strict: t.Strict})
	}
	if in.ToolChoice != nil {
		r.Choice = model.Choice{Any: in.ToolChoice.Type == "any", Name: in.ToolChoice.Name}
	}
	if r.Extra, err = settings(body); err != nil {
		return r, err
	}
	return r, r.CheckTools()
}

const betaSetting = "anthropic_beta"

// handedOn are the settings that say how the maker's models think and answer, beyond Converse's terms: providers of those get them.
var handedOn = []string{"top_k", "thinking", "output_config", betaSetting}

func settings(body []byte) (json.RawMessage, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(body, &all); err != nil {
		return nil, err
	}
	maps.DeleteFunc(all, func(name string, _ json.RawMessage) bool { return !slices.Contains(handedOn, name) })
	if len(all) == 0 {
		return nil, nil
	}
	return json.Marshal(all)
}

// blocks reads content, which may be a text.
func blocks(raw json.RawMessage) ([]model.Block, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return []model.Block{{Text: text}}, nil
	}
	var all []block
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, &moorage.Error{Code: moorage.Invalid, Message: "content is neither a text nor a list of blocks", Err: err}
	}
	out := make([]model.Block, 0, len(all))
	for _, b := range all {
		read, err := b.read()
		if err != nil {
			return nil, err
		}
		out = append(out, read)
	}
	return out, nil
}

func (b block) read() (out model.Block, err error) {
	switch b.Type {
	case "text":
		out.Text = value(b.Text)
	case "thinking":
		out.Reasoning = &model.Reasoning{Text: b.Thinking, Signature: b.Signature}
	case "redacted_thinking":
		out.Reasoning = &model.Reasoning{Redacted: b.Data}
	case "tool_use":
		out.ToolUse = &model.ToolUse{ID: b.ID, Name: b.Name, Input: model.Object(string(b.Input))}
	case "tool_result":
		out.ToolResult = &model.ToolResult{ID: b.ToolUseID, Failed: b.IsError}
		out.ToolResult.Content, err = blocks(b.Content)
	case "image":
		out.Image, err = b.media()
	case "document":
		out.Document, err = b.media()
	default:
		err = moorage.Errorf(moorage.Unsupported, "content of type %q is not supported", b.Type)
	}
	return out, err
}

func (b block) media() (*model.Media, error) {
	if b.Source == nil || b.Source.Type != "base64" && b.Source.Type != "text" {
		return nil, moorage.Errorf(moorage.Unsupported, "an image or document must be in the request, as base64 or text")
	}
	data := []byte(b.Source.Data)
	if b.Source.Type == "base64" {
		var err error
		if data, err = base64.StdEncoding.DecodeString(b.Source.Data); err != nil {
			return nil, &moorage.Error{Code: moorage.Invalid, Message: "an image or document is not base64", Err: err}
		}
	}
	_, format, _ := strings.Cut(b.Source.MediaType, "/")
	if format == "plain" {
		format = "txt"
	}
	return &model.Media{Format: format, Name: b.Title, Bytes: data}, nil
}
