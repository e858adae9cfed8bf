// Package script is a provider that plays answers from a file: for tests of agents, and of what an agent
// does when its model throttles, stalls, breaks off or makes no sense.
//
// The file is a list. The first entry that matches a request answers it:
//
//   - match: weather            # words in the last message; without it, any request
//     after: lookup             # only when that tool has answered last
//     answer:
//   - text: "Let me see. "
//   - wait: 200ms
//   - tool: {name: lookup, input: {city: Oslo}}
//   - match: overload
//     answer:
//   - error: throttled        # throttled, unavailable, invalid, too_long or failed
//     message: slow down
//
// Further steps are reasoning: TEXT, tool: {name: N, raw: 'text that need not be JSON'}, break: true, which
// ends the answer in its middle, and stop: REASON. An answer that says nothing of its end stops at
// tool_use after a tool, and at end_turn.
package script

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/model"
)

// Script is what a file says. Make one with [Load].
type Script struct {
	entries []entry
}

var _ model.Provider = (*Script)(nil)

type entry struct {
	Match  string `yaml:"match"`
	After  string `yaml:"after"`
	Answer []step `yaml:"answer"`
}

type step struct {
	Text      string        `yaml:"text"`
	Reasoning string        `yaml:"reasoning"`
	Wait      time.Duration `yaml:"wait"`
	Tool      *use          `yaml:"tool"`
	Error     string        `yaml:"error"`
	Message   string        `yaml:"message"`
	Break     bool          `yaml:"break"`
	Stop      string        `yaml:"stop"`
}

type use struct {
	Name  string         `yaml:"name"`
	Input map[string]any `yaml:"input"`
	Raw   string         `yaml:"raw"`
}

// Load reads a file.
func Load(file string) (*Script, error) {
	doc, err := os.ReadFile(file)
	if err != nil {
		return nil, &moorage.Error{Code: moorage.Invalid, Message: "the script of the model cannot be read", Err: err}
	}
	s := &Script{}
	if err := yaml.Unmarshal(doc, &s.entries); err != nil {
		return nil, moorage.Errorf(moorage.Invalid, "the script of the model is not as it should be: %w", err)
	}
	return s, nil
}

// Answer implements [model.Provider].
func (s *Script) Answer(ctx context.Context, r model.Request) iter.Seq2[model.Event, error] {
	return func(yield func(model.Event, error) bool) {
		e, err := s.find(r)
		if err != nil {
			yield(model.Event{}, err)
			return
		}
		p := player{ctx: ctx, request: r, yield: yield}
		for _, step := range e.Answer {
			if !p.play(step) {
				return
			}
		}
		p.stop(p.reason())
	}
}

func (s *Script) find(r model.Request) (entry, error) {
	words, tool := last(r)
	for _, e := range s.entries {
		if strings.Contains(words, e.Match) && (e.After == "" || e.After == tool) {
			return e, nil
		}
	}
	return entry{}, moorage.Errorf(moorage.NotFound, "no entry of the script answers this request")
}

// last is what the last message says, and the tool whose answer is in it.
func last(r model.Request) (words, tool string) {
	if len(r.Messages) == 0 {
		return "", ""
	}
	m := r.Messages[len(r.Messages)-1]
	words = m.Text()
	for _, b := range m.Content {
		if b.ToolResult != nil {
			words += b.ToolResult.Text()
			tool = nameOf(r, b.ToolResult.ID)
		}
	}
	return words, tool
}

func nameOf(r model.Request, id string) string {
	for _, m := range r.Messages {
		for _, b := range m.Content {
			if b.ToolUse != nil && b.ToolUse.ID == id {
				return b.ToolUse.Name
			}
		}
	}
	return ""
}

// player plays one answer.
type player struct {
	ctx     context.Context
	request model.Request
	yield   func(model.Event, error) bool
	tools   int
	bytes   int
}

// play reports whether the answer goes on.
func (p *player) play(s step) bool {
	switch {
	case s.Wait > 0:
		return p.wait(s.Wait)
	case s.Error != "":
		p.yield(model.Event{}, errorOf(p.request.Model, s))
		return false
	case s.Break:
		return false
	case s.Stop != "":
		p.stop(model.StopReason(s.Stop))
		return false
	case s.Tool != nil:
		return p.use(*s.Tool)
	case s.Reasoning != "":
		return p.yield(model.Event{Reasoning: &model.Reasoning{Text: s.Reasoning}}, nil)
	case s.Text != "":
		p.bytes += len(s.Text)
		return p.yield(model.Event{Text: s.Text}, nil)
	}
	return true
}

func (p *player) wait(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-p.ctx.Done():
		p.yield(model.Event{}, p.ctx.Err())
		return false
	}
}

func (p *player) use(u use) bool {
	p.tools++
	input := u.Raw
	if input == "" {
		doc, err := json.Marshal(u.Input)
		if err != nil {
			p.yield(model.Event{}, err)
			return false
		}
		input = string(doc)
	}
	p.bytes += len(input)
	id := fmt.Sprintf("tooluse_script_%d_%d", len(p.request.Messages), p.tools)
	return p.yield(model.Event{Tool: &model.ToolUse{ID: id, Name: u.Name}}, nil) && p.yield(model.Event{Input: input}, nil)
}

func (p *player) reason() model.StopReason {
	if p.tools > 0 {
		return model.UseTool
	}
	return model.EndTurn
}

func (p *player) stop(reason model.StopReason) {
	usage := model.Usage{Input: model.Estimate(p.request), Output: (p.bytes + 3) / 4}
	p.yield(model.Event{Stop: &model.Stop{Reason: reason, Usage: usage, Model: "script"}}, nil)
}

func errorOf(id string, s step) error {
	codes := map[string]moorage.Code{
		"throttled": moorage.Throttled, "unavailable": moorage.Unavailable, "invalid": moorage.Invalid, "failed": moorage.AgentFailed,
	}
	if s.Error == "too_long" {
		return model.TooLong(id, nil)
	}
	code := codes[s.Error]
	if code == "" {
		code = moorage.Invalid
	}
	if s.Message == "" {
		s.Message = "the script says so"
	}
	return moorage.Errorf(code, "%s", s.Message)
}
