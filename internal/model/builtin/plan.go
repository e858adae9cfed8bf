package builtin

import (
	"fmt"
	"hash/fnv"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/moorage-dev/moorage/internal/model"
)

const (
	maxTools  = 64 // that it knows, of a request
	maxUses   = 24 // of tools, before it ends whatever the workflow says
	maxAtOnce = 8  // uses in one answer
	maxRounds = 5  // of writing and reviewing, whatever the prompt allows
)

// plan returns the tools to use next; none when the work is done.
//
// The order is that of the workflow. A tool that reviews may send the work back to the tool before it, for
// as many rounds as the prompt allows. A tool that fails is tried once more.
func (t *turn) plan() []model.ToolUse {
	if len(t.tools) == 0 || len(t.uses) >= maxUses {
		return nil
	}
	if tool := t.toolNamed(t.choice.Name); tool != nil {
		return t.call(*tool, step{tool: tool.Name})
	}
	flow := t.workflow()
	if next, ok := t.next(flow); ok {
		return t.call(*t.toolNamed(next.tool), next)
	}
	if t.choice.Any {
		return t.call(t.tools[0], step{tool: t.tools[0].Name})
	}
	return nil
}

func (t *turn) toolNamed(name string) *model.Tool {
	i := slices.IndexFunc(t.tools, func(o model.Tool) bool { return o.Name == name && name != "" })
	if i < 0 {
		return nil
	}
	return &t.tools[i]
}

// step is a use of a tool that the workflow wants, and the words that want it.
type step struct{ tool, text string }

// workflow is the order of the tools: as the numbered steps name them, else as the instructions do, else
// those that the question is about.
func (t *turn) workflow() []step {
	names := newNames(t.tools)
	system := t.system[:min(len(t.system), maxInstructions)]
	if flow := names.order(numbered(system)); len(flow) > 0 {
		return flow
	}
	if flow := names.order(sentences(system)); len(flow) > 0 {
		return flow
	}
	if flow := names.order(sentences(clip(t.ask, maxInstructions))); len(flow) > 0 {
		return flow
	}
	return t.relevant()
}

const maxInstructions = 64 << 10 // bytes of instructions that it looks for a workflow in

var item = regexp.MustCompile(`^\s*(?:#+\s*)?(?:[Ss]tep\s+)?\d+[.):]\s+`)

// numbered are the items of the numbered lists of a text.
func numbered(text string) (out []string) {
	open := false
	for _, line := range strings.Split(text, "\n") {
		switch {
		case item.MatchString(line):
			out, open = append(out, item.ReplaceAllString(line, "")), true
		case strings.TrimSpace(line) == "":
			open = false
		case open:
			out[len(out)-1] += "\n" + line
		}
	}
	return out
}

// relevant are the tools whose descriptions share words with the question.
func (t *turn) relevant() (out []step) {
	if useTools.MatchString(t.system) && len(t.tools) == 1 {
		return []step{{tool: t.tools[0].Name}}
	}
	asked := telling(clip(t.ask, maxInstructions))
	best, scores := 0, make([]int, len(t.tools))
	for i, tool := range t.tools {
		about := telling(strings.Join(partsOf(tool.Name), " ") + " " + tool.Description)
		for _, w := range about {
			if slices.ContainsFunc(asked, func(a string) bool { return alike(a, w) }) {
				scores[i]++
			}
		}
		best = max(best, scores[i])
	}
	for i, tool := range t.tools {
		if scores[i] > 0 && scores[i]*2 > best {
			out = append(out, step{tool: tool.Name})
		}
	}
	return out
}

var (
	useTools = regexp.MustCompile(`(?i)\b(?:use|call|with)\b[^.\n]{0,30}\btools?\b`)
	onError  = regexp.MustCompile(`(?i)\berrors?\b`)
	reviews  = regexp.MustCompile(`(?i)review|critiqu|proofread|editor|approv|quality check`)
	again    = regexp.MustCompile(`(?i)iterat|revis|repeat|again|until|rounds?\b`)
	onlyOnce = regexp.MustCompile(`(?i)\b(?:each|every|all|the|no|any)\b[^.\n]{0,20}\b(?:tools?|agents?)\b[^.\n]{0,20}\bonce\b`)
	bound    = regexp.MustCompile(`(?i)\b(?:more than|at most|up to|maximum of|limit of|within)\s+(\d{1,3}|one|two|three|four|five|once|twice)\b`)
)

// next decides what follows the last use.
func (t *turn) next(flow []step) (step, bool) {
	if len(t.uses) > 0 {
		last := t.uses[len(t.uses)-1]
		if last.lost() {
			return t.afterFailure(flow, last)
		}
		if s, ok := t.sentBack(flow, last); ok {
			return s, true
		}
	}
	for _, s := range flow {
		if t.times(s.tool) == 0 {
			return s, true
		}
	}
	return step{}, false
}

func (u use) lost() bool { return u.failed || !u.done }

// afterFailure tries a tool once more, unless the prompt says what to do about errors.
func (t *turn) afterFailure(flow []step, last use) (step, bool) {
	if onError.MatchString(t.system) {
		return step{}, false
	}
	i := slices.IndexFunc(flow, func(s step) bool { return s.tool == last.tool })
	if i >= 0 && t.times(last.tool) == 1 {
		return flow[i], true
	}
	for _, s := range flow {
		if t.times(s.tool) == 0 {
			return s, true
		}
	}
	return step{}, false
}

// sentBack handles the loop of a tool that makes something and a tool that reviews it.
func (t *turn) sentBack(flow []step, last use) (step, bool) {
	maker, reviewer, ok := t.pair(flow)
	rounds := t.rounds()
	if !ok || rounds == 0 {
		return step{}, false
	}
	switch last.tool {
	case reviewer.tool:
		return maker, !satisfied(last.result) && t.times(maker.tool) <= rounds
	case maker.tool:
		return reviewer, t.times(reviewer.tool) > 0 && t.times(reviewer.tool) < rounds
	}
	return step{}, false
}

// pair finds the tool that reviews, and the one before it, whose work it reviews.
func (t *turn) pair(flow []step) (maker, reviewer step, ok bool) {
	for i, s := range flow {
		tool := t.toolNamed(s.tool)
		about := strings.Join(partsOf(tool.Name), " ")
		if i > 0 && reviews.MatchString(about) {
			return flow[i-1], s, true
		}
	}
	return step{}, step{}, false
}

// rounds is how often work may be sent back: 0 where the prompt does not speak of it.
func (t *turn) rounds() int {
	if onlyOnce.MatchString(t.system) || !again.MatchString(t.system) {
		return 0
	}
	for _, s := range sentences(t.system[:min(len(t.system), maxInstructions)]) {
		if m := bound.FindStringSubmatch(s); m != nil && again.MatchString(s) {
			return min(count(m[1]), maxRounds)
		}
	}
	return 2
}

func count(s string) int {
	for i, names := range []string{"zero", "one once", "two twice", "three", "four", "five"} {
		if slices.Contains(strings.Fields(names), strings.ToLower(s)) {
			return i
		}
	}
	n, _ := strconv.Atoi(s) // the pattern has digits only
	return n
}

var (
	verdictLine = regexp.MustCompile(`(?i)(?:verdict|decision)\W{1,12}(\w+)`)
	approving   = regexp.MustCompile(`(?i)^(?:approve|accept|pass|ok|good|publish|satisf)`)
	urgent      = regexp.MustCompile(`(?i)priority\W{0,12}(?:critical|important|high)`)
)

// satisfied reads a review: its verdict, or whether anything pressing is left.
func satisfied(review string) bool {
	if all := verdictLine.FindAllStringSubmatch(review, -1); len(all) > 0 {
		return approving.MatchString(all[len(all)-1][1])
	}
	return !urgent.MatchString(review)
}

// call makes the use of a tool: one, or one for each thing where the step says so.
func (t *turn) call(tool model.Tool, s step) (out []model.ToolUse) {
	inputs := []filler{t.filler(tool, s)}
	if forEach.MatchString(s.text) {
		inputs = t.fillerForEach(tool, s)
	}
	for _, f := range inputs {
		out = append(out, model.ToolUse{ID: t.id(tool.Name, len(out)), Name: tool.Name, Input: f.input()})
	}
	return out
}

var forEach = regexp.MustCompile(`(?i)\b(?:for|with) (?:each|every)\b|\bone (?:by one|at a time)\b|\bonce (?:per|for each)\b`)

// id is the same for the same place in the same conversation.
func (t *turn) id(tool string, n int) string {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %d %d %d %s", tool, n, t.length, len(t.uses), t.ask)
	return fmt.Sprintf("tooluse_%016x", h.Sum64())
}
