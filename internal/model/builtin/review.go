package builtin

import (
	"fmt"
	"strings"
)

// remark is one thing that a review finds.
type remark struct {
	priority, what, why, rewrite string
}

// maxWords is how long a sentence may be before it is hard to read.
const maxWords = 40

// review checks a draft by rules: length of sentences, words that are there twice, and, where the draft
// comes with its sources, numbers and quotations that no source has.
func review(p prompt) string {
	draft, ok := tagged(p.task, "article")
	if !ok {
		draft = p.task
	}
	sources := strings.Replace(p.task, draft, "", 1)
	var remarks []remark
	for _, s := range sentences(draft) {
		remarks = append(remarks, inSentence(s)...)
	}
	if len(strings.Fields(sources)) > 20 {
		remarks = append(remarks, unsupported(draft, sources)...)
	}
	return reviewed(remarks)
}

func inSentence(s string) (found []remark) {
	words := strings.Fields(s)
	if len(words) > maxWords {
		half := strings.Join(words[:len(words)/2], " ")
		found = append(found, remark{"important", fmt.Sprintf("a sentence of %d words: %q", len(words), clip(s)), "long sentences are hard to follow", "End it after “" + clip(half) + "”, and begin a new one."})
	}
	for i := 1; i < len(words); i++ {
		if words[i] == words[i-1] && len(words[i]) > 2 {
			found = append(found, remark{"minor", fmt.Sprintf("%q stands twice in a row: %q", words[i], clip(s)), "it reads as a slip", "Leave one out."})
		}
	}
	return found
}

func unsupported(draft, sources string) (found []remark) {
	for _, m := range quotations.FindAllStringSubmatch(draft, 20) {
		if !strings.Contains(sources, m[1]) {
			found = append(found, remark{"critical", fmt.Sprintf("no source has the quotation %q", clip(m[1])), "a quotation has to be word for word", "Leave it out."})
		}
	}
	for _, n := range numbers.FindAllString(draft, 50) {
		if !strings.Contains(sources, strings.TrimSpace(n)) {
			found = append(found, remark{"critical", fmt.Sprintf("no source has the number %s", n), "a number has to be a source's", "Leave it out, or give its source."})
		}
	}
	return found
}

func clip(text string) string {
	if words := strings.Fields(text); len(words) > 12 {
		return strings.Join(words[:12], " ") + " …"
	}
	return text
}

func reviewed(remarks []remark) string {
	var b strings.Builder
	b.WriteString("## Issues\n\n")
	if len(remarks) == 0 {
		b.WriteString("None.\n")
	}
	verdict := "approve"
	for i, r := range remarks {
		if i == 10 {
			fmt.Fprintf(&b, "%d more of the kind.\n", len(remarks)-i)
			break
		}
		fmt.Fprintf(&b, "%d. (%s) %s. Why: %s. Suggestion: %s\n", i+1, r.priority, r.what, r.why, r.rewrite)
	}
	for _, r := range remarks {
		if r.priority != "minor" {
			verdict = "revise"
		}
	}
	b.WriteString("\n## Strengths\n\nIt keeps to what it was given.\n\n## Top improvements\n\n")
	for i, r := range remarks[:min(5, len(remarks))] {
		fmt.Fprintf(&b, "%d. %s\n", i+1, r.rewrite)
	}
	b.WriteString("\n## Overall assessment\n\nVerdict: " + verdict + "\n")
	return b.String()
}
