package openai

import (
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"strings"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/model"
)

// Reply is what answers one request: its id, when it was made, and the model as the caller named it.
type Reply struct {
	ID      string
	Model   string
	Created time.Time
}

func (r Reply) completion(object string) completion {
	return completion{ID: r.ID, Object: object, Created: r.Created.Unix(), Model: r.Model, Choices: []choice{}}
}

// Whole writes a whole answer.
func (r Reply) Whole(a model.Answer) ([]byte, error) {
	m := message{Role: "assistant", Content: json.RawMessage("null")}
	if words := a.Message.Text(); words != "" {
		m.Content = text(words)
	}
	for _, b := range a.Message.Content {
		switch {
		case b.Reasoning != nil:
			m.Reasoning += b.Reasoning.Text
		case b.ToolUse != nil:
			m.ToolCalls = append(m.ToolCalls, toolCall{ID: b.ToolUse.ID, Type: "function", Function: called{b.ToolUse.Name, string(b.ToolUse.Input)}})
		}
	}
	out := r.completion("chat.completion")
	reason := finishOf(a.Stop.Reason)
	out.Choices = append(out.Choices, choice{Message: &m, FinishReason: &reason})
	out.Usage, out.Maker = usageOf(a.Stop.Usage), a.Stop.Model
	return json.Marshal(out)
}

func finishOf(reason model.StopReason) string {
	switch reason {
	case model.UseTool:
		return "tool_calls"
	case model.OutOfTokens, model.ContextExceeded:
		return "length"
	case model.Filtered:
		return "content_filter"
	}
	return "stop"
}

func usageOf(u model.Usage) *usage {
	return &usage{Prompt: u.Input, Completion: u.Output, Total: u.Input + u.Output, Details: &details{u.CacheRead}}
}

// Pieces writes an answer as it is made, each piece a JSON document. With usage the last says the tokens.
func (r Reply) Pieces(events iter.Seq2[model.Event, error], usage bool) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		p := pieces{reply: r, yield: yield}
		p.delta(delta{Role: "assistant", Content: new(string)})
		for e, err := range events {
			if err != nil {
				yield(nil, err)
				return
			}
			if p.event(e, usage); p.gone {
				return
			}
		}
	}
}

// pieces writes one answer.
type pieces struct {
	reply  Reply
	yield  func([]byte, error) bool
	gone   bool // the reader is
	tools  int
	silent bool // the tool that is being used has no input so far
}

func (p *pieces) send(c completion) {
	doc, err := json.Marshal(c)
	p.gone = p.gone || !p.yield(doc, err)
}

func (p *pieces) delta(d delta) {
	c := p.reply.completion("chat.completion.chunk")
	c.Choices = append(c.Choices, choice{Delta: &d})
	p.send(c)
}

func (p *pieces) event(e model.Event, usage bool) {
	if e.Input == "" {
		p.finishTool()
	}
	switch {
	case e.Stop != nil:
		p.stop(*e.Stop, usage)
	case e.Tool != nil:
		p.tools++
		p.silent = true
		p.call(toolCall{ID: e.Tool.ID, Type: "function", Function: called{Name: e.Tool.Name}})
	case e.Input != "":
		p.silent = false
		p.call(toolCall{Function: called{Arguments: e.Input}})
	case e.Reasoning != nil:
		p.delta(delta{Reasoning: e.Reasoning.Text})
	default:
		p.delta(delta{Content: &e.Text})
	}
}

func (p *pieces) call(c toolCall) {
	index := p.tools - 1
	c.Index = &index
	p.delta(delta{ToolCalls: []toolCall{c}})
}

// finishTool gives a tool that takes nothing the empty object that clients parse.
func (p *pieces) finishTool() {
	if p.silent {
		p.silent = false
		p.call(toolCall{Function: called{Arguments: "{}"}})
	}
}

func (p *pieces) stop(s model.Stop, usage bool) {
	reason := finishOf(s.Reason)
	c := p.reply.completion("chat.completion.chunk")
	c.Choices, c.Maker = append(c.Choices, choice{Delta: &delta{}, FinishReason: &reason}), s.Model
	p.send(c)
	if usage {
		c := p.reply.completion("chat.completion.chunk")
		c.Usage = usageOf(s.Usage)
		p.send(c)
	}
}

// refusals are how codes are told. Source: OpenAI API reference, error codes.
var refusals = map[moorage.Code]struct {
	status     int
	kind, code string
}{
	moorage.Invalid:         {http.StatusBadRequest, "invalid_request_error", ""},
	moorage.Unsupported:     {http.StatusBadRequest, "invalid_request_error", "unsupported_value"},
	moorage.Unauthenticated: {http.StatusUnauthorized, "invalid_request_error", "invalid_api_key"},
	moorage.Denied:          {http.StatusForbidden, "invalid_request_error", ""},
	moorage.NotFound:        {http.StatusNotFound, "invalid_request_error", "model_not_found"},
	moorage.Throttled:       {http.StatusTooManyRequests, "rate_limit_error", "rate_limit_exceeded"},
	moorage.Quota:           {http.StatusTooManyRequests, "insufficient_quota", "insufficient_quota"},
	moorage.AgentFailed:     {http.StatusBadGateway, "server_error", ""},
	moorage.Unavailable:     {http.StatusServiceUnavailable, "server_error", ""},
}

// Refuse writes an error: its status, and a body that is also what an error in a stream looks like. An error
// without a code is not told.
func Refuse(err error) (status int, doc []byte) {
	var coded *moorage.Error
	row, known := refusals[moorage.CodeOf(err)]
	var f failure
	if known && errors.As(err, &coded) {
		f.Error.Message, f.Error.Type, f.Error.Code = coded.Message, row.kind, row.code
	} else {
		row.status = http.StatusInternalServerError
		f.Error.Message, f.Error.Type = "an internal error occurred; the cause is in the server's log under this request's id", "server_error"
	}
	if strings.HasPrefix(f.Error.Message, "Input is too long") {
		f.Error.Code = "context_length_exceeded" // which clients shorten their conversation by
	}
	doc, _ = json.Marshal(f) // texts always can be
	return row.status, doc
}

// entry is one model of a list.
type entry struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

// Models writes the list of models by name, with the providers that answer for them.
func Models(names, providers []string) []byte {
	data := []entry{}
	for i, name := range names {
		data = append(data, entry{ID: name, Object: "model", OwnedBy: providers[i]})
	}
	doc, _ := json.Marshal(struct { // texts always can be
		Object string  `json:"object"`
		Data   []entry `json:"data"`
	}{"list", data})
	return doc
}

// OneModel writes what is known of one model.
func OneModel(name, provider string) []byte {
	doc, _ := json.Marshal(entry{ID: name, Object: "model", OwnedBy: provider}) // texts always can be
	return doc
}
