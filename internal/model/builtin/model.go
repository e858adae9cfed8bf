package builtin

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/moorage-dev/moorage/internal/model"
)

// Name is what answers, in every answer.
const Name = "built-in demo model"

const (
	maxInput  = 200_000 // tokens that it reads
	maxOutput = 64_000  // tokens that it writes when the request sets no limit
	piece     = 24      // bytes of an event, at least; a word is not cut
)

// Model answers by rules. The zero value works.
type Model struct {
	// Advice tells a reader how to set a real model. Empty is a sentence that holds everywhere.
	Advice string
}

var _ model.Provider = Model{}

// Answer implements [model.Provider]. The only errors are [model.TooLong] and the end of ctx.
func (m Model) Answer(ctx context.Context, r model.Request) iter.Seq2[model.Event, error] {
	return func(yield func(model.Event, error) bool) {
		if err := r.WordsOnly(); err != nil {
			yield(model.Event{}, err)
			return
		}
		answer(ctx, r, m.think, yield)
	}
}

// Say is an answer to r whose words were found elsewhere: in pieces, within r's limits, and counted as this model's own.
func Say(ctx context.Context, r model.Request, text string) iter.Seq2[model.Event, error] {
	return func(yield func(model.Event, error) bool) {
		answer(ctx, r, func(model.Request) said { return said{text: text} }, yield)
	}
}

func answer(ctx context.Context, r model.Request, think func(model.Request) said, yield func(model.Event, error) bool) {
	size := model.Estimate(r)
	if size > maxInput {
		yield(model.Event{}, model.TooLong(Name, fmt.Errorf("%d tokens, of %d at most", size, maxInput)))
		return
	}
	w := writer{ctx: ctx, yield: yield, stops: r.Stop, left: 4 * maxOutput}
	if r.MaxTokens > 0 {
		w.left = 4 * min(r.MaxTokens, maxOutput)
	}
	reason := w.say(think(r))
	w.send(model.Event{Stop: &model.Stop{Reason: reason, Model: Name, Usage: model.Usage{Input: size, Output: tokens(w.sent)}}})
}

// said is an answer before it is cut in pieces: a text, or uses of tools.
type said struct {
	text string
	uses []model.ToolUse
}

// think makes the answer.
func (m Model) think(r model.Request) said {
	t := read(r)
	if uses := t.plan(); len(uses) > 0 {
		return said{uses: uses}
	}
	return said{text: m.final(t)}
}

// writer sends an answer in pieces, and stops where the request says.
type writer struct {
	ctx        context.Context
	yield      func(model.Event, error) bool
	stops      []string
	left, sent int // bytes
	gone       bool
}

func (w *writer) say(s said) model.StopReason {
	for _, use := range s.uses {
		input := string(use.Input)
		use.Input = nil
		if w.left <= 0 {
			return model.OutOfTokens
		}
		w.send(model.Event{Tool: &use})
		if reason := w.pieces(input, func(p string) model.Event { return model.Event{Input: p} }); reason != "" {
			return reason
		}
	}
	if len(s.uses) > 0 {
		return model.UseTool
	}
	text, stopped := cutAt(s.text, w.stops)
	if reason := w.pieces(text, func(p string) model.Event { return model.Event{Text: p} }); reason != "" {
		return reason
	}
	if stopped {
		return model.StopSequence
	}
	return model.EndTurn
}

// pieces sends a text; its reason is empty unless it has to end early.
func (w *writer) pieces(text string, event func(string) model.Event) model.StopReason {
	var reason model.StopReason
	if len(text) > w.left {
		text, reason = whole(text[:w.left]), model.OutOfTokens
	}
	w.left -= len(text)
	for text != "" && !w.gone {
		var p string
		p, text = cutPiece(text)
		w.sent += len(p)
		w.send(event(p))
	}
	return reason
}

func (w *writer) send(e model.Event) {
	if w.gone {
		return
	}
	if err := w.ctx.Err(); err != nil {
		w.gone = true
		w.yield(model.Event{}, err)
		return
	}
	w.gone = !w.yield(e, nil)
}

// cutPiece takes the first words of a text.
func cutPiece(text string) (first, rest string) {
	if len(text) <= piece {
		return text, ""
	}
	for i, r := range text {
		if i >= piece && (unicode.IsSpace(r) || i >= 4*piece) {
			return text[:i], text[i:]
		}
	}
	return text, ""
}

// cutAt ends a text before the first of its stop sequences.
func cutAt(text string, stops []string) (string, bool) {
	stopped := false
	for _, s := range stops {
		if before, _, found := strings.Cut(text, s); found && s != "" {
			text, stopped = before, true
		}
	}
	return text, stopped
}

// whole drops what is left of a letter that was cut in two.
func whole(s string) string {
	for len(s) > 0 {
		r, n := utf8.DecodeLastRuneInString(s)
		if r != utf8.RuneError || n > 1 {
			return s
		}
		s = s[:len(s)-1]
	}
	return s
}

func tokens(size int) int { return (size + 3) / 4 }
