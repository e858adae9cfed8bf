package main

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// sentences cuts a text into sentences. A quotation is never cut.
func sentences(text string) (out []string) {
	begin, quoted := 0, false
	add := func(end int) {
		if s := strings.TrimSpace(text[begin:end]); s != "" {
			out = append(out, s)
		}
		begin = end
	}
	for i, r := range text {
		switch {
		case r == '"':
			quoted = !quoted
		case r == '“':
			quoted = true
		case r == '”':
			quoted = false
		case r == '\n':
			quoted = false
			add(i)
		}
		after := text[i+utf8.RuneLen(r):]
		if quoted || !strings.HasPrefix(after+" ", " ") && !strings.HasPrefix(after, "\n") {
			continue
		}
		if strings.ContainsRune(".!?", r) && !abbreviated(text[begin:i]) || strings.ContainsRune(`"”`, r) && i > 0 && strings.ContainsRune(".!?", rune(text[i-1])) {
			add(i + utf8.RuneLen(r))
		}
	}
	add(len(text))
	return out
}

// abbreviated reports whether a full stop after s ends a word such as Dr, and no sentence.
func abbreviated(s string) bool {
	i := strings.LastIndexFunc(s, unicode.IsSpace)
	switch word := s[i+1:]; word {
	case "Dr", "Mr", "Mrs", "Ms", "Prof", "Inc", "Ltd", "Corp", "St":
		return true
	default:
		return len(word) == 1 && unicode.IsUpper(rune(word[0]))
	}
}

// quotation is what stands between quotation marks, of two words or more.
var quotation = regexp.MustCompile(`["“]([^"“”\n]*\s[^"“”\n]*)["”]`)

// evenly makes the spellings of quotation marks and spaces one.
func evenly(s string) string {
	s = strings.NewReplacer("“", `"`, "”", `"`, "’", "'", "‘", "'").Replace(s)
	return strings.ToLower(strings.Join(strings.Fields(s), " "))
}

// keepQuotations drops every sentence with a quotation that no source contains, and says which those were.
func keepQuotations(article, sources string) (kept string, removed []string) {
	sources = evenly(sources)
	return keep(article, func(sentence string) bool {
		for _, m := range quotation.FindAllStringSubmatch(sentence, -1) {
			if said := strings.TrimRight(evenly(m[1]), ",.;:!?"); !strings.Contains(sources, said) {
				removed = append(removed, m[1])
				return false
			}
		}
		return true
	}), removed
}

// dropNames drops every sentence that names one of these.
func dropNames(article string, names []Discarded) (kept string, removed []string) {
	return keep(article, func(sentence string) bool {
		for _, d := range names {
			if nameMatch(d.Text, sentence) >= sameName {
				removed = append(removed, sentence)
				return false
			}
		}
		return true
	}), removed
}

// keep rebuilds a text, paragraph by paragraph, from the sentences that pass.
func keep(text string, pass func(string) bool) string {
	var paragraphs []string
	for _, paragraph := range strings.Split(text, "\n") {
		var left []string
		all := sentences(paragraph)
		for _, s := range all {
			if pass(s) {
				left = append(left, s)
			}
		}
		if len(left) > 0 || len(all) == 0 {
			paragraphs = append(paragraphs, strings.Join(left, " "))
		}
	}
	return strings.TrimSpace(blankLines.ReplaceAllString(strings.Join(paragraphs, "\n"), "\n\n"))
}

var blankLines = regexp.MustCompile(`\n{3,}`)

// tagged is what a model wrote inside a tag, or all of it where it left the tag out.
func tagged(answer, tag string) string {
	if _, rest, ok := strings.Cut(answer, "<"+tag+">"); ok {
		inside, _, _ := strings.Cut(rest, "</"+tag+">")
		return strings.TrimSpace(inside)
	}
	return strings.TrimSpace(answer)
}
