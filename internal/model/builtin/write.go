package builtin

import (
	"fmt"
	"regexp"
	"strings"
)

// write does without tools what the prompt asks for.
func (p prompt) write() string {
	text := p.skill()(p)
	if tag := askedTag(p.system); tag != "" && !strings.Contains(text, "<"+tag+">") {
		return "<" + tag + ">\n" + text + "\n</" + tag + ">"
	}
	return text
}

// skill goes by the prompt's own words; the order settles prompts that speak of several.
func (p prompt) skill() func(prompt) string {
	asked := p.system
	if asked == "" {
		asked = p.task
	}
	switch {
	case wants(p.task, "<search_results>", "search results:", "$search_results$"):
		return answered
	case wants(asked, "extract") && wants(asked, "entit", "names"):
		return extraction
	case wants(asked, "query") && wants(asked, "begin with", "start with", "research query", "write a query", "create a query"):
		return query
	case wants(asked, "reviewer", "review the", "you review", "review an", "critique"):
		return review
	case wants(asked, "write", "writer", "journalist", "draft", "summar", "report"):
		return article
	}
	return plain
}

var begins = regexp.MustCompile(`(?is)(?:begin|start)(?:s|ing)? with[^"“]{0,60}["“]([^"”]{4,600})["”]`)

// query is a request for research: the words that the prompt prescribes, and what it is about.
func query(p prompt) string {
	if m := begins.FindStringSubmatch(p.system); m != nil {
		return m[1] + "\n\n" + strings.TrimSpace(p.task)
	}
	return "For each of these entities give what is known of it, with where it comes from, under the heading \"Researched Entities\". " +
		"If an entity is not found in the knowledge base, discard it. Then repeat the facts under the heading \"New Facts\".\n\n" + strings.TrimSpace(p.task)
}

// maxSentences bounds an article.
const maxSentences = 24

// article is a headline, the news in the first sentences, and the evidence after them: every sentence is one that was given.
func article(p prompt) string {
	facts, evidence := material(p.task)
	if len(facts) == 0 {
		facts, evidence = evidence, nil
	}
	if len(facts) == 0 {
		return plain(p)
	}
	var b strings.Builder
	b.WriteString("# " + headline(facts[0]) + "\n\n")
	paragraphs(&b, facts, 3)
	paragraphs(&b, evidence, 3)
	return strings.TrimSpace(b.String())
}

var (
	heading = regexp.MustCompile(`(?im)^\s*(?:#+\s*|\*\*)?(?:new|news) facts:?\s*(?:\*\*)?:?\s*$`)
	field   = regexp.MustCompile(`^(?:entity_id|text|type|subtype|confidence|source|chunk|score)\s*:`)
	bullet  = regexp.MustCompile(`^\s*(?:[-*•]|\d+[.)])\s+`)
	noise   = regexp.MustCompile(`</?[a-z_]+>|^#+\s*.*$|^\*\*[^*]*\*\*:?$`)
)

// material takes facts and evidence from what a writer is given.
func material(text string) (facts, evidence []string) {
	before, after := text, ""
	if at := heading.FindStringIndex(text); at != nil {
		before, after = text[:at[0]], text[at[1]:]
	}
	after, remarks, _ := strings.Cut(after, "<review_feedback>")
	if _, rest, ok := strings.Cut(remarks, "</review_feedback>"); ok {
		after += rest
	}
	seen := map[string]bool{}
	return lines(after, seen), lines(before, seen)
}

// lines are the sentences of a text, each once, without its lists' marks and headings.
func lines(text string, seen map[string]bool) (out []string) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(noise.ReplaceAllString(bullet.ReplaceAllString(strings.TrimSpace(line), ""), ""))
		line = strings.TrimSpace(strings.TrimPrefix(line, "research:"))
		if field.MatchString(line) || len(line) < 20 {
			continue
		}
		for _, s := range sentences(line) {
			if key := strings.ToLower(s); len(s) >= 20 && !seen[key] && len(out) < maxSentences {
				seen[key] = true
				out = append(out, s)
			}
		}
	}
	return out
}

// headline is the beginning of the first sentence, up to twelve words.
func headline(sentence string) string {
	words := strings.Fields(strings.TrimRight(sentence, ".!?"))
	if len(words) > 12 {
		words = words[:12]
	}
	return strings.TrimRight(strings.Join(words, " "), ",;:")
}

func paragraphs(b *strings.Builder, sentences []string, each int) {
	for i, s := range sentences {
		if !strings.ContainsAny(s[len(s)-1:], ".!?\"") {
			s += "."
		}
		b.WriteString(s)
		if (i+1)%each == 0 || i == len(sentences)-1 {
			b.WriteString("\n\n")
		} else {
			b.WriteString(" ")
		}
	}
}

// answered puts the passages together that speak of the question.
func answered(p prompt) string {
	found, ok := tagged(p.task, "search_results")
	question := p.task
	if ok {
		question = strings.Replace(p.task, found, "", 1)
	} else {
		_, found, _ = strings.Cut(p.task, "earch results:")
	}
	terms := significant(question)
	var out []string
	for _, s := range lines(found, map[string]bool{}) {
		if hits(s, terms) > 0 && len(out) < 8 {
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		return "The search results do not say."
	}
	return strings.Join(out, "\n")
}

var word = regexp.MustCompile(`[A-Za-z][A-Za-z0-9-]{3,}`)

func significant(text string) map[string]bool {
	terms := map[string]bool{}
	for _, w := range word.FindAllString(text, 400) {
		terms[strings.ToLower(w)] = true
	}
	for _, common := range []string{"search", "results", "question", "answer", "what", "which", "that", "this", "with", "from", "about", "should", "must", "user", "model", "your"} {
		delete(terms, common)
	}
	return terms
}

func hits(sentence string, terms map[string]bool) (n int) {
	for _, w := range word.FindAllString(sentence, -1) {
		if terms[strings.ToLower(w)] {
			n++
		}
	}
	return n
}

// plain says what this model is, and what of the request it can hand back.
func plain(p prompt) string {
	said := sentences(p.task)
	if len(said) > 3 {
		return strings.Join(said[:3], " ")
	}
	return fmt.Sprintf("This is the built-in demo model, which understands nothing and makes nothing up. You said: %q. "+
		"For answers of a real model: moorage models add --help", strings.Join(said, " "))
}
