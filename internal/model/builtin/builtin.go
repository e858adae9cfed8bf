// Package builtin is a model that needs no weights, no key and no network: the built-in demo model.
//
// It understands nothing. It reads in a request what is asked for (a numbered workflow and tools, a list
// of names, a query, an article, a review, an answer from passages) and puts that together from the
// request's own words, so that a team of agents can be tried, shown and tested before a real model is
// set up. The same request gives the same answer, always, and no answer holds a fact that the request
// does not.
package builtin

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"iter"
	"strings"

	"github.com/moorage-dev/moorage/internal/model"
)

// Name is what answers are labelled with.
const Name = "built-in demo model"

// Model is the builtin model. Its zero value is ready.
type Model struct{}

var _ model.Provider = (*Model)(nil)

// maxRead bounds what is read of one text, in bytes: work grows with it.
const maxRead = 256 << 10

// Answer implements [model.Provider].
func (*Model) Answer(ctx context.Context, r model.Request) iter.Seq2[model.Event, error] {
	return func(yield func(model.Event, error) bool) {
		text, use := decide(r)
		for piece := range pieces(text) {
			if ctx.Err() != nil {
				yield(model.Event{}, ctx.Err())
				return
			}
			if !yield(model.Event{Text: piece}, nil) {
				return
			}
		}
		stop := model.Stop{Reason: model.EndTurn, Model: Name, Usage: model.Usage{Input: model.Estimate(r), Output: tokens(len(text))}}
		if use != nil {
			stop.Reason = model.UseTool
			stop.Usage.Output += tokens(len(use.Input))
			if !yield(model.Event{Tool: &model.ToolUse{ID: use.ID, Name: use.Name}}, nil) || !yield(model.Event{Input: string(use.Input)}, nil) {
				return
			}
		}
		yield(model.Event{Stop: &stop}, nil)
	}
}

func tokens(bytes int) int { return (bytes + 3) / 4 }

// pieces are a few words each, as a real model's answer comes.
func pieces(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		const words = 6
		from, seen := 0, 0
		for i, c := range text {
			if c != ' ' && c != '\n' {
				continue
			}
			if seen++; seen%words == 0 {
				if !yield(text[from : i+1]) {
					return
				}
				from = i + 1
			}
		}
		if from < len(text) {
			yield(text[from:])
		}
	}
}

// decide is the answer: words, the use of a tool, or both.
func decide(r model.Request) (text string, use *model.ToolUse) {
	p := read(r)
	if len(r.Tools) > 0 {
		if use := p.nextTool(); use != nil {
			return "", use
		}
		return p.final(), nil
	}
	return limit(p.write(), r.MaxTokens), nil
}

// limit keeps to the tokens that the caller allows, at the end of a sentence.
func limit(text string, max int) string {
	if max <= 0 || len(text) <= max*4 {
		return text
	}
	text = strings.ToValidUTF8(text[:max*4], "")
	if end := strings.LastIndexAny(text, ".\n"); end > 0 {
		return text[:end+1]
	}
	return text
}

// prompt is a request, read.
type prompt struct {
	request model.Request
	system  string
	task    string // the last words of the user
	turns   []turn // what tools were used since then, in order
}

// turn is one use of a tool and what it answered.
type turn struct {
	tool   string
	result string
	failed bool
}

func read(r model.Request) prompt {
	p := prompt{request: r, system: head(strings.Join(r.System, "\n"))}
	used := map[string]string{} // ids of uses: names
	for _, m := range r.Messages {
		if text := m.Text(); text != "" && m.Role == model.User {
			p.task, p.turns = head(withDocuments(m, text)), nil
		}
		for _, b := range m.Content {
			switch {
			case b.ToolUse != nil:
				used[b.ToolUse.ID] = b.ToolUse.Name
			case b.ToolResult != nil:
				p.turns = append(p.turns, turn{used[b.ToolResult.ID], head(b.ToolResult.Text()), b.ToolResult.Failed})
			}
		}
	}
	return p
}

// withDocuments adds the words of documents to those of their message.
func withDocuments(m model.Message, text string) string {
	for _, b := range m.Content {
		if b.Document == nil {
			continue
		}
		if words, err := b.Document.Words(); err == nil {
			text += "\n\n" + words
		}
	}
	return text
}

func head(text string) string {
	if len(text) <= maxRead {
		return text
	}
	return strings.ToValidUTF8(text[:maxRead], "")
}

// toolID is the same for the same use of a tool.
func toolID(name string, n int, input json.RawMessage) string {
	sum := fnv.New64a()
	fmt.Fprint(sum, name, n, string(input))
	return fmt.Sprintf("tooluse_demo_%016x", sum.Sum64())
}
