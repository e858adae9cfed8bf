// Package anthropic is the form of Anthropic's Messages API: as callers of Bedrock's InvokeModel write it,
// and as Anthropic's own server reads it.
package anthropic

import (
	"encoding/json"

	"github.com/moorage-dev/moorage/internal/model"
)

// request is the body of a call. Source: Anthropic API reference, Messages.
type request struct {
	Version     string          `json:"anthropic_version,omitempty"` // in the body on Bedrock, else a header
	Model       string          `json:"model,omitempty"`             // in the path on Bedrock
	MaxTokens   int             `json:"max_tokens"`
	System      json.RawMessage `json:"system,omitempty"` // text, or blocks of it
	Messages    []message       `json:"messages"`
	Tools       []tool          `json:"tools,omitempty"`
	ToolChoice  *choice         `json:"tool_choice,omitempty"`
	Temperature *float64        `json:"temperature,omitempty"`
	TopP        *float64        `json:"top_p,omitempty"`
	Stop        []string        `json:"stop_sequences,omitempty"`
	Stream      bool            `json:"stream,omitempty"`
}

type message struct {
	Role    model.Role      `json:"role"`
	Content json.RawMessage `json:"content"` // text, or blocks
}

type block struct {
	Type      string          `json:"type"`
	Text      *string         `json:"text,omitempty"` // nil where the type has none
	ID        string          `json:"id,omitempty"`
	Name      string          `json:"name,omitempty"`
	Input     json.RawMessage `json:"input,omitempty"`
	ToolUseID string          `json:"tool_use_id,omitempty"`
	Content   json.RawMessage `json:"content,omitempty"` // of a tool's result: text, or blocks
	IsError   bool            `json:"is_error,omitempty"`
	Source    *source         `json:"source,omitempty"`
	Title     string          `json:"title,omitempty"`
	Thinking  string          `json:"thinking,omitempty"`
	Signature string          `json:"signature,omitempty"`
	Data      []byte          `json:"data,omitempty"` // of redacted thinking
}

type source struct {
	Type      string `json:"type"` // base64 or text
	MediaType string `json:"media_type"`
	Data      string `json:"data"`
}

type tool struct {
	Type        string          `json:"type,omitempty"` // none, or custom; others are run by the maker
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Schema      json.RawMessage `json:"input_schema"`
	Strict      bool            `json:"strict,omitempty"`
}

type choice struct {
	Type string `json:"type"` // auto, any, tool
	Name string `json:"name,omitempty"`
}

type usage struct {
	Input      int `json:"input_tokens"`
	Output     int `json:"output_tokens"`
	CacheRead  int `json:"cache_read_input_tokens,omitempty"`
	CacheWrite int `json:"cache_creation_input_tokens,omitempty"`
}

// answer is a whole answer, and, with parts of it missing, the first event of a streamed one.
type answer struct {
	ID           string  `json:"id"`
	Type         string  `json:"type"` // message
	Role         string  `json:"role"`
	Model        string  `json:"model"`
	Content      []block `json:"content"`
	StopReason   *string `json:"stop_reason"`
	StopSequence *string `json:"stop_sequence"`
	Usage        usage   `json:"usage"`
}

// event is a piece of a streamed answer. Source: Anthropic API reference, streaming.
type event struct {
	Type    string     `json:"type"`
	Message *answer    `json:"message,omitempty"`
	Index   *int       `json:"index,omitempty"`
	Block   *block     `json:"content_block,omitempty"`
	Delta   *delta     `json:"delta,omitempty"`
	Usage   *usage     `json:"usage,omitempty"`
	Error   *errorBody `json:"error,omitempty"`
}

type delta struct {
	Type         string  `json:"type,omitempty"`
	Text         string  `json:"text,omitempty"`
	PartialJSON  *string `json:"partial_json,omitempty"`
	Thinking     string  `json:"thinking,omitempty"`
	Signature    string  `json:"signature,omitempty"`
	StopReason   *string `json:"stop_reason,omitempty"`
	StopSequence *string `json:"stop_sequence,omitempty"`
}

type errorBody struct {
	Type    string `json:"type"`
	Message string `json:"message"`
}
