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

// Request is what a model is asked. Source of the terms: Amazon Bedrock, Converse.
type Request struct {
	Model    string   // id or ARN, as the caller wrote it; a provider gets the name that the table gives
	System   []string // instructions, in order
	Messages []Message
	Tools    []Tool
	Choice   Choice // zero is auto

	MaxTokens   int // 0 is the provider's own limit
	Temperature *float64
	TopP        *float64
	Stop        []string

	// Extra holds settings of one maker's models, such as top_k, as a JSON object; nil where there are none.
	Extra json.RawMessage
}

// Message is one turn.
type Message struct {
	Role    Role
	Content []Block
}

// Block is one part of a message: exactly one member is set.
type Block struct {
	Text       string
	Reasoning  *Reasoning
	ToolUse    *ToolUse
	ToolResult *ToolResult
	Image      *Media
	Document   *Media
}

// Reasoning is what a model thought before it answered. Signature proves to its maker that it is unchanged.
type Reasoning struct {
	Text      string
	Signature string
	Redacted  []byte // instead of text, where the maker shows none
}

// ToolUse is a model's wish that a tool is called.
type ToolUse struct {
	ID    string
	Name  string
	Input json.RawMessage // an object
}

// ToolResult is what the tool answered to the use of that id. Its content is text, images and documents.
type ToolResult struct {
	ID      string
	Content []Block
	Failed  bool
}

// Media is an image or a document.
type Media struct {
	Format string // png, jpeg, gif, webp; pdf, csv, doc, docx, xls, xlsx, html, txt, md
	Name   string // of a document
	Bytes  []byte
}

// Tool is what a model may wish to be called. Schema is a JSON schema of its input.
type Tool struct {
	Name        string
	Description string
	Schema      json.RawMessage
}

// Choice says whether a tool has to be used.
type Choice struct {
	Any  bool   // one of them
	Name string // this one
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
