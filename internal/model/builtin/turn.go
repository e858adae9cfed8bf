package builtin

import (
	"slices"
	"strings"

	"github.com/moorage-dev/moorage/internal/model"
)

// turn is what a request comes to: what was asked last, and what tools have said since.
type turn struct {
	system string
	ask    string // the user's words, with documents that are text
	blind  bool   // there are pictures or documents that it cannot read
	tools  []model.Tool
	choice model.Choice
	uses   []use // since the user spoke, in order
	length int   // messages of the conversation
}

// use is a tool that was called, and what it said.
type use struct {
	tool   string
	result string
	failed bool
	done   bool
}

func read(r model.Request) *turn {
	t := &turn{system: evenly(strings.Join(r.System, "\n\n")), tools: r.Tools[:min(len(r.Tools), maxTools)], choice: r.Choice, length: len(r.Messages)}
	first := lastAsk(r.Messages)
	asked := map[string]int{}
	for _, m := range r.Messages[first:] {
		for _, b := range m.Content {
			switch {
			case b.ToolUse != nil && len(t.uses) < maxKept:
				asked[b.ToolUse.ID] = len(t.uses)
				t.uses = append(t.uses, use{tool: b.ToolUse.Name})
			case b.ToolResult != nil:
				if i, ok := asked[b.ToolResult.ID]; ok {
					t.uses[i].result, t.uses[i].failed, t.uses[i].done = evenly(b.ToolResult.Text()), b.ToolResult.Failed, true
				}
			case m.Role == model.User:
				t.hear(b)
			}
		}
	}
	return t
}

const maxKept = 200 // uses that it remembers

// lastAsk finds the message that the user spoke last in, and did not only hand over results.
func lastAsk(all []model.Message) int {
	for i, m := range slices.Backward(all) {
		results := slices.ContainsFunc(m.Content, func(b model.Block) bool { return b.ToolResult != nil })
		if m.Role == model.User && !results {
			return i
		}
	}
	return 0
}

func (t *turn) hear(b model.Block) {
	switch {
	case b.Text != "":
		t.ask = strings.TrimSpace(t.ask + "\n" + evenly(b.Text))
	case b.Image != nil:
		t.blind = true
	case b.Document != nil:
		words, err := b.Document.Words()
		t.blind = t.blind || err != nil // the answer says so
		t.ask = strings.TrimSpace(t.ask + "\n\n" + evenly(words))
	}
}

// evenly makes line ends and broken letters one kind.
func evenly(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\r\n", "\n"), "�")
}

// times counts the uses of a tool.
func (t *turn) times(tool string) (n int) {
	for _, u := range t.uses {
		if u.tool == tool {
			n++
		}
	}
	return n
}

// latest is what a tool said last; empty if it failed or has not been called.
func (t *turn) latest(tool string) string {
	for _, u := range slices.Backward(t.uses) {
		if u.tool == tool && u.done && !u.failed {
			return u.result
		}
	}
	return ""
}
