package model

import (
	"encoding/json"
	"slices"

	"github.com/moorage-dev/moorage"
)

// Format is how an answer is to be made: what of [Request.OpenAI] has words in other forms, too.
type Format struct {
	Response *ResponseFormat `json:"response_format,omitempty"`
	Effort   string          `json:"reasoning_effort,omitempty"` // low, medium, high, …: how much to think
}

// ResponseFormat says what an answer is to be, other than words.
type ResponseFormat struct {
	Type   string  `json:"type"` // text, json_object, json_schema
	Schema *Schema `json:"json_schema,omitempty"`
}

// Schema is what JSON an answer is to be. Schema is a JSON schema, Name of letters, digits, _ and -.
type Schema struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Schema      json.RawMessage `json:"schema,omitempty"`
	Strict      bool            `json:"strict,omitempty"`
}

const (
	words  = "text"
	schema = "json_schema"
)

// Format reads how the answer to r is to be made. What r does not say is zero.
func (r Request) Format() (f Format) {
	_ = json.Unmarshal(r.OpenAI, &f) // what is not there is not asked for
	return f
}

// JSON is the format of an answer of a schema.
func JSON(s Schema) *ResponseFormat { return &ResponseFormat{Type: schema, Schema: &s} }

// WordsOnly refuses a request that asks for an answer of another kind than a model makes by itself: for providers that cannot
// hand that on, so that nobody takes words for the JSON that was asked for.
func (r Request) WordsOnly() error { return r.only(words) }

// WordsOrSchema is [Request.WordsOnly] for providers that do have their way to ask for JSON of a schema.
func (r Request) WordsOrSchema() error { return r.only(words, schema) }

func (r Request) only(kinds ...string) error {
	var asked struct {
		Logprobs bool `json:"logprobs"`
	}
	_ = json.Unmarshal(r.OpenAI, &asked) // as above
	if asked.Logprobs {
		return moorage.Errorf(moorage.Unsupported, "logprobs: this model's provider gives none")
	}
	f := r.Format().Response
	if f == nil || f.Type == "" || slices.Contains(kinds, f.Type) && (f.Type != schema || f.Schema != nil) {
		return nil
	}
	return moorage.Errorf(moorage.Unsupported, "response_format (outputConfig in Converse): this model's provider does not take %s; have it use a tool for JSON of a schema", f.Type)
}
