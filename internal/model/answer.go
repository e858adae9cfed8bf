package model

import (
	"context"
	"encoding/json"
	"iter"
	"strings"
)

// Provider makes answers. Its methods may be called at once from many goroutines.
type Provider interface {
	// Answer starts to answer. An error before the first event, or in place of one, is coded: Invalid for
	// what the model cannot take, [TooLong] for what is more than it can read, Throttled, Unavailable,
	// AgentFailed for an answer that makes no sense. Events end with exactly one whose Stop is set.
	Answer(ctx context.Context, r Request) iter.Seq2[Event, error]
}

// Event is a piece of an answer: exactly one member is set. Pieces of one block follow each other; a
// piece of another kind, or the start of a tool's use, begins the next block.
type Event struct {
	Text      string     `json:"text,omitzero"`
	Reasoning *Reasoning `json:"reasoning,omitzero"`
	Tool      *ToolUse   `json:"tool,omitzero"`  // begins the use of a tool; its Input is nil
	Input     string     `json:"input,omitzero"` // more of the JSON of the input of the tool that is being used
	Stop      *Stop      `json:"stop,omitzero"`  // the end
}

// Stop ends an answer.
type Stop struct {
	Reason StopReason `json:"reason,omitzero"`
	Usage  Usage      `json:"usage,omitzero"`
	Model  string     `json:"model,omitzero"` // what answered, as its provider names it
}

// StopReason is why a model stopped.
type StopReason string

const (
	EndTurn         StopReason = "end_turn"
	UseTool         StopReason = "tool_use"
	OutOfTokens     StopReason = "max_tokens"
	StopSequence    StopReason = "stop_sequence"
	Filtered        StopReason = "content_filtered"
	MalformedTool   StopReason = "malformed_tool_use"
	ContextExceeded StopReason = "model_context_window_exceeded"
)

// Usage is in tokens.
type Usage struct {
	Input      int `json:"input,omitzero"`
	Output     int `json:"output,omitzero"`
	CacheRead  int `json:"cacheRead,omitzero"` // of the input
	CacheWrite int `json:"cacheWrite,omitzero"`
}

// Answer is a whole answer.
type Answer struct {
	Message Message
	Stop    Stop
}

// Collect waits for a whole answer.
func Collect(events iter.Seq2[Event, error]) (Answer, error) {
	c := collector{message: Message{Role: Assistant}}
	for e, err := range events {
		if err != nil {
			return Answer{}, err
		}
		c.add(e)
	}
	c.finishTool()
	return Answer{c.message, c.stop}, nil
}

// collector puts the pieces of an answer together.
type collector struct {
	message Message
	stop    Stop
	tool    *ToolUse // being used
	input   strings.Builder
}

func (c *collector) add(e Event) {
	if e.Input != "" {
		c.input.WriteString(e.Input)
		return
	}
	c.finishTool()
	switch {
	case e.Tool != nil:
		c.tool = e.Tool
	case e.Stop != nil:
		c.stop = *e.Stop
	case e.Reasoning != nil:
		c.think(*e.Reasoning)
	case e.Text != "":
		if last := c.last(); last != nil && last.Text != "" {
			last.Text += e.Text
			return
		}
		c.message.Content = append(c.message.Content, Block{Text: e.Text})
	}
}

// last is the block that a piece may belong to.
func (c *collector) last() *Block {
	if n := len(c.message.Content); n > 0 {
		return &c.message.Content[n-1]
	}
	return nil
}

func (c *collector) think(r Reasoning) {
	if last := c.last(); last != nil && last.Reasoning != nil && r.Redacted == nil && last.Reasoning.Redacted == nil {
		last.Reasoning.Text += r.Text
		last.Reasoning.Signature += r.Signature
		return
	}
	c.message.Content = append(c.message.Content, Block{Reasoning: &r})
}

func (c *collector) finishTool() {
	if c.tool == nil {
		return
	}
	use := *c.tool
	use.Input = Object(c.input.String())
	c.message.Content = append(c.message.Content, Block{ToolUse: &use})
	c.tool = nil
	c.input.Reset()
}

// Object is text if that is a JSON object, else an empty one: what a model makes up need not be JSON, and
// clients break on what is not.
func Object(text string) json.RawMessage {
	if json.Valid([]byte(text)) && strings.HasPrefix(strings.TrimSpace(text), "{") {
		return json.RawMessage(text)
	}
	return json.RawMessage("{}")
}
