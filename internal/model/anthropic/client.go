package anthropic

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"strings"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/model"
)

// Client asks Anthropic's own server. Tested against recorded answers only: nobody reaches it from a test.
type Client struct {
	URL  string // default https://api.anthropic.com/v1
	Key  string
	HTTP *http.Client
}

var _ model.Provider = (*Client)(nil)

const (
	defaultURL = "https://api.anthropic.com/v1"
	version    = "2023-06-01" // of the API. Source: Anthropic API reference, versions
	maxLine    = 4 << 20      // bytes of one event
	maxTokens  = 4096         // where the caller sets no limit, and the API wants one
)

// Answer implements [model.Provider].
func (c *Client) Answer(ctx context.Context, r model.Request) iter.Seq2[model.Event, error] {
	return func(yield func(model.Event, error) bool) {
		ctx, heard, done := model.Impatient(ctx)
		defer done()
		reply, err := c.post(ctx, r)
		if err != nil {
			yield(model.Event{}, model.Cause(ctx, err))
			return
		}
		defer reply.Close()
		p := parser{model: r.Model}
		lines := bufio.NewScanner(reply)
		lines.Buffer(nil, maxLine)
		for lines.Scan() {
			heard()
			data, ok := strings.CutPrefix(lines.Text(), "data:")
			if !ok {
				continue
			}
			event, err := p.take([]byte(data))
			if event == nil && err == nil {
				continue
			}
			if event == nil {
				event = &model.Event{}
			}
			if !yield(*event, err) || err != nil {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(model.Event{}, model.Cause(ctx, model.Again(&moorage.Error{Code: moorage.Unavailable, Message: "the model's provider broke off its answer", Err: err})))
		}
	}
}

func (c *Client) post(ctx context.Context, r model.Request) (io.ReadCloser, error) {
	if err := r.WordsOnly(); err != nil {
		return nil, err
	}
	extra, betas, err := takeBetas(r.Extra)
	if err != nil {
		return nil, err
	}
	in, err := requestOf(r)
	if err != nil {
		return nil, err
	}
	doc, err := json.Marshal(in)
	if err == nil {
		doc, err = model.Merge(doc, extra)
	}
	if err != nil {
		return nil, err
	}
	url := strings.TrimSuffix(c.URL, "/")
	if url == "" {
		url = defaultURL
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/messages", bytes.NewReader(doc))
	if err != nil {
		return nil, err
	}
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("Anthropic-Version", version)
	q.Header.Set("X-Api-Key", c.Key)
	if len(betas) > 0 {
		q.Header.Set("Anthropic-Beta", strings.Join(betas, ","))
	}
	reply, err := c.HTTP.Do(q)
	if err != nil {
		return nil, model.Again(&moorage.Error{Code: moorage.Unavailable, Message: "the model's provider does not answer", Err: err})
	}
	if reply.StatusCode == http.StatusOK {
		return reply.Body, nil
	}
	defer reply.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(reply.Body, 64<<10))
	var e event
	if json.Unmarshal(said, &e) != nil || e.Error == nil {
		e.Error = &errorBody{}
	}
	return nil, model.Refused(r.Model, reply.StatusCode, reply.Header, e.Error.Message)
}

// takeBetas takes the names of features in test out of the settings: they stand in the body on Bedrock, and here in a header.
func takeBetas(extra json.RawMessage) (rest json.RawMessage, betas []string, err error) {
	all := map[string]json.RawMessage{}
	if json.Unmarshal(extra, &all) != nil || all[betaSetting] == nil {
		return extra, nil, nil
	}
	if err := json.Unmarshal(all[betaSetting], &betas); err != nil {
		return nil, nil, &moorage.Error{Code: moorage.Invalid, Message: betaSetting + " is a list of names", Err: err}
	}
	delete(all, betaSetting)
	rest, err = json.Marshal(all)
	return rest, betas, err
}

// requestOf writes a request for the server.
func requestOf(r model.Request) (request, error) {
	out := request{
		Model: r.Model, MaxTokens: r.MaxTokens, Temperature: r.Temperature, TopP: r.TopP, Stop: r.Stop, Stream: true,
	}
	if out.MaxTokens == 0 {
		out.MaxTokens = maxTokens
	}
	if len(r.System) > 0 {
		out.System, _ = json.Marshal(strings.Join(r.System, "\n\n"))
	}
	for _, m := range r.Messages {
		content, err := written(m.Content)
		if err != nil {
			return out, err
		}
		out.Messages = append(out.Messages, message{m.Role, content})
	}
	for _, t := range r.Tools {
		out.Tools = append(out.Tools, tool{Name: t.Name, Description: t.Description, Schema: t.Schema, Strict: t.Strict})
	}
	switch {
	case r.Choice.Name != "":
		out.ToolChoice = &choice{"tool", r.Choice.Name}
	case r.Choice.Any:
		out.ToolChoice = &choice{Type: "any"}
	}
	return out, nil
}

// written writes what users and tools may say, too.
func written(content []model.Block) (json.RawMessage, error) {
	var out []block
	for _, b := range content {
		switch {
		case b.ToolResult != nil:
			inner, err := written(b.ToolResult.Content)
			if err != nil {
				return nil, err
			}
			out = append(out, block{Type: "tool_result", ToolUseID: b.ToolResult.ID, Content: inner, IsError: b.ToolResult.Failed})
		case b.Image != nil:
			out = append(out, block{Type: "image", Source: &source{"base64", "image/" + b.Image.Format, base64.StdEncoding.EncodeToString(b.Image.Bytes)}})
		case b.Document != nil && b.Document.Format == "pdf":
			out = append(out, block{Type: "document", Title: b.Document.Name, Source: &source{"base64", "application/pdf", base64.StdEncoding.EncodeToString(b.Document.Bytes)}})
		case b.Document != nil:
			words, err := model.Media{Format: b.Document.Format, Bytes: b.Document.Bytes}.Words() // its name is the title
			if err != nil {
				return nil, err
			}
			out = append(out, block{Type: "document", Title: b.Document.Name, Source: &source{"text", "text/plain", words}})
		default:
			out = append(out, blockOf(b))
		}
	}
	return json.Marshal(out)
}

// parser reads a streamed answer.
type parser struct {
	model string
	used  usage
}

// take reads one event; nil is one that says nothing that we hand on.
func (p *parser) take(data []byte) (*model.Event, error) {
	var e event
	if err := json.Unmarshal(data, &e); err != nil {
		return nil, &moorage.Error{Code: moorage.AgentFailed, Message: "the model's provider answered with what is no JSON", Err: err}
	}
	switch {
	case e.Error != nil:
		return nil, failureOf(p.model, *e.Error)
	case e.Message != nil:
		p.used, p.model = e.Message.Usage, e.Message.Model
	case e.Block != nil && e.Block.Type == "tool_use":
		return &model.Event{Tool: &model.ToolUse{ID: model.ToolID(e.Block.ID), Name: e.Block.Name}}, nil
	case e.Block != nil && e.Block.Type == "redacted_thinking":
		return &model.Event{Reasoning: &model.Reasoning{Redacted: e.Block.Data}}, nil
	case e.Delta != nil && e.Delta.StopReason != nil:
		return p.stop(e), nil
	case e.Delta != nil:
		return e.Delta.event(), nil
	}
	return nil, nil
}

func (d delta) event() *model.Event {
	switch {
	case d.Text != "":
		return &model.Event{Text: d.Text}
	case d.PartialJSON != nil && *d.PartialJSON != "":
		return &model.Event{Input: *d.PartialJSON}
	case d.Thinking != "" || d.Signature != "":
		return &model.Event{Reasoning: &model.Reasoning{Text: d.Thinking, Signature: d.Signature}}
	}
	return nil
}

func (p *parser) stop(e event) *model.Event {
	if e.Usage != nil {
		p.used.Output = e.Usage.Output
	}
	reason := model.StopReason(*e.Delta.StopReason) // the words are the same
	if reason == "refusal" {
		reason = model.Filtered
	}
	return &model.Event{Stop: &model.Stop{Reason: reason, Model: p.model, Usage: model.Usage{
		Input: p.used.Input, Output: p.used.Output, CacheRead: p.used.CacheRead, CacheWrite: p.used.CacheWrite,
	}}}
}

// failureOf is an error in the middle of an answer, which has no status.
func failureOf(id string, e errorBody) error {
	status := http.StatusBadGateway
	if e.Type == "rate_limit_error" || e.Type == "overloaded_error" {
		status = http.StatusTooManyRequests
	}
	return model.Refused(id, status, nil, e.Message)
}
