package builtin

import (
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/moorage-dev/moorage/internal/model"
)

// names finds tools in what people write: "researchAgent", "reseachAgent", "the research agent",
// "reviewerAgent" for articleReviewerAgent.
type names struct{ tools []toolName }

type toolName struct {
	name  string
	parts []string
}

func newNames(tools []model.Tool) names {
	var n names
	for _, t := range tools {
		if parts := partsOf(t.Name); len(parts) > 0 {
			n.tools = append(n.tools, toolName{t.Name, parts})
		}
	}
	return n
}

// order lists the tools as texts name them first, each with its text.
func (n names) order(texts []string) (out []step) {
	for _, text := range texts {
		for _, tool := range n.in(text) {
			if !slices.ContainsFunc(out, func(s step) bool { return s.tool == tool }) {
				out = append(out, step{tool, text})
			}
		}
	}
	return out
}

var token = regexp.MustCompile(`\p{L}[\p{L}\p{N}]*(?:[_-][\p{L}\p{N}]+)*`)

// in lists the tools that a text names, in order.
func (n names) in(text string) (out []string) {
	tokens := token.FindAllString(text, -1)
	for i := range tokens {
		if tool := n.at(tokens[i:min(len(tokens), i+6)]); tool != "" && !slices.Contains(out, tool) {
			out = append(out, tool)
		}
	}
	return out
}

// at returns the tool that the words begin with.
func (n names) at(words []string) string {
	first := partsOf(words[0])
	best, bestScore, tie := "", 0.0, false
	for _, t := range n.tools {
		score := 0.0
		if len(first) > 1 || len(t.parts) == 1 {
			score = share(first, t.parts)
		} else if spelled(words, t.parts) {
			score = 1
		}
		switch {
		case score > bestScore:
			best, bestScore, tie = t.name, score, false
		case score == bestScore && score > 0:
			tie = true
		}
	}
	if tie {
		return ""
	}
	return best
}

// share is how much of a tool's name the parts of a word are; 0 if one of them is not in it.
func share(parts, name []string) float64 {
	for _, p := range parts {
		if !slices.ContainsFunc(name, func(o string) bool { return alike(p, o) }) {
			return 0
		}
	}
	if len(parts) > len(name) {
		return 0
	}
	return float64(len(parts)) / float64(len(name))
}

// spelled reports whether words spell a name of several parts.
func spelled(words, name []string) bool {
	if len(words) < len(name) {
		return false
	}
	for i, p := range name {
		if !alike(strings.ToLower(words[i]), p) {
			return false
		}
	}
	return true
}

// partsOf cuts a name at capitals, underscores and hyphens, in lower case.
func partsOf(name string) (out []string) {
	begin := 0
	runes := []rune(name)
	add := func(end int) {
		if end > begin {
			out = append(out, strings.ToLower(string(runes[begin:end])))
		}
		begin = end
	}
	for i, r := range runes {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			add(i)
			begin = i + 1
		case unicode.IsUpper(r) && i > 0 && (unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])):
			add(i)
		}
	}
	add(len(runes))
	return out
}

// alike reports whether two words are one, but for a letter or an ending.
func alike(a, b string) bool {
	if a == b {
		return true
	}
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(a) < 3 || a[0] != b[0] {
		return false
	}
	if strings.HasPrefix(b, a) {
		return len(b)-len(a) <= 1 || len(a) >= 5 && len(b)-len(a) <= 3
	}
	return len(a) >= 5 && oneLetterApart(a, b)
}

// oneLetterApart reports whether b is a with one letter more, or one other, or two swapped. len(a) <= len(b).
func oneLetterApart(a, b string) bool {
	if len(b)-len(a) > 1 {
		return false
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	if len(a) < len(b) {
		return a[i:] == b[i+1:]
	}
	swapped := i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
	return a[i+1:] == b[i+1:] || swapped
}
