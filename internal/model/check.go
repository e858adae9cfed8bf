package model

import (
	"encoding/json"

	"github.com/moorage-dev/moorage"
)

// CheckTools refuses tools that no model could use.
func (r Request) CheckTools() error {
	names := map[string]bool{}
	for _, t := range r.Tools {
		var schema struct {
			Type any `json:"type"`
		}
		if err := json.Unmarshal(t.Schema, &schema); err != nil || schema.Type != nil && schema.Type != "object" {
			return moorage.Errorf(moorage.Invalid, "the input schema of tool %q is not a JSON schema of type object", t.Name)
		}
		if names[t.Name] {
			return moorage.Errorf(moorage.Invalid, "two tools are called %q", t.Name)
		}
		names[t.Name] = true
	}
	if r.Choice.Name != "" && !names[r.Choice.Name] {
		return moorage.Errorf(moorage.Invalid, "the tool %q has to be used, but is not offered", r.Choice.Name)
	}
	return nil
}

// perToken is how many bytes make a token, about, in the languages that most prompts are written in.
const perToken = 4

// Estimate is how many tokens a request has, about: what its model would count is known to its maker only.
func Estimate(r Request) int {
	bytes := 0
	for _, s := range r.System {
		bytes += len(s)
	}
	for _, t := range r.Tools {
		bytes += len(t.Name) + len(t.Description) + len(t.Schema)
	}
	for _, m := range r.Messages {
		bytes += sizeOf(m.Content)
	}
	return (bytes + perToken - 1) / perToken
}

func sizeOf(blocks []Block) (bytes int) {
	for _, b := range blocks {
		bytes += len(b.Text)
		switch {
		case b.ToolUse != nil:
			bytes += len(b.ToolUse.Name) + len(b.ToolUse.Input)
		case b.ToolResult != nil:
			bytes += sizeOf(b.ToolResult.Content)
		case b.Reasoning != nil:
			bytes += len(b.Reasoning.Text)
		case b.Document != nil:
			bytes += len(b.Document.Bytes)
		case b.Image != nil:
			bytes += imageTokens * perToken
		}
	}
	return bytes
}

// imageTokens is what an image of a usual size counts, about. Source: Anthropic, vision, image costs.
const imageTokens = 1500
