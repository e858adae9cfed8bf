package builtin

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/moorage-dev/moorage/internal/model"
)

// maxUses bounds how many tools are used for one task, whatever the prompt says.
const maxUses = 12

// nextTool is the next step of the workflow, or nil when that is done.
func (p prompt) nextTool() *model.ToolUse {
	if n := len(p.turns); n > 0 && p.turns[n-1].failed {
		return nil // what went wrong is the answer
	}
	steps := p.steps()
	n := len(p.turns)
	if n >= len(steps) || n >= maxUses || p.approved(n, steps) {
		return nil
	}
	t := steps[n]
	input := p.fill(t)
	return &model.ToolUse{ID: toolID(t.Name, n, input), Name: t.Name, Input: input}
}

var numbered = regexp.MustCompile(`(?m)^\s*(?:[-*]\s*)?(?:\*\*)?(?:step\s+)?\d+[.):]`)

// steps are the tools in the order in which the numbered workflow names them, else as they are offered.
// Where the prompt has a draft reviewed, writing and reviewing may come again, as often as it says.
func (p prompt) steps() (steps []model.Tool) {
	if name := p.request.Choice.Name; name != "" {
		return slices.DeleteFunc(slices.Clone(p.request.Tools), func(t model.Tool) bool { return t.Name != name })
	}
	for _, line := range stepsOf(p.system) {
		for _, t := range p.mentioned(line) {
			if !slices.ContainsFunc(steps, func(s model.Tool) bool { return s.Name == t.Name }) {
				steps = append(steps, t)
			}
		}
	}
	if len(steps) == 0 && (p.system == "" || p.request.Choice.Any || len(p.mentioned(p.system)) > 0 || wants(p.system, "tool")) {
		steps = slices.Clone(p.request.Tools)
	}
	return append(steps, p.again(steps)...)
}

// stepsOf cuts a prompt into its numbered steps; what stands before the first is none.
func stepsOf(text string) (steps []string) {
	starts := numbered.FindAllStringIndex(strings.ToLower(text), -1)
	for i, at := range starts {
		end := len(text)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		if at[0] < end && end <= len(text) {
			steps = append(steps, text[at[0]:end])
		}
	}
	return steps
}

var times = regexp.MustCompile(`(?i)(?:more than|at most|up to|maximum of|max)\s+(?:\*\*)?(\d|one|two|three|once|twice)\b`)

var counts = map[string]int{"one": 1, "two": 2, "three": 3, "once": 1, "twice": 2}

// again is a further writing and review where the workflow iterates.
func (p prompt) again(steps []model.Tool) (more []model.Tool) {
	n := len(steps)
	if n < 2 || !wants(p.system, "iterat", "revis", "repeat") || !likens(steps[n-1], "review", "critic", "check", "edit") {
		return nil
	}
	rounds := 1
	if m := times.FindStringSubmatch(p.system); m != nil {
		rounds = counts[strings.ToLower(m[1])]
		if d, err := strconv.Atoi(m[1]); err == nil {
			rounds = d
		}
	}
	for range min(rounds, 3) {
		more = append(more, steps[n-2])
	}
	return more
}

// approved reports whether the last review asks for nothing more, so that what is left is not needed.
func (p prompt) approved(n int, steps []model.Tool) bool {
	if n == 0 || n < 2 || !likens(steps[n-1], "review", "critic", "check") {
		return false
	}
	return wants(p.turns[n-1].result, "verdict: approve", `"verdict": "approve"`, `"verdict":"approve"`)
}

func likens(t model.Tool, words ...string) bool { return wants(t.Name, words...) }

// mentioned are the tools that a text names, in its order. Names are compared loosely: prompts misspell them.
func (p prompt) mentioned(text string) (found []model.Tool) {
	for _, word := range identifiers.FindAllString(text, -1) {
		for _, t := range p.request.Tools {
			if alike(word, t.Name) && !slices.ContainsFunc(found, func(f model.Tool) bool { return f.Name == t.Name }) {
				found = append(found, t)
			}
		}
	}
	return found
}

var identifiers = regexp.MustCompile(`[A-Za-z][A-Za-z0-9_-]{3,63}`)

// alike reports whether two names are the same, but for case, separators and a few letters.
func alike(a, b string) bool {
	a, b = plainName(a), plainName(b)
	if a == b {
		return true
	}
	short := min(len(a), len(b))
	return short >= 8 && distance(a, b) <= 1+short/8
}

func plainName(name string) string {
	return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(name))
}

// distance is Levenshtein's, of names: at most 64 letters.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := before
			if a[i-1] != b[j-1] {
				cost = 1 + min(before, row[j], row[j-1])
			}
			before, row[j] = row[j], cost
		}
	}
	return row[len(b)]
}

// schema is what is read of a tool's input.
type schema struct {
	Properties map[string]struct {
		Type    any   `json:"type"`
		Enum    []any `json:"enum"`
		Default any   `json:"default"`
	} `json:"properties"`
	Required []string `json:"required"`
}

// fill makes an input for a tool: texts are what there is to hand on, the rest what the schema allows.
func (p prompt) fill(t model.Tool) json.RawMessage {
	var s schema
	_ = json.Unmarshal(t.Schema, &s) // it was checked; what is odd in it is left out
	input := map[string]any{}
	for name, property := range s.Properties {
		if len(s.Required) > 0 && !slices.Contains(s.Required, name) {
			continue
		}
		switch {
		case property.Default != nil:
			input[name] = property.Default
		case len(property.Enum) > 0:
			input[name] = property.Enum[0]
		case property.Type == "integer" || property.Type == "number":
			input[name] = 1
		case property.Type == "boolean":
			input[name] = true
		case property.Type == "array":
			input[name] = []string{p.handOn(t, name)}
		case property.Type == "object":
			input[name] = map[string]any{}
		default:
			input[name] = p.handOn(t, name)
		}
	}
	doc, err := json.Marshal(input)
	if err != nil {
		return json.RawMessage("{}")
	}
	return doc
}

// handOn is the text for one argument: the task at first, and later what came of the step before.
func (p prompt) handOn(t model.Tool, argument string) string {
	if len(p.turns) == 0 || wants(argument, "fact", "request", "question", "original") {
		return p.task
	}
	last := p.turns[len(p.turns)-1]
	if draft := p.latest("article", "draft"); draft != "" && likens(t, "review", "critic", "check") {
		return draft
	}
	if likens(t, "writ", "draft", "report") && len(p.turns) > 1 {
		return strings.Join(p.results(), "\n\n") // the sources and the remarks
	}
	return last.result
}

func (p prompt) results() (all []string) {
	for _, t := range p.turns {
		all = append(all, t.result)
	}
	return all
}

// latest is the last result that has one of the tags, or came from a tool whose name says that it writes.
func (p prompt) latest(tags ...string) string {
	for _, t := range slices.Backward(p.turns) {
		for _, tag := range tags {
			if inner, ok := tagged(t.result, tag); ok {
				return "<" + tag + ">" + inner + "</" + tag + ">"
			}
		}
		if wants(t.tool, "writ", "draft", "report") {
			return t.result
		}
	}
	return ""
}

// final is the answer once the workflow is done, in the tag that the prompt asks for.
func (p prompt) final() string {
	n := len(p.turns)
	if n == 0 {
		return p.write()
	}
	text := p.turns[n-1].result
	if draft := p.latest("article", "draft"); draft != "" && !p.turns[n-1].failed {
		text = draft
	}
	if tag := askedTag(p.system); tag != "" {
		if _, ok := tagged(text, tag); !ok {
			text = "<" + tag + ">" + text + "</" + tag + ">"
		}
	}
	return text
}
