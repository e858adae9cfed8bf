package builtin

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

const maxSummary = 5 // sentences

// nearest are the statements that share most with a question, in their own order.
func nearest(question string, all []string, n int) (out []string) {
	type scored struct {
		text      string
		at, score int
	}
	asked := telling(question)
	asked = asked[:min(len(asked), 200)]
	var found []scored
	seen := map[string]bool{}
	for i, s := range all[:min(len(all), maxSentences)] {
		text, score := plain(s), 0
		for _, w := range asked {
			if strings.Contains(text, " "+w+" ") {
				score += len(w)
			}
		}
		if score > 0 && !seen[text] {
			seen[text] = true
			found = append(found, scored{s, i, score})
		}
	}
	slices.SortStableFunc(found, func(a, b scored) int { return cmp.Compare(b.score, a.score) })
	if len(found) > 0 {
		best := found[0].score
		found = slices.DeleteFunc(found, func(s scored) bool { return s.score*2 < best })
	}
	found = found[:min(len(found), n)]
	slices.SortFunc(found, func(a, b scored) int { return cmp.Compare(a.at, b.at) })
	for _, s := range found {
		out = append(out, s.text)
	}
	return out
}

// summary is the first sentence of a text and those that have most of the words that it repeats.
func summary(text string) string {
	all := slices.DeleteFunc(sentences(untagged(text)), commands)
	if len(all) <= maxSummary {
		return strings.Join(all, " ")
	}
	often := map[string]int{}
	for _, s := range all {
		for _, w := range telling(s) {
			often[w]++
		}
	}
	var central []string
	for w, n := range often {
		if n > 1 {
			central = append(central, w)
		}
	}
	slices.SortFunc(central, func(a, b string) int { return cmp.Or(cmp.Compare(often[b], often[a]), cmp.Compare(a, b)) })
	rest := nearest(strings.Join(central[:min(len(central), 30)], " "), all[1:], maxSummary-1)
	return strings.Join(append([]string{all[0]}, rest...), " ")
}

// untagged drops lines that are only tags.
func untagged(text string) string {
	return openTag.ReplaceAllString(strings.ReplaceAll(text, "</", "<"), "")
}

const defaultAdvice = "For answers of a real model: moorage models add --help"

// answer is for what none of the skills is asked for.
func (m Model) answer(t *turn, material string) string {
	advice := m.Advice
	if advice == "" {
		advice = defaultAdvice
	}
	var b strings.Builder
	switch {
	case len(t.uses) > 0:
		b.WriteString(t.whatToolsSaid())
	case len(sentences(material)) > 3:
		b.WriteString("In short: " + summary(material))
	case material == "":
		b.WriteString("There is nothing here to answer.")
	default:
		fmt.Fprintf(&b, "You asked: %q. I know nothing of the world: I only work with what I am given, by rules.", clip(material, 300))
	}
	if t.blind {
		b.WriteString("\n\nI cannot see pictures, nor read documents other than plain text.")
	}
	return b.String() + "\n\nThis is Moorage's " + Name + ". " + advice
}

func (t *turn) whatToolsSaid() string {
	var parts []string
	for _, u := range t.uses {
		switch {
		case u.lost() && u.result == "":
			parts = append(parts, u.tool+" failed.")
		case u.lost():
			parts = append(parts, u.tool+" failed: "+clip(u.result, 2000))
		default:
			parts = append(parts, u.tool+" says: "+clip(u.result, 2000))
		}
	}
	return strings.Join(parts, "\n")
}
