package anthropic

import (
	"encoding/json"
	"iter"

	"github.com/moorage-dev/moorage/internal/model"
)

// Write writes a whole answer.
func Write(id string, a model.Answer) ([]byte, error) {
	reason := string(a.Stop.Reason)
	out := answer{ID: id, Type: "message", Role: "assistant", Model: a.Stop.Model, Content: []block{}, StopReason: &reason, Usage: usageOf(a.Stop.Usage)}
	for _, b := range a.Message.Content {
		out.Content = append(out.Content, blockOf(b))
	}
	return json.Marshal(out)
}

func usageOf(u model.Usage) usage {
	return usage{Input: u.Input, Output: u.Output, CacheRead: u.CacheRead, CacheWrite: u.CacheWrite}
}

// blockOf writes what a model may say.
func blockOf(b model.Block) block {
	switch {
	case b.ToolUse != nil:
		return block{Type: "tool_use", ID: b.ToolUse.ID, Name: b.ToolUse.Name, Input: b.ToolUse.Input}
	case b.Reasoning != nil && b.Reasoning.Redacted != nil:
		return block{Type: "redacted_thinking", Data: b.Reasoning.Redacted}
	case b.Reasoning != nil:
		return block{Type: "thinking", Thinking: b.Reasoning.Text, Signature: b.Reasoning.Signature}
	}
	return block{Type: "text", Text: &b.Text}
}

func value(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// Stream writes an answer as events, each a JSON document.
func Stream(id string, events iter.Seq2[model.Event, error]) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		s := streamer{yield: yield, index: -1}
		s.send(event{Type: "message_start", Message: &answer{ID: id, Type: "message", Role: "assistant", Content: []block{}}})
		for e, err := range events {
			if err != nil {
				yield(nil, err)
				return
			}
			if s.event(e); s.gone {
				return
			}
		}
	}
}

type streamer struct {
	yield func([]byte, error) bool
	gone  bool   // the reader is
	open  string // the type of the block that is being written
	index int
}

func (s *streamer) send(e event) {
	doc, err := json.Marshal(e)
	s.gone = s.gone || !s.yield(doc, err)
}

func (s *streamer) event(e model.Event) {
	switch {
	case e.Stop != nil:
		s.close()
		reason, used := string(e.Stop.Reason), usageOf(e.Stop.Usage)
		s.send(event{Type: "message_delta", Delta: &delta{StopReason: &reason}, Usage: &used})
		s.send(event{Type: "message_stop"})
	case e.Tool != nil:
		s.start(block{Type: "tool_use", ID: e.Tool.ID, Name: e.Tool.Name, Input: json.RawMessage("{}")})
	case e.Input != "":
		s.delta(delta{Type: "input_json_delta", PartialJSON: &e.Input})
	case e.Reasoning != nil && e.Reasoning.Redacted != nil:
		s.start(block{Type: "redacted_thinking", Data: e.Reasoning.Redacted})
	case e.Reasoning != nil:
		s.think(*e.Reasoning)
	default:
		s.within("text")
		s.delta(delta{Type: "text_delta", Text: e.Text})
	}
}

func (s *streamer) think(r model.Reasoning) {
	s.within("thinking")
	if r.Text != "" {
		s.delta(delta{Type: "thinking_delta", Thinking: r.Text})
	}
	if r.Signature != "" {
		s.delta(delta{Type: "signature_delta", Signature: r.Signature})
	}
}

// within begins a block of that type unless one is being written.
func (s *streamer) within(kind string) {
	if s.open == kind {
		return
	}
	b := block{Type: kind}
	if kind == "text" {
		b.Text = new("")
	}
	s.start(b)
}

func (s *streamer) start(b block) {
	s.close()
	s.open, s.index = b.Type, s.index+1
	s.send(event{Type: "content_block_start", Index: new(s.index), Block: &b})
}

func (s *streamer) close() {
	if s.open != "" {
		s.send(event{Type: "content_block_stop", Index: new(s.index)})
	}
	s.open = ""
}

func (s *streamer) delta(d delta) {
	s.send(event{Type: "content_block_delta", Index: new(s.index), Delta: &d})
}
