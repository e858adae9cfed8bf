package builtin

import (
	"regexp"
	"strings"
)

// A text in quotation marks that ends its paragraph; there may be quotations in it.
const block = `[^\n]*?:\s*["“](.*?)["”][ \t]*(?:\n[ \t]*\n|$)`

var (
	mustStart = regexp.MustCompile(`(?is)\b(?:must|should|always)?\s*(?:start|begin)s? with` + block)
	mustAdd   = regexp.MustCompile(`(?is)\badd the following` + block)
)

// writeQuery writes what another model, or a search, is asked: the words that the instructions want it to
// begin with, then the material; without such words, one query for each name.
func writeQuery(t *turn, text string) string {
	var parts []string
	for _, p := range []*regexp.Regexp{mustStart, mustAdd} {
		if m := p.FindStringSubmatch(t.system); m != nil {
			parts = append(parts, strings.TrimSpace(m[1]))
		}
	}
	if len(parts) > 0 {
		return strings.Join(append(parts, text), "\n\n")
	}
	for _, e := range entitiesIn(text) {
		if e.kind != kindPlace && len(parts) < maxAtOnce {
			parts = append(parts, strings.TrimSpace(e.text+" "+e.role))
		}
	}
	if len(parts) == 0 {
		return clip(strings.Join(telling(text), " "), maxSearch)
	}
	return strings.Join(parts, "\n")
}
