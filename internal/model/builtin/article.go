package builtin

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	usualWords   = 800 // of an article
	headWords    = 12
	perParagraph = 3 // sentences
)

var wordLimit = regexp.MustCompile(`(?i)\b(\d{2,5})[ -]words?\b`)

// writeArticle writes from facts and evidence, word for word: a headline, the facts as they came, what else
// is known. With a draft and remarks it revises the draft instead.
func writeArticle(t *turn, material string) string {
	b := readBrief(material)
	if len(b.facts) == 0 && b.draft == "" {
		return "There are no facts to write about."
	}
	if b.draft != "" && b.feedback != "" {
		return revise(b)
	}
	paragraphs := append(inParagraphs(b.facts), inParagraphs(fresh(b.evidence, b.facts))...)
	return headlineOf(b.facts) + "\n\n" + strings.Join(within(paragraphs, t.articleWords()), "\n\n")
}

// articleWords is the length that is asked for.
func (t *turn) articleWords() int {
	if m := wordLimit.FindStringSubmatch(t.system); m != nil && !strings.Contains(strings.ToLower(t.system), "than "+m[1]) {
		return max(50, count(m[1]))
	}
	return usualWords
}

// headlineOf is the main clause of the first fact.
func headlineOf(facts []string) string {
	if len(facts) == 0 {
		return "In brief"
	}
	head := strings.TrimRight(facts[0], ".!? ")
	if before, _, found := strings.Cut(head, ", "); found && len(strings.Fields(before)) >= 4 {
		head = before
	}
	if all := strings.Fields(head); len(all) > headWords {
		head = strings.Join(all[:clauseEnd(all)], " ")
	}
	return strings.Trim(head, `"“”`)
}

var links = setOf("about after and as at because before but by for from in of on over since that to until when which while who with")

// clauseEnd is where a headline may end: before the last of its words that only links.
func clauseEnd(all []string) int {
	for i := headWords; i > headWords/2; i-- {
		if links[all[i]] {
			return i
		}
	}
	return headWords
}

// inParagraphs puts sentences together. Somebody's words begin a paragraph.
func inParagraphs(all []string) (out []string) {
	var now []string
	flush := func() {
		if len(now) > 0 {
			out = append(out, strings.Join(now, " "))
		}
		now = nil
	}
	for _, s := range all {
		if quotation.MatchString(s) || len(now) >= perParagraph {
			flush()
		}
		now = append(now, stopped(s))
	}
	flush()
	return out
}

// stopped ends a sentence with a full stop.
func stopped(s string) string {
	if r, _ := utf8.DecodeLastRuneInString(s); unicode.IsLetter(r) || unicode.IsDigit(r) || r == '%' || r == ')' {
		return s + "."
	}
	return s
}

// fresh are the statements that facts do not make already.
func fresh(evidence, facts []string) (out []string) {
	have := plain(strings.Join(facts, " "))
	for _, s := range evidence {
		if !strings.Contains(have, plain(s)) {
			out = append(out, s)
		}
	}
	return out
}

// within keeps the first paragraphs, of so many words.
func within(paragraphs []string, most int) []string {
	n := 0
	for i, p := range paragraphs {
		if n += len(strings.Fields(p)); n > most && i > 0 {
			return paragraphs[:i]
		}
	}
	return paragraphs
}

var rewriting = regexp.MustCompile(`(?m)^\s*Sentence: (.+)\n(?:^\s*(?:Why|Suggestion): .*\n)*^\s*Rewrite: (.+)$`)

// revise follows the remarks that name a sentence and its rewrite, as far as the sources bear it out, and
// mends what else it sees itself.
func revise(b brief) string {
	known, instead := sourcesOf(b.all), map[string]string{}
	for _, m := range rewriting.FindAllStringSubmatch(b.feedback, -1) {
		if known.lacks(m[2]) == "" || m[2] == leaveOutWords {
			instead[plain(m[1])] = m[2]
		}
	}
	out := eachSentence(b.draft, func(s string) string {
		if new, ok := instead[plain(s)]; ok {
			s = strings.TrimSpace(strings.TrimPrefix(new, leaveOutWords))
		}
		if known.lacks(s) != "" {
			return ""
		}
		if len(strings.Fields(s)) > longSentence {
			s = splitSentence(s)
		}
		return s
	})
	if missing := missingFrom(out, b.facts); len(missing) > 0 {
		out += "\n\n" + strings.Join(inParagraphs(missing), "\n\n")
	}
	return out
}

// eachSentence rebuilds a text from what change makes of each sentence; one that has been there is dropped.
func eachSentence(text string, change func(string) string) string {
	var lines []string
	seen := map[string]bool{}
	for _, line := range strings.Split(text, "\n") {
		var kept []string
		all := sentences(line)
		for _, s := range all {
			if key := plain(s); !seen[key] {
				seen[key] = true
				if s = change(s); s != "" {
					kept = append(kept, s)
				}
			}
		}
		if len(kept) > 0 || len(all) == 0 {
			lines = append(lines, strings.Join(kept, " "))
		}
	}
	return strings.TrimSpace(emptyLines.ReplaceAllString(strings.Join(lines, "\n"), "\n\n"))
}

var (
	emptyLines = regexp.MustCompile(`\n{3,}`)
	joint      = regexp.MustCompile(`; |, (?:and|but) `)
)

// splitSentence cuts a long sentence in two at the joint that is nearest to its middle; one that has none,
// or a quotation, stays.
func splitSentence(s string) string {
	best := []int(nil)
	for _, at := range joint.FindAllStringIndex(s, -1) {
		if best == nil || abs(at[0]-len(s)/2) < abs(best[0]-len(s)/2) {
			best = at
		}
	}
	if best == nil || strings.ContainsAny(s, `"“`) {
		return s
	}
	second := s[best[1]:]
	r, n := utf8.DecodeRuneInString(second)
	return s[:best[0]] + ". " + string(unicode.ToUpper(r)) + second[n:]
}

func abs(n int) int { return max(n, -n) }

// sources are what may be quoted, read once.
type sources struct {
	words   string
	numbers map[string]bool
}

func sourcesOf(text string) sources {
	s := sources{plain(text), map[string]bool{}}
	for _, n := range number.FindAllString(text, -1) {
		s.numbers[n] = true
	}
	return s
}

const maxChecked = 8 // quotations of a sentence

// lacks is the first number or quotation of a sentence that no source has; empty for none.
func (s sources) lacks(sentence string) string {
	for _, m := range quotation.FindAllStringSubmatch(sentence, maxChecked) {
		if !strings.Contains(s.words, plain(m[1])) {
			return m[1]
		}
	}
	for _, n := range number.FindAllString(sentence, -1) {
		if !s.numbers[n] {
			return n
		}
	}
	return ""
}

// missingFrom are the facts that a text leaves out.
func missingFrom(text string, facts []string) (out []string) {
	have := map[string]bool{}
	for _, w := range words(text) {
		have[w] = true
	}
	for _, f := range facts {
		all, n := telling(f), 0
		for _, w := range all {
			if have[w] {
				n++
			}
		}
		if n*2 < len(all) {
			out = append(out, f)
		}
	}
	return out
}
