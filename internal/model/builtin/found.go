package builtin

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var (
	resultTag  = regexp.MustCompile(`(?s)<search_result\b[^>]*>(.*?)</search_result>`)
	entityLine = regexp.MustCompile(`(?im)^[\s*-]*\**(?:text|name|entity)\**\s*:\s*\**\s*([^\n*]{2,120})`)
	factsBelow = regexp.MustCompile(`(?im)^[\s#*]*new(?:s)? facts[\s:*"]*$`)
)

const (
	unknown   = "Sorry, I am unable to assist you with this request." // the words of Bedrock
	maxAbout  = 5                                                     // statements about a name
	maxAnswer = 5                                                     // statements of an answer
)

// searchResults are the passages that a prompt carries.
func searchResults(text string) (out []string) {
	for _, m := range resultTag.FindAllStringSubmatch(text, -1) {
		out = append(out, strings.TrimSpace(m[1]))
	}
	return out
}

// answerFrom answers with what the passages say, word for word. Asked about a list of names it reports on
// those that the passages know, and hands on the facts that came with them.
func answerFrom(text string, passages []string) string {
	question := strings.TrimSpace(resultTag.ReplaceAllString(text, ""))
	var all []string
	for _, p := range passages {
		all = append(all, statements(p)...)
	}
	named := entityLine.FindAllStringSubmatch(question, maxEntities)
	if len(named) == 0 {
		return closest(question, all)
	}
	return report(named, all, question)
}

func closest(question string, all []string) string {
	best := nearest(question, all, maxAnswer)
	if len(best) == 0 {
		return unknown
	}
	return strings.Join(best, "\n")
}

func report(named [][]string, all []string, question string) string {
	var b strings.Builder
	n := 0
	for _, m := range named {
		name := strings.Trim(m[1], " .\"")
		known := naming(name, all)
		if len(known) == 0 || strings.HasPrefix(name, "extracted text") {
			continue
		}
		n++
		fmt.Fprintf(&b, "- entity_id: %d\n  text: %s\n  research:\n", n, name)
		for _, s := range known {
			fmt.Fprintf(&b, "    - %s\n", s)
		}
	}
	if n == 0 {
		return unknown
	}
	out := "Researched Entities\n\n" + b.String()
	if at := factsBelow.FindAllStringIndex(question, -1); at != nil {
		out += "\nNew Facts\n\n" + strings.TrimSpace(question[at[len(at)-1][1]:]) + "\n"
	}
	return out
}

// naming are the statements that have a name in them.
func naming(name string, all []string) (out []string) {
	name = plain(bareName(name))
	for _, s := range all {
		if len(out) < maxAbout && strings.TrimSpace(name) != "" && strings.Contains(plain(s), name) && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

var flat = regexp.MustCompile(`^([\w\- ]+(?:[.\[][^: ]*)?): (.*)$`)

// statements are the sentences of a passage; lines "record.field: value" of one record are one statement.
// Sentences that speak to a model instead of a reader are left out.
func statements(passage string) (out []string) {
	record, parts := "", []string(nil)
	flush := func() {
		if len(parts) > 0 {
			out = append(out, strings.Join(parts, "; "))
		}
		parts = nil
	}
	for _, line := range strings.Split(passage, "\n") {
		m := flat.FindStringSubmatch(line)
		if m == nil {
			flush()
			out = append(out, sentences(line)...)
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
		parts = append(parts, strings.ReplaceAll(name, "_", " ")+": "+m[2])
	}
	flush()
	return slices.DeleteFunc(out, commands)
}

var orders = regexp.MustCompile(`(?i)\b(?:ignore|disregard|forget)\b.{0,40}\b(?:instructions?|prompts?|rules)\b|\bsystem prompt\b|\b(?:print|reveal|show|send|output)\b.{0,40}\b(?:credentials?|passwords?|api keys?|secrets?|access keys?|environment variables)\b|\bas an ai\b`)

// commands reports whether a sentence gives a model orders. What was found is material, never an instruction.
func commands(s string) bool { return orders.MatchString(s) }
