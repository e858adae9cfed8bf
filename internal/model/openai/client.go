package openai

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"strings"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/model"
)

// Client asks a server that speaks OpenAI's chat completions: OpenAI, Ollama, llama-server, vLLM.
type Client struct {
	URL  string // up to the version: https://api.openai.com/v1
	Key  string // none where the server wants none
	HTTP *http.Client
}

var _ model.Provider = (*Client)(nil)

const maxLine = 4 << 20 // bytes of one event

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
		p := parser{model: r.Model, estimate: model.Estimate(r)}
		lines := bufio.NewScanner(reply)
		lines.Buffer(nil, maxLine)
		for lines.Scan() {
			heard()
			data, ok := strings.CutPrefix(lines.Text(), "data:")
			if !ok {
				continue
			}
			events, err := p.take(strings.TrimSpace(data))
			for _, e := range events {
				if !yield(e, nil) {
					return
				}
			}
			if err != nil {
				yield(model.Event{}, err)
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(model.Event{}, model.Cause(ctx, model.Again(&moorage.Error{Code: moorage.Unavailable, Message: "the model's provider broke off its answer", Err: err})))
			return
		}
		for _, e := range p.end() {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (c *Client) post(ctx context.Context, r model.Request) (io.ReadCloser, error) {
	doc, err := body(r)
	if err != nil {
		return nil, err
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(c.URL, "/")+"/chat/completions", bytes.NewReader(doc))
	if err != nil {
		return nil, err
	}
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("Accept", "text/event-stream")
	if c.Key != "" {
		q.Header.Set("Authorization", "Bearer "+c.Key)
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
	var f failure
	_ = json.Unmarshal(said, &f) // what is no JSON has no message
	return nil, model.Refused(r.Model, reply.StatusCode, reply.Header, f.Error.Message)
}

// parser reads a streamed answer.
type parser struct {
	model    string
	estimate int // of the request, in tokens, for servers that do not count
	reason   string
	used     *usage
	bytes    int // of the answer
	tool     int // index of the call that is being written, from 1
	toolID   string
	done     bool // the server said so
}

// take reads one event's data.
func (p *parser) take(data string) (out []model.Event, err error) {
	if p.done = p.done || data == "[DONE]"; p.done || data == "" {
		return nil, nil
	}
	var c struct {
		completion
		failure
	}
	if err := json.Unmarshal([]byte(data), &c); err != nil {
		return nil, &moorage.Error{Code: moorage.AgentFailed, Message: "the model's provider answered with what is no JSON", Err: err}
	}
	if c.Error.Message != "" {
		return nil, model.Refused(p.model, http.StatusBadGateway, nil, c.Error.Message)
	}
	if c.Usage != nil {
		p.used = c.Usage
	}
	for _, choice := range c.Choices {
		if choice.Index != 0 || choice.Delta == nil {
			continue
		}
		events, err := p.delta(*choice.Delta)
		if out = append(out, events...); err != nil {
			return out, err
		}
		if choice.FinishReason != nil && *choice.FinishReason != "" {
			p.reason = *choice.FinishReason
		}
	}
	return out, nil
}

func (p *parser) delta(d delta) (out []model.Event, err error) {
	if d.Reasoning != "" {
		out = append(out, model.Event{Reasoning: &model.Reasoning{Text: d.Reasoning}})
	}
	if d.Content != nil && *d.Content != "" {
		p.bytes += len(*d.Content)
		out = append(out, model.Event{Text: *d.Content})
	}
	if d.Refusal != "" {
		p.bytes += len(d.Refusal)
		out = append(out, model.Event{Text: d.Refusal})
	}
	for _, call := range d.ToolCalls {
		index := max(p.tool, 1) // of servers that do not say
		if call.Index != nil {
			index = *call.Index + 1
		}
		another := index != p.tool || call.ID != "" && call.ID != p.toolID // some servers number all of them 0
		if another && call.Function.Name != "" {
			p.tool, p.toolID = index, call.ID
			out = append(out, model.Event{Tool: &model.ToolUse{ID: model.ToolID(call.ID), Name: call.Function.Name}})
		}
		if call.Function.Arguments != "" && p.tool != index {
			return out, moorage.Errorf(moorage.AgentFailed, "the model's provider writes several calls of tools at a time, or one without a name")
		}
		if call.Function.Arguments != "" {
			p.bytes += len(call.Function.Arguments)
			out = append(out, model.Event{Input: call.Function.Arguments})
		}
	}
	return out, nil
}

// end closes an answer whose provider said that it ended, or why.
func (p *parser) end() []model.Event {
	if said := p.bytes > 0 || p.tool > 0; p.reason == "" && !(p.done && said) {
		return nil // it was broken off
	}
	reason := model.StopReason(finishes[p.reason])
	if reason == "" || p.tool > 0 && reason == model.EndTurn {
		reason = model.EndTurn
		if p.tool > 0 {
			reason = model.UseTool
		}
	}
	stop := model.Stop{Reason: reason, Model: p.model, Usage: model.Usage{Input: p.estimate, Output: (p.bytes + 3) / 4}}
	if u := p.used; u != nil {
		stop.Usage = model.Usage{Input: u.Prompt, Output: u.Completion}
		if u.Details != nil {
			stop.Usage.CacheRead = u.Details.Cached
		}
	}
	return []model.Event{{Stop: &stop}}
}
