package builtin

import (
	"regexp"
	"strings"
)

// brief is what a writer or a reviewer has been given.
type brief struct {
	facts    []string // what happened
	evidence []string // what else is known
	draft    string   // what was written so far
	feedback string   // what a reviewer said of it
	all      string   // that may be quoted
}

var (
	workTags = []string{"previous_draft", "draft", "article", "report"}
	factTags = []string{"news_facts", "new_facts", "facts", "incident", "request", "notes"}

	factsHead = regexp.MustCompile(`(?im)^[\s#*]*(?:(?:news?|original|key) )?facts[\s:*]*$`)
	nextHead  = regexp.MustCompile(`(?m)^\s*(?:#+ |</?[A-Za-z][\w-]*>)`)
	bullet    = regexp.MustCompile(`^\s*(?:[-*•]|\d+[.)])\s+`)
	attribs   = regexp.MustCompile(`(?i)^\**(?:entity_id|id|text|type|subtype|confidence|research)\b[^:]{0,10}:`)
	headLine  = regexp.MustCompile(`(?i)^[\s#*]*(?:researched )?(?:entities|research|news? facts|facts|output format)[\s:*]*$`)
	origin    = regexp.MustCompile(`\s*\((?:s3|file|https?)://[^()\s]*\)$`)
)

// readBrief takes a text apart by its tags and headings. A text without any is facts.
func readBrief(text string) (b brief) {
	b.feedback, text = cutTag(text, "review_feedback")
	if b.feedback == "" {
		b.feedback, text = cutTag(text, "feedback")
	}
	for _, tag := range workTags {
		if b.draft == "" {
			b.draft, text = cutTag(text, tag)
		}
	}
	b.all = text
	facts := ""
	for _, tag := range factTags {
		var found string
		found, text = cutTag(text, tag)
		facts += "\n" + found
	}
	if at := factsHead.FindStringIndex(text); at != nil {
		rest := text[at[1]:]
		end := len(rest)
		if next := nextHead.FindStringIndex(rest); next != nil {
			end = next[0]
		}
		facts += "\n" + rest[:end]
		text = text[:at[0]] + "\n" + rest[end:]
	}
	b.facts, b.evidence = points(facts), points(text)
	if len(b.facts) == 0 {
		b.facts, b.evidence = b.evidence, nil
	}
	return b
}

// cutTag takes what stands in a tag, the last time, out of a text.
func cutTag(text, tag string) (found, rest string) {
	begin := strings.LastIndex(text, "<"+tag+">")
	if begin < 0 {
		return "", text
	}
	found, _ = inside(text, tag)
	after := ""
	if end := strings.Index(text[begin:], "</"+tag+">"); end >= 0 {
		after = text[begin+end+len(tag)+3:]
	}
	return found, text[:begin] + after
}

// points are the sentences of a text with lists, records and lines of fields in it; what speaks to a model
// and what is only a heading, a name or a tag is none.
func points(text string) (out []string) {
	seen := map[string]bool{}
	for _, line := range strings.Split(text, "\n") {
		line = strings.ReplaceAll(bullet.ReplaceAllString(strings.TrimSpace(line), ""), "**", "")
		line = strings.TrimSpace(origin.ReplaceAllString(line, ""))
		if strings.HasSuffix(line, ": unknown") || attribs.MatchString(line) || headLine.MatchString(line) || strings.HasPrefix(line, "<") || strings.HasPrefix(line, "#") {
			continue
		}
		for _, s := range sentences(line) {
			s = asSentence(s)
			if key := plain(s); len(strings.Fields(s)) > 2 && !seen[key] && !commands(s) && len(out) < maxSentences {
				seen[key] = true
				out = append(out, s)
			}
		}
	}
	return out
}

var pair = regexp.MustCompile(`^([A-Za-z][A-Za-z_ ]{0,30}): (\S.*)$`)

// asSentence makes a sentence of a record such as "name: Raj Patel; title: Partner; employer: Hartog".
func asSentence(s string) string {
	values, rest := map[string]string{}, []string(nil)
	for _, part := range strings.Split(s, "; ") {
		m := pair.FindStringSubmatch(part)
		if m == nil {
			return s
		}
		switch name := strings.ToLower(m[1]); name {
		case "name", "title", "employer":
			values[name] = m[2]
		default:
			rest = append(rest, strings.ReplaceAll(m[1], "_", " ")+" "+m[2])
		}
	}
	name, title := values["name"], values["title"]
	switch {
	case name == "" && len(rest) == 1:
		return fieldSentence(s)
	case name == "":
		return s
	case title != "":
		out := name + " is " + title
		if values["employer"] != "" {
			out += " at " + values["employer"]
		}
		return out + "."
	}
	return name + ": " + strings.Join(rest, ", ") + "."
}

// fieldSentence makes a sentence of "severity: high"; of "symptom: requests fail …" the sentence.
func fieldSentence(s string) string {
	name, value, _ := strings.Cut(s, ": ")
	if len(strings.Fields(value)) > 6 {
		return value
	}
	return "The " + strings.ToLower(strings.ReplaceAll(name, "_", " ")) + " is " + strings.TrimRight(value, ".") + "."
}
