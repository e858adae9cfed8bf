package openai

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/moorage-dev/moorage/internal/model"
)

// body writes a request for a server.
func body(r model.Request) ([]byte, error) {
	out := request{
		Model: r.Model, MaxTokens: r.MaxTokens, Temperature: r.Temperature, TopP: r.TopP,
		Stream: true, StreamOptions: &streamOptions{IncludeUsage: true},
	}
	if len(r.System) > 0 {
		out.Messages = append(out.Messages, message{Role: "system", Content: text(strings.Join(r.System, "\n\n"))})
	}
	for _, m := range r.Messages {
		more, err := turns(m)
		if err != nil {
			return nil, err
		}
		out.Messages = append(out.Messages, more...)
	}
	for _, t := range r.Tools {
		out.Tools = append(out.Tools, tool{"function", function{t.Name, t.Description, t.Schema, t.Strict}})
	}
	if len(r.Stop) > 0 {
		out.Stop, _ = json.Marshal(r.Stop)
	}
	out.ToolChoice = choiceOf(r.Choice)
	doc, err := json.Marshal(out)
	if err != nil {
		return nil, err
	}
	if doc, err = model.Merge(doc, r.OpenAI); err != nil {
		return nil, err
	}
	return model.Merge(doc, r.Extra)
}

func text(words string) json.RawMessage {
	doc, _ := json.Marshal(words) // a string always can be
	return doc
}

func choiceOf(c model.Choice) json.RawMessage {
	switch {
	case c.Name != "":
		doc, _ := json.Marshal(tool{"function", function{Name: c.Name}})
		return doc
	case c.Any:
		return json.RawMessage(`"required"`)
	}
	return nil
}

// turns writes one message: the results of tools are messages of their own, before what else it says.
func turns(m model.Message) (out []message, err error) {
	rest := message{Role: string(m.Role)}
	var parts []part
	for _, b := range m.Content {
		switch {
		case b.ToolResult != nil:
			words, images, err := resultOf(*b.ToolResult)
			if err != nil {
				return nil, err
			}
			out = append(out, message{Role: "tool", ToolCallID: b.ToolResult.ID, Content: text(words)})
			parts = append(parts, images...)
		case b.ToolUse != nil:
			rest.ToolCalls = append(rest.ToolCalls, toolCall{ID: b.ToolUse.ID, Type: "function", Function: called{b.ToolUse.Name, string(b.ToolUse.Input)}})
		case b.Image != nil:
			parts = append(parts, imagePart(*b.Image))
		case b.Document != nil:
			words, err := b.Document.Words()
			if err != nil {
				return nil, err
			}
			parts = append(parts, part{Type: "text", Text: words})
		case b.Text != "":
			parts = append(parts, part{Type: "text", Text: b.Text})
		}
	}
	if len(parts) > 0 {
		rest.Content, err = content(parts)
	}
	if rest.Content != nil || rest.ToolCalls != nil {
		out = append(out, rest)
	}
	return out, err
}

// content is one text where there is nothing else: not all servers read parts.
func content(parts []part) (json.RawMessage, error) {
	var words []string
	for _, p := range parts {
		if p.ImageURL != nil {
			return json.Marshal(parts)
		}
		words = append(words, p.Text)
	}
	return text(strings.Join(words, "\n")), nil
}

func imagePart(m model.Media) part {
	return part{Type: "image_url", ImageURL: &imageURL{"data:image/" + m.Format + ";base64," + base64.StdEncoding.EncodeToString(m.Bytes)}}
}

// resultOf writes what a tool answered. The form has words only there: images follow in the user's own message.
func resultOf(r model.ToolResult) (words string, images []part, err error) {
	var said []string
	for _, b := range r.Content {
		switch {
		case b.Image != nil:
			said = append(said, "[an image, which follows]")
			images = append(images, imagePart(*b.Image))
		case b.Document != nil:
			text, err := b.Document.Words()
			if err != nil {
				return "", nil, err
			}
			said = append(said, text)
		case b.Text != "":
			said = append(said, b.Text)
		}
	}
	words = strings.Join(said, "\n")
	if r.Failed {
		words = "Error: " + words
	}
	return words, images, nil
}
