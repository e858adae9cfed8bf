package builtin

import (
	"slices"
	"strings"

	"github.com/moorage-dev/moorage/internal/model"
)

// material is what a tool is to work on: the question, unchanged, for the first; what the step names, else
// all that there is, for those after it; the work itself for one that reviews; and work, remarks and all
// that it stands on for one that revises.
func (t *turn) material(tool model.Tool, s step) string {
	if !slices.ContainsFunc(t.uses, func(u use) bool { return !u.lost() }) {
		return t.ask
	}
	maker, reviewer, ok := t.pair(t.workflow())
	switch {
	case ok && tool.Name == reviewer.tool && t.latest(maker.tool) != "":
		return t.latest(maker.tool)
	case ok && tool.Name == maker.tool && t.latest(maker.tool) != "":
		return t.sources(maker.tool, reviewer.tool) + "\n" + tagOf("previous_draft", t.latest(maker.tool)) + "\n" + tagOf("review_feedback", t.latest(reviewer.tool))
	}
	named := slices.DeleteFunc(newNames(t.tools).in(s.text), func(name string) bool { return name == tool.Name || t.latest(name) == "" })
	if len(named) == 0 {
		return t.sources(tool.Name)
	}
	others := t.used()
	return t.sources(slices.DeleteFunc(others, func(name string) bool { return slices.Contains(named, name) })...)
}

// used are the tools that have been called, each once.
func (t *turn) used() (out []string) {
	for _, u := range t.uses {
		if !slices.Contains(out, u.tool) {
			out = append(out, u.tool)
		}
	}
	return out
}

// sources joins what the tools said, but for some of them, and the question if they do not hold it.
func (t *turn) sources(but ...string) string {
	var parts []string
	for _, u := range t.uses {
		if u.lost() || slices.Contains(but, u.tool) || slices.Contains(parts, u.result) {
			continue
		}
		parts = append(parts, u.result)
	}
	all := strings.Join(parts, "\n\n")
	if !holds(all, t.ask) {
		all = tagOf("request", t.ask) + "\n\n" + all
	}
	return strings.TrimSpace(all)
}

// resultFor is what a tool said that a property is named after, or the question.
func (t *turn) resultFor(property string) (string, bool) {
	for _, part := range partsOf(property) {
		if part == "agent" || part == "result" {
			continue
		}
		for _, u := range slices.Backward(t.uses) {
			matches := func(o string) bool { return alike(part, o) }
			feedback := (part == "feedback" || part == "remarks") && reviews.MatchString(u.tool)
			if !u.lost() && (slices.ContainsFunc(partsOf(u.tool), matches) || feedback) {
				return u.result, true
			}
		}
		if asking[part] {
			return t.ask, true
		}
	}
	return "", false
}

var asking = setOf("facts notes original request question incident query task input")

// holds reports whether a text has most of the sentences of another.
func holds(text, other string) bool {
	all, have, n := plain(text), 0, 0
	for _, s := range sentences(other) {
		n++
		if strings.Contains(all, plain(s)) {
			have++
		}
	}
	return have*10 >= n*6
}

// tagOf puts a text in a tag, which it takes the place of if the text has one.
func tagOf(tag, text string) string {
	return "<" + tag + ">\n" + bare(text) + "\n</" + tag + ">"
}
