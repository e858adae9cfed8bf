package knowledge

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
)

// Citation is a sentence of an answer and the passages that bear it out.
type Citation struct {
	Text       string
	Start, End int // where it begins in the answer and where it ends, in characters; End is that of the last
	Passages   []Passage
}

const (
	maxReferences = 3
	borne         = 0.6 // of a sentence's words, weighed by their length, that a passage has to have
)

// Cite finds, for each sentence of a text, the passages that have its words. So a citation depends on what
// was written, not on what a model says of it. A sentence that no passage bears out has none.
func Cite(text string, passages []Passage) (out []Citation) {
	have := make([]map[string]bool, len(passages))
	for i, p := range passages {
		have[i] = map[string]bool{}
		for _, w := range Words(p.Text) {
			have[i][w] = true
		}
	}
	letters := []rune(text)
	for _, s := range sentences(letters) {
		sentence := string(letters[s.start:s.end])
		if found := bearing(sentence, passages, have); len(found) > 0 {
			out = append(out, Citation{Text: sentence, Start: s.start, End: s.end - 1, Passages: found})
		}
	}
	return out
}

// bearing returns the passages that have most of a sentence's words, the best first.
func bearing(sentence string, passages []Passage, have []map[string]bool) []Passage {
	words := unique(Words(sentence))
	if len(words) < 2 {
		return nil
	}
	type match struct {
		passage Passage
		share   float64
	}
	var found []match
	for i, p := range passages {
		var shared, all float64
		for _, w := range words {
			all += float64(len(w))
			if have[i][w] {
				shared += float64(len(w))
			}
		}
		if shared/all >= borne {
			found = append(found, match{p, shared / all})
		}
	}
	slices.SortStableFunc(found, func(a, b match) int { return cmp.Compare(b.share, a.share) })
	var out []Passage
	for _, m := range found[:min(len(found), maxReferences)] {
		if m.share >= 0.9*found[0].share {
			out = append(out, m.passage)
		}
	}
	return out
}

// unique are the words that mean something, each once.
func unique(words []string) (out []string) {
	for _, w := range words {
		if !IsCommon(w) && !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out
}

type span struct{ start, end int }

// sentences finds where sentences, and lines, begin and end.
func sentences(text []rune) (out []span) {
	start := 0
	add := func(end int) {
		s := span{start, end}
		for s.start < s.end && unicode.IsSpace(text[s.start]) {
			s.start++
		}
		for s.end > s.start && unicode.IsSpace(text[s.end-1]) {
			s.end--
		}
		if s.end > s.start {
			out = append(out, s)
		}
		start = end
	}
	for i := 0; i < len(text); i++ {
		if text[i] == '\n' || strings.ContainsRune(".!?", text[i]) && ends(text, i) {
			for text[i] != '\n' && i+1 < len(text) && strings.ContainsRune(closing, text[i+1]) {
				i++ // a quotation keeps its mark
			}
			add(i + 1)
		}
	}
	add(len(text))
	return out
}

const closing = `"')]”’`

// ends tells a full stop from one in a number, an abbreviation or an initial: after it comes a space and
// something that is not in lower case, and before it a word of three letters or more, or a bracket.
func ends(text []rune, i int) bool {
	if i+1 < len(text) && !unicode.IsSpace(text[i+1]) && !strings.ContainsRune(closing, text[i+1]) {
		return false
	}
	if text[i] != '.' {
		return true
	}
	word := 0
	for j := i - 1; j >= 0 && (unicode.IsLetter(text[j]) || unicode.IsDigit(text[j])); j-- {
		word++
	}
	last := string(text[max(0, i-word):i])
	switch strings.ToLower(last) {
	case "dr", "mr", "mrs", "ms", "prof", "inc", "corp", "ltd", "co", "st", "no", "vs", "jr", "sr", "gen", "sen", "rep":
		return i+1 >= len(text)-1
	}
	return word != 1 || unicode.IsDigit([]rune(last)[0])
}
