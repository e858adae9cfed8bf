package builtin

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

const (
	longSentence  = 40  // words
	longParagraph = 120 // words
	maxIssues     = 12
	leaveOutWords = "(leave it out)"
)

// issue is a remark of a review.
type issue struct {
	priority   string // critical, important or minor
	sentence   string
	why        string
	suggestion string
	rewrite    string
}

// review reads a text as an editor who knows rules, and nothing else.
func review(t *turn, material string) string {
	b := readBrief(material)
	text := b.draft
	if text == "" {
		text, b = untagged(material), brief{}
	}
	all := issues(text, b, longest(t.system))
	var out strings.Builder
	out.WriteString("Issues\n\n")
	for i, x := range all {
		fmt.Fprintf(&out, "%d. %s\n   Priority: %s\n", i+1, x.why, x.priority)
		if x.sentence != "" {
			fmt.Fprintf(&out, "   Sentence: %s\n", x.sentence)
		}
		fmt.Fprintf(&out, "   Suggestion: %s\n", x.suggestion)
		if x.rewrite != "" {
			fmt.Fprintf(&out, "   Rewrite: %s\n", x.rewrite)
		}
	}
	if len(all) == 0 {
		out.WriteString("None.\n")
	}
	out.WriteString("\n" + closing(text, all))
	if verdict := verdictAsked(t.system, hasCritical(all)); verdict != "" {
		out.WriteString("\n" + verdict + "\n")
	}
	return out.String()
}

var longerThan = regexp.MustCompile(`(?i)\b(?:more|longer|over|exceed\w*)(?: than)? (\d{1,3}) words`)

func longest(system string) int {
	if m := longerThan.FindStringSubmatch(system); m != nil {
		return max(5, count(m[1]))
	}
	return longSentence
}

// issues are what the rules find, the most pressing first.
func issues(text string, b brief, longest int) (out []issue) {
	seen := map[string]bool{}
	known := sourcesOf(b.all)
	for _, s := range sentences(text) {
		if x := checkSentence(s, known, longest, seen[plain(s)]); x != nil {
			out = append(out, *x)
		}
		seen[plain(s)] = true
	}
	for i, f := range missingFrom(text, b.facts) {
		priority := "important"
		if i == 0 && f == b.facts[0] {
			priority = "critical"
		}
		out = append(out, issue{priority: priority, why: "A fact is missing: " + f, suggestion: "Add it."})
	}
	out = append(out, checkShape(text)...)
	slices.SortStableFunc(out, func(a, b issue) int { return rank(a.priority) - rank(b.priority) })
	return out[:min(len(out), maxIssues)]
}

func rank(priority string) int {
	return slices.Index([]string{"critical", "important", "minor"}, priority)
}

// checkSentence finds what is worst about a sentence; nil for nothing.
func checkSentence(s string, known sources, longest int, repeated bool) *issue {
	n := len(strings.Fields(s))
	sourced, wrong := known.words != plain(""), ""
	if sourced {
		wrong = known.lacks(s)
	}
	switch {
	case wrong != "":
		return &issue{"critical", s, fmt.Sprintf("No source contains %q; readers could not check it.", wrong), "Take it out, or give a source.", leaveOutWords}
	case repeated:
		return &issue{"important", s, "The sentence is there twice, which tires readers.", "Keep it once.", ""}
	case !sourced && quotation.MatchString(s) && !attributed.MatchString(s):
		return &issue{"important", s, "The quotation does not say whose it is.", "Name the speaker.", ""}
	case n > longest:
		return &issue{"important", s, fmt.Sprintf("The sentence has %d words; more than %d need reading twice.", n, longest), "Cut it in two.", splitIfBetter(s)}
	case doubled(s) != "":
		return &issue{"minor", s, fmt.Sprintf("%q stands there twice in a row.", doubled(s)), "Drop one.", ""}
	case tooOften(s) != "":
		return &issue{"minor", s, fmt.Sprintf("%q comes three times in one sentence.", tooOften(s)), "Use another word, or none.", ""}
	}
	return nil
}

var attributed = regexp.MustCompile(`(?i)\b(?:said|says|told|according|stated|wrote|added|explained|confirmed|revealed)\b|["”],? \p{L}`)

func splitIfBetter(s string) string {
	if split := splitSentence(s); split != s {
		return split
	}
	return ""
}

// doubled is a word that follows itself.
func doubled(s string) string {
	all := words(s)
	for i := range len(all) - 1 {
		if all[i] == all[i+1] && len(all[i]) > 1 && all[i] != "had" && all[i] != "that" {
			return all[i]
		}
	}
	return ""
}

// tooOften is a word that says something and comes three times.
func tooOften(s string) string {
	times := map[string]int{}
	for _, w := range words(s) {
		if times[w]++; times[w] >= 3 && !common[w] && len(w) > 3 {
			return w
		}
	}
	return ""
}

// checkShape looks at headline and paragraphs.
func checkShape(text string) (out []issue) {
	paragraphs := strings.Split(strings.TrimSpace(text), "\n\n")
	if len(paragraphs) < 2 || strings.HasSuffix(paragraphs[0], ".") {
		out = append(out, issue{priority: "minor", why: "There is no headline, so that readers do not see what it is about.", suggestion: "Begin with a line of at most twelve words."})
	}
	for _, p := range paragraphs {
		if n := len(strings.Fields(p)); n > longParagraph {
			out = append(out, issue{priority: "minor", why: fmt.Sprintf("A paragraph has %d words: %q.", n, clip(p, 60)), suggestion: "Break it up."})
		}
	}
	return out
}

func hasCritical(all []issue) bool {
	return slices.ContainsFunc(all, func(x issue) bool { return x.priority == "critical" })
}

// closing is strengths, what to improve first, and the whole.
func closing(text string, all []issue) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Strengths\n- %d sentences", len(sentences(text)))
	if n := len(quotation.FindAllString(text, -1)); n > 0 {
		fmt.Fprintf(&b, ", %d of them in somebody's own words", n)
	}
	b.WriteString(".\n\nWhat to improve first\n")
	for _, x := range all[:min(len(all), 5)] {
		fmt.Fprintf(&b, "- %s\n", x.suggestion)
	}
	if len(all) == 0 {
		b.WriteString("- Nothing that rules can find.\n")
	}
	whole := "It can be published."
	if hasCritical(all) {
		whole = "It needs another draft."
	} else if len(all) > 0 {
		whole = "It can be published once the remarks are weighed."
	}
	return b.String() + "\nOverall\n" + whole + "\n"
}

var verdictForm = regexp.MustCompile(`(?i)\b(verdict|decision)\s*:\s*["“*]*(\w+)(?:\s*(?:,|\||/|or)\s*(\w+))?`)

// verdictAsked is the line that the instructions want at the end: "Verdict: approve"; empty for none.
func verdictAsked(system string, critical bool) string {
	yes, no, label := "approve", "revise", ""
	for _, m := range verdictForm.FindAllStringSubmatch(system, -1) {
		label = m[1]
		for _, option := range m[2:] {
			switch {
			case option == "":
			case approving.MatchString(option):
				yes = option
			default:
				no = option
			}
		}
	}
	switch {
	case label == "":
		return ""
	case critical:
		return label + ": " + no
	}
	return label + ": " + yes
}
