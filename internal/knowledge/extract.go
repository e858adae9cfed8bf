package knowledge

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Extract writes an answer without a model: the sentences and records of the passages that say most of what
// was asked, word for word. Of a question that lists entities it reports on those that the passages know.
func Extract(p Prompt) string {
	entities := entitiesIn(p.Question)
	if len(entities) == 0 {
		return sayMost(p.Question, p.Passages)
	}
	var out strings.Builder
	out.WriteString("Researched Entities\n")
	known := 0
	for _, entity := range entities {
		found := about(entity, p.Passages)
		if len(found) == 0 {
			continue
		}
		known++
		fmt.Fprintf(&out, "- text: %s\n  research:\n", entity)
		for _, f := range found {
			fmt.Fprintf(&out, "  - %s\n", f)
		}
	}
	if known == 0 {
		return NoAnswer
	}
	if facts := newFacts(p.Question); facts != "" {
		fmt.Fprintf(&out, "\nNew Facts\n%s\n", facts)
	}
	return out.String()
}

const (
	maxAbout = 5 // statements about an entity
	maxSaid  = 6 // statements of an answer
)

// factsHeading begins the part of a question that is to be handed on.
var factsHeading = regexp.MustCompile(`(?im)^[\s#*]*new facts[\s:*"]*$`)

func newFacts(question string) string {
	found := factsHeading.FindAllStringIndex(question, -1)
	if len(found) == 0 {
		return ""
	}
	return strings.TrimSpace(question[found[len(found)-1][1]:])
}

// about are the statements that name an entity.
func about(entity string, passages []Passage) (out []string) {
	name := " " + strings.Join(Words(entity), " ") + " "
	for _, p := range passages {
		for _, s := range statements(p.Text) {
			if strings.Contains(" "+strings.Join(Words(s), " ")+" ", name) && !slices.Contains(out, s) && len(out) < maxAbout {
				out = append(out, s)
			}
		}
	}
	return out
}

// sayMost joins the statements that share most with the question, in the order of the passages.
func sayMost(question string, passages []Passage) string {
	asked := unique(Words(question))
	type statement struct {
		text  string
		at    int
		score float64
	}
	var all []statement
	for i, p := range passages {
		for _, s := range statements(p.Text) {
			score := 0.0
			words := Words(s)
			for _, w := range asked {
				if slices.Contains(words, w) {
					score += float64(len(w))
				}
			}
			if score > 0 && !slices.ContainsFunc(all, func(o statement) bool { return o.text == s }) {
				all = append(all, statement{s, len(all), score - 0.1*float64(i)})
			}
		}
	}
	if len(all) == 0 {
		return NoAnswer
	}
	slices.SortStableFunc(all, func(a, b statement) int { return cmp.Compare(b.score, a.score) })
	all = slices.DeleteFunc(all, func(s statement) bool { return s.score < all[0].score/2 })
	all = all[:min(len(all), maxSaid)]
	slices.SortFunc(all, func(a, b statement) int { return cmp.Compare(a.at, b.at) })
	texts := make([]string, len(all))
	for i, s := range all {
		texts[i] = s.text
	}
	return strings.Join(texts, "\n")
}

// field is a line of a flattened record, such as "executives[1].name: Dr. Eliza Chen".
var field = regexp.MustCompile(`^([\w\- ]+(?:[.\[][^: ]*)?): (.*)$`)

// statements are a passage's sentences; the lines of one record of JSON are one statement.
func statements(passage string) (out []string) {
	record, parts := "", []string(nil)
	flush := func() {
		if len(parts) > 0 {
			out = append(out, strings.Join(parts, "; "))
		}
		parts = nil
	}
	for _, text := range strings.Split(passage, "\n") {
		if strings.HasPrefix(text, "#") {
			continue // a heading says nothing
		}
		m := field.FindStringSubmatch(text)
		if m == nil {
			flush()
			letters := []rune(text)
			for _, s := range sentences(letters) {
				out = append(out, string(letters[s.start:s.end]))
			}
			continue
		}
		at, name := "", m[1]
		if i := strings.LastIndexAny(m[1], ".["); i >= 0 {
			at, name = m[1][:i], strings.Trim(m[1][i:], ".]")
		}
		if at != record || at == "" || len(parts) >= 8 {
			flush()
		}
		record = at
		if strings.HasPrefix(m[1][len(at):], "[") { // of a plain list
			name = at
		}
		parts = append(parts, strings.ReplaceAll(name, "_", " ")+": "+m[2])
	}
	flush()
	return out
}
