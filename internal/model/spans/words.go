package spans

import (
	"encoding/json"
	"fmt"

	"github.com/moorage-dev/moorage/internal/model"
)

// The words of a call, in the form that OpenTelemetry's conventions give them.

type message struct {
	Role  string `json:"role"`
	Parts []part `json:"parts"`
}

type part struct {
	Type      string          `json:"type"`
	Content   string          `json:"content,omitempty"`
	ID        string          `json:"id,omitempty"`
	Name      string          `json:"name,omitempty"`
	Arguments json.RawMessage `json:"arguments,omitempty"`
	Response  any             `json:"response,omitempty"`
}

func instructions(system []string) (out []part) {
	for _, s := range system {
		out = append(out, part{Type: "text", Content: s})
	}
	return out
}

func messages(all []model.Message) (out []message) {
	for _, m := range all {
		if len(m.Content) > 0 {
			out = append(out, message{string(m.Role), parts(m.Content)})
		}
	}
	return out
}

func parts(content []model.Block) (out []part) {
	for _, b := range content {
		switch {
		case b.ToolUse != nil:
			out = append(out, part{Type: "tool_call", ID: b.ToolUse.ID, Name: b.ToolUse.Name, Arguments: b.ToolUse.Input})
		case b.ToolResult != nil:
			out = append(out, part{Type: "tool_call_response", ID: b.ToolResult.ID, Response: b.ToolResult.Text()})
		case b.Reasoning != nil:
			out = append(out, part{Type: "reasoning", Content: b.Reasoning.Text})
		case b.Image != nil:
			out = append(out, part{Type: "text", Content: fmt.Sprintf("[%s image, %d bytes]", b.Image.Format, len(b.Image.Bytes))})
		case b.Document != nil:
			out = append(out, part{Type: "text", Content: fmt.Sprintf("[%s document %s, %d bytes]", b.Document.Format, b.Document.Name, len(b.Document.Bytes))})
		default:
			out = append(out, part{Type: "text", Content: b.Text})
		}
	}
	return out
}
