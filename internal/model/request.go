package model

import (
	"encoding/json"
	"strings"
)

// Role is who speaks.
type Role string

const (
	User      Role = "user" // and the results of tools
	Assistant Role = "assistant"
)

// Request is what a model is asked. As JSON it is what cassettes keep, see package cassette. Source of the terms: Amazon Bedrock, Converse.
type Request struct {
	Model    string    `json:"model,omitzero"`  // id or ARN, as the caller wrote it; a provider gets the name that the table gives
	System   []string  `json:"system,omitzero"` // instructions, in order
	Messages []Message `json:"messages,omitzero"`
	Tools    []Tool    `json:"tools,omitzero"`
	Choice   Choice    `json:"choice,omitzero"` // zero is auto

	MaxTokens   int      `json:"maxTokens,omitzero"` // 0 is the provider's own limit
	Temperature *float64 `json:"temperature,omitzero"`
	TopP        *float64 `json:"topP,omitzero"`
	Stop        []string `json:"stop,omitzero"`

	// Extra holds settings of one maker's models, such as top_k, as a JSON object; nil where there are none.
	Extra json.RawMessage `json:"extra,omitzero"`

	// OpenAI holds what a request in OpenAI's form says beyond these terms, as a JSON object; nil where it says no more. Providers
	// that speak that form get it, others leave out what only says how: see [Request.WordsOnly].
	OpenAI json.RawMessage `json:"openAI,omitzero"`
}

// Message is one turn.
type Message struct {
	Role    Role    `json:"role,omitzero"`
	Content []Block `json:"content,omitzero"`
}

// Block is one part of a message: exactly one member is set.
type Block struct {
	Text       string      `json:"text,omitzero"`
	Reasoning  *Reasoning  `json:"reasoning,omitzero"`
	ToolUse    *ToolUse    `json:"toolUse,omitzero"`
	ToolResult *ToolResult `json:"toolResult,omitzero"`
	Image      *Media      `json:"image,omitzero"`
	Document   *Media      `json:"document,omitzero"`
}

// Reasoning is what a model thought before it answered. Signature proves to its maker that it is unchanged.
type Reasoning struct {
	Text      string `json:"text,omitzero"`
	Signature string `json:"signature,omitzero"`
	Redacted  []byte `json:"redacted,omitzero"` // instead of text, where the maker shows none
}

// ToolUse is a model's wish that a tool is called.
type ToolUse struct {
	ID    string          `json:"id,omitzero"`
	Name  string          `json:"name,omitzero"`
	Input json.RawMessage `json:"input,omitzero"` // an object
}

// ToolResult is what the tool answered to the use of that id. Its content is text, images and documents.
type ToolResult struct {
	ID      string  `json:"id,omitzero"`
	Content []Block `json:"content,omitzero"`
	Failed  bool    `json:"failed,omitzero"`
}

// Media is an image or a document.
type Media struct {
	Format string `json:"format,omitzero"` // png, jpeg, gif, webp; pdf, csv, doc, docx, xls, xlsx, html, txt, md
	Name   string `json:"name,omitzero"`   // of a document
	Bytes  []byte `json:"bytes,omitzero"`
}

// Tool is what a model may wish to be called. Schema is a JSON schema of its input.
type Tool struct {
	Name        string          `json:"name,omitzero"`
	Description string          `json:"description,omitzero"`
	Schema      json.RawMessage `json:"schema,omitzero"`
	Strict      bool            `json:"strict,omitzero"` // its maker is to see to it that inputs fit the schema
}

// Choice says whether a tool has to be used.
type Choice struct {
	Any  bool   `json:"any,omitzero"`  // one of them
	Name string `json:"name,omitzero"` // this one
}

// Text is all that a message says in words, without what tools answered.
func (m Message) Text() string {
	var words []string
	for _, b := range m.Content {
		if b.Text != "" {
			words = append(words, b.Text)
		}
	}
	return strings.Join(words, "\n")
}

// Text is all that a tool answered in words.
func (r ToolResult) Text() string { return Message{Content: r.Content}.Text() }
