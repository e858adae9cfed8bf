package builtin

import (
	"regexp"
	"strings"
)

// wants reports whether a text has one of some words in it, in any case.
func wants(text string, words ...string) bool {
	text = strings.ToLower(text)
	for _, w := range words {
		if strings.Contains(text, w) {
			return true
		}
	}
	return false
}

// tagged is what stands between a tag's beginning and end.
func tagged(text, tag string) (inner string, ok bool) {
	_, rest, ok := strings.Cut(text, "<"+tag+">")
	if !ok {
		return "", false
	}
	inner, _, ok = strings.Cut(rest, "</"+tag+">")
	return inner, ok
}

var tags = regexp.MustCompile(`<([a-z][a-z_]{1,30})>`)

// inputTags hold what a prompt gives, not what it asks for.
var inputTags = map[string]bool{"example": true, "examples": true, "instructions": true, "context": true, "input": true, "documents": true, "facts": true, "guidelines": true, "thinking": true}

// askedTag is the tag in which a prompt wants its answer: the one that its last words about an output name.
func askedTag(system string) (asked string) {
	for _, at := range tags.FindAllStringSubmatchIndex(system, -1) {
		tag := system[at[2]:at[3]]
		before := system[max(0, at[0]-160):at[0]]
		if !inputTags[tag] && wants(before, "in a", "in <", "inside", "within", "wrap", "output", "return", "tag", "enclos", "between") {
			asked = tag
		}
	}
	return asked
}

// sentences cuts a text into sentences. Titles, initials and decimals end none.
func sentences(text string) (out []string) {
	text = strings.Join(strings.Fields(text), " ")
	from := 0
	for i := 0; i+1 < len(text); i++ {
		if (text[i] == '.' || text[i] == '!' || text[i] == '?') && text[i+1] == ' ' && !abbreviated(text[from:i]) {
			out = append(out, text[from:i+1])
			from = i + 2
		}
	}
	if rest := strings.TrimSpace(text[min(from, len(text)):]); rest != "" {
		out = append(out, rest)
	}
	return out
}

var abbreviations = regexp.MustCompile(`(?:^|[ (])(?:Dr|Mr|Mrs|Ms|Prof|St|Inc|Corp|Ltd|Co|vs|No|U\.S|[A-Z])$`)

func abbreviated(before string) bool { return abbreviations.MatchString(before) }

// quotations are texts in double quotes, of some length.
var quotations = regexp.MustCompile(`["“]([^"”\n]{12,400})["”]`)

var numbers = regexp.MustCompile(`\$?\d[\d,]*(?:\.\d+)?(?:\s?%| million| billion)?`)
