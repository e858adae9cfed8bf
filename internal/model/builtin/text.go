package builtin

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

const maxSentences = 4000 // that it looks at, of any text

// sentences cuts a text into sentences. A quotation is never cut; a line ends a sentence.
func sentences(text string) (out []string) {
	begin, quoted := 0, false
	add := func(end int) {
		if s := strings.TrimSpace(text[begin:end]); s != "" {
			out = append(out, s)
		}
		begin = end
	}
	for i, r := range text {
		if len(out) >= maxSentences {
			return out
		}
		switch r {
		case '"':
			quoted = !quoted
		case '“':
			quoted = true
		case '”':
			quoted = false
		case '\n':
			quoted = false
			add(i)
			continue
		}
		end := i + utf8.RuneLen(r)
		if !quoted && endsAt(text, begin, i, end, r) {
			add(end)
		}
	}
	add(len(text))
	return out
}

// endsAt reports whether the letter at i ends a sentence that begins at begin.
func endsAt(text string, begin, i, end int, r rune) bool {
	if next, _ := utf8.DecodeRuneInString(text[end:]); end < len(text) && !unicode.IsSpace(next) {
		return false
	}
	if strings.ContainsRune(`"”`, r) {
		return i > 0 && strings.ContainsRune(".!?", rune(text[i-1])) && beginsUpper(text[end:])
	}
	return strings.ContainsRune("!?", r) || r == '.' && !abbreviated(text[begin:i])
}

// beginsUpper tells a quotation that ends a sentence from one that someone said.
func beginsUpper(rest string) bool {
	r, _ := utf8.DecodeRuneInString(strings.TrimLeftFunc(rest, unicode.IsSpace))
	return !unicode.IsLower(r)
}

var abbreviations = setOf("dr mr mrs ms prof inc ltd corp co st no vs jr sr gen sen rep approx e.g i.e")

func abbreviated(s string) bool {
	word := strings.TrimLeft(s[strings.LastIndexFunc(s, unicode.IsSpace)+1:], `("“'`)
	if utf8.RuneCountInString(word) == 1 {
		r, _ := utf8.DecodeRuneInString(word)
		return unicode.IsUpper(r)
	}
	return abbreviations[strings.ToLower(word)]
}

// words are a text's letters and digits, in lower case.
func words(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

// plain is a text reduced to its words, with a space at both ends, so that words can be looked up in it.
func plain(text string) string { return " " + strings.Join(words(text), " ") + " " }

// common words say nothing about what a text is about.
var common = setOf(`a about after again all also an and any are as at be because been before being between both but by can could did do does
doing down each every few for from further had has have he her here hers him his how i if in into is it its itself just let me more most
must my no nor not now of off on once one only or other our out over own per please said same says she should so some such than that the
their them then there these they this those through to too under until up us use very was we were what when where which while who whom
whose why will with would you your`)

// telling are the words of a text that say what it is about, each once.
func telling(text string) (out []string) {
	seen := map[string]bool{}
	for _, w := range words(text) {
		if !common[w] && !seen[w] {
			seen[w] = true
			out = append(out, w)
		}
	}
	return out
}

func setOf(list string) map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(list) {
		out[w] = true
	}
	return out
}

var (
	number    = regexp.MustCompile(`\d+(?:[.,:/]\d+)*`)
	quotation = regexp.MustCompile(`["“]([^"“”\n]*\s[^"“”\n]*)["”]`) // of two words or more
)

// quoted is a quotation as it is compared: without the marks that are the sentence's.
func quoted(s string) string { return strings.TrimSpace(plain(s)) }

// inside is what stands in a tag the last time, and whether there is one.
func inside(text, tag string) (string, bool) {
	begin := strings.LastIndex(text, "<"+tag+">")
	if begin < 0 {
		return "", false
	}
	rest := text[begin+len(tag)+2:]
	if end := strings.Index(rest, "</"+tag+">"); end >= 0 {
		rest = rest[:end]
	}
	return strings.TrimSpace(rest), true
}

var onlyTag = regexp.MustCompile(`(?s)^\s*<([A-Za-z][\w-]*)>(.*)</([A-Za-z][\w-]*)>\s*$`)

// bare takes off the tag around a text, if it is all in one.
func bare(text string) string {
	m := onlyTag.FindStringSubmatch(text)
	if m == nil || m[1] != m[3] || strings.Contains(m[2], "</"+m[1]+">") {
		return strings.TrimSpace(text)
	}
	return strings.TrimSpace(m[2])
}

// clip shortens a text to so many bytes, at a space.
func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	cut := whole(text[:n])
	if i := strings.LastIndexFunc(cut, unicode.IsSpace); i > n/2 {
		cut = cut[:i]
	}
	return strings.TrimSpace(cut) + " …"
}
