package openai

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/model"
)

// Asked is a caller's request, and how it wants its answer.
type Asked struct {
	Request model.Request
	Stream  bool
	Usage   bool // in a stream's last piece, too
}

// Read reads a caller's request. What the form has beyond Converse's terms, such as response_format, is
// kept for providers that speak the same form.
func Read(body []byte) (Asked, error) {
	var in request
	extra := map[string]json.RawMessage{}
	if err := json.Unmarshal(body, &in); err == nil {
		err = json.Unmarshal(body, &extra)
	} else {
		return Asked{}, &moorage.Error{Code: moorage.Invalid, Message: "the body is not a request for a chat completion", Err: err}
	}
	switch {
	case in.Model == "":
		return Asked{}, moorage.Errorf(moorage.Invalid, "model: say which")
	case len(in.Messages) == 0:
		return Asked{}, moorage.Errorf(moorage.Invalid, "messages: a conversation has at least one message")
	case in.N > 1:
		return Asked{}, moorage.Errorf(moorage.Unsupported, "n: one answer is made for one request")
	}
	r := model.Request{Model: in.Model, MaxTokens: max(in.MaxTokens, in.MaxCompletionTokens), Temperature: in.Temperature, TopP: in.TopP, Stop: stops(in.Stop), OpenAI: beyond(extra)}
	for i, m := range in.Messages {
		if err := m.read(&r); err != nil {
			return Asked{}, moorage.Errorf(moorage.Invalid, "messages.%d: %w", i, err)
		}
	}
	if len(r.Messages) == 0 {
		return Asked{}, moorage.Errorf(moorage.Invalid, "messages: the user says nothing")
	}
	if err := offer(&r, in); err != nil {
		return Asked{}, err
	}
	return Asked{r, in.Stream, in.StreamOptions != nil && in.StreamOptions.IncludeUsage}, r.CheckTools()
}

// ours are the members that Converse's terms have words for.
var ours = []string{"model", "messages", "tools", "tool_choice", "max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "stream", "stream_options", "n"}

func beyond(all map[string]json.RawMessage) json.RawMessage {
	for _, name := range ours {
		delete(all, name)
	}
	if len(all) == 0 {
		return nil
	}
	doc, _ := json.Marshal(all) // it was JSON before
	return doc
}

// stops reads a text or a list of them.
func stops(raw json.RawMessage) (out []string) {
	var one string
	if json.Unmarshal(raw, &one) == nil && one != "" {
		return []string{one}
	}
	_ = json.Unmarshal(raw, &out) // null, or left out
	return out
}

func offer(r *model.Request, in request) error {
	for _, t := range in.Tools {
		if t.Type != "function" {
			return moorage.Errorf(moorage.Unsupported, "tools: only functions are supported, not %q", t.Type)
		}
		if len(t.Function.Parameters) == 0 {
			t.Function.Parameters = json.RawMessage(`{"type":"object"}`)
		}
		r.Tools = append(r.Tools, model.Tool{Name: t.Function.Name, Description: t.Function.Description, Schema: t.Function.Parameters, Strict: t.Function.Strict})
	}
	var word string
	var named tool
	switch {
	case len(in.ToolChoice) == 0 || string(in.ToolChoice) == "null":
	case json.Unmarshal(in.ToolChoice, &word) == nil:
		r.Choice.Any = word == "required"
		if word == "none" {
			r.Tools = nil
		}
	case json.Unmarshal(in.ToolChoice, &named) == nil && named.Function.Name != "":
		r.Choice.Name = named.Function.Name
	default:
		return moorage.Errorf(moorage.Invalid, "tool_choice is none, auto, required or a function by its name")
	}
	return nil
}

// read adds a message. Those of one role that follow each other are one turn, as results of tools are the user's.
func (m message) read(r *model.Request) error {
	content, err := contentOf(m.Content)
	if err != nil {
		return err
	}
	switch m.Role {
	case "system", "developer":
		r.System = append(r.System, model.Message{Content: content}.Text())
		return nil
	case "user":
	case "assistant":
		if m.Reasoning != "" {
			content = append([]model.Block{{Reasoning: &model.Reasoning{Text: m.Reasoning}}}, content...)
		}
		for _, c := range m.ToolCalls {
			content = append(content, model.Block{ToolUse: &model.ToolUse{ID: c.ID, Name: c.Function.Name, Input: model.Object(c.Function.Arguments)}})
		}
	case "tool":
		content = []model.Block{{ToolResult: &model.ToolResult{ID: m.ToolCallID, Content: content}}}
	default:
		return moorage.Errorf(moorage.Invalid, "the role %q is not known: system, developer, user, assistant or tool", m.Role)
	}
	role := model.User
	if m.Role == "assistant" {
		role = model.Assistant
	}
	if n := len(r.Messages); n > 0 && r.Messages[n-1].Role == role {
		r.Messages[n-1].Content = append(r.Messages[n-1].Content, content...)
		return nil
	}
	if len(content) > 0 {
		r.Messages = append(r.Messages, model.Message{Role: role, Content: content})
	}
	return nil
}

// contentOf reads a text, parts or null.
func contentOf(raw json.RawMessage) (out []model.Block, err error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var words string
	if json.Unmarshal(raw, &words) == nil {
		return []model.Block{{Text: words}}, nil
	}
	var parts []part
	if err := json.Unmarshal(raw, &parts); err != nil {
		return nil, moorage.Errorf(moorage.Invalid, "content is neither a text nor a list of parts")
	}
	for _, p := range parts {
		switch {
		case p.Type == "text":
			out = append(out, model.Block{Text: p.Text})
		case p.Type == "image_url" && p.ImageURL != nil:
			image, err := imageOf(p.ImageURL.URL)
			if err != nil {
				return nil, err
			}
			out = append(out, model.Block{Image: image})
		default:
			return nil, moorage.Errorf(moorage.Unsupported, "content of type %q is not supported: send text and images", p.Type)
		}
	}
	return out, nil
}

// imageOf reads an image that is in its own address: nothing is fetched for a caller.
func imageOf(url string) (*model.Media, error) {
	format, data, ok := strings.Cut(strings.TrimPrefix(url, "data:image/"), ";base64,")
	if !ok || !strings.HasPrefix(url, "data:image/") {
		return nil, moorage.Errorf(moorage.Unsupported, "an image comes in the request, as data:image/png;base64,…; addresses elsewhere are not fetched")
	}
	raw, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		return nil, moorage.Errorf(moorage.Invalid, "the image is not in base64")
	}
	if format == "jpg" {
		format = "jpeg"
	}
	return &model.Media{Format: format, Bytes: raw}, nil
}
