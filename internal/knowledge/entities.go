package knowledge

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
)

const (
	maxEntities = 24
	maxEntity   = 120 // bytes of a name
)

// entityLine is a line of a list of entities, as agents write them: "text: MediScan", "- **text**: MediScan",
// "text=MediScan, type=PRODUCT".
var entityLine = regexp.MustCompile(`(?im)(?:^|[\s,{*\-])"?\**(?:text|name|entity)\**"?\s*[:=]\s*\**\s*"?([^"\n,;|*{}]{2,120})`)

// entitiesIn are the names that a question is about: those of a list of entities if it has one, else what is
// written with capitals inside a long text. A short question is about itself, and has none.
func entitiesIn(question string) []string {
	var out []string
	add := func(name string) {
		name = strings.Trim(strings.Join(strings.Fields(name), " "), " .:'\"`()[]<>")
		known := slices.ContainsFunc(out, func(o string) bool { return strings.EqualFold(o, name) })
		if len(name) > 1 && len(name) <= maxEntity && !known && len(out) < maxEntities && strings.IndexFunc(name, unicode.IsLetter) >= 0 {
			out = append(out, name)
		}
	}
	for _, m := range entityLine.FindAllStringSubmatch(question, -1) {
		add(m[1])
	}
	if len(out) > 0 || len(question) < 200 {
		return out
	}
	for _, name := range capitalised(question) {
		add(name)
	}
	return out
}

// name is a run of words with capitals, initials and honorifics among them.
var nameRun = regexp.MustCompile(`(?:(?:Dr|Mr|Mrs|Ms|Prof)\. )?\p{Lu}[\p{L}\p{N}&'’.-]*(?: (?:of |and |for |the )?\p{Lu}[\p{L}\p{N}&'’.-]*)*`)

// capitalised are the names in a text: two words or more, or one with a capital inside or in the middle of a
// sentence.
func capitalised(text string) (out []string) {
	for _, at := range nameRun.FindAllStringIndex(text, -1) {
		name := strings.TrimRight(text[at[0]:at[1]], ".'’-")
		first := at[0] == 0 || strings.ContainsAny(text[max(0, at[0]-2):at[0]], ".!?:\n\"")
		inside := strings.IndexFunc(name[1:], unicode.IsUpper) >= 0
		if inside || !first && !IsCommon(strings.ToLower(name)) {
			out = append(out, name)
		}
	}
	return out
}
