package builtin

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// fillFields fills the lines that the instructions show: with the value that the text gives by name, one of
// the values that are allowed, a name of that kind, or the sentence that comes closest.
func fillFields(t *turn, fields []field, text string) string {
	text = clip(text, maxInstructions)
	values := map[string]string{}
	var b strings.Builder
	for _, f := range fields {
		values[f.name] = fieldValue(f, text)
		fmt.Fprintf(&b, "%s: %s\n", f.name, values[f.name])
	}
	if !wantsJSON.MatchString(t.system) {
		return b.String()
	}
	out, _ := json.MarshalIndent(values, "", "  ") // of texts
	return string(out)
}

func fieldValue(f field, text string) string {
	label := regexp.MustCompile(`(?im)(?:^|[\s;,])` + regexp.QuoteMeta(f.name) + `\s*[:=]\s*(\S[^\n;,]{0,120})`)
	given := ""
	if m := label.FindStringSubmatch(text); m != nil {
		given = strings.Trim(m[1], " .\"")
	}
	if options := f.options(); len(options) > 0 {
		return choose(options, given, text)
	}
	if given != "" {
		return given
	}
	if kind, ok := kindsByProperty[strings.ToLower(f.name)]; ok {
		for _, e := range entitiesIn(text) {
			if kind == "" || e.kind == kind {
				return e.text
			}
		}
	}
	if best := nearest(f.name+" "+f.about, sentences(text), 1); len(best) > 0 {
		return best[0]
	}
	for _, s := range sentences(text) {
		if grave.MatchString(s) {
			return s
		}
	}
	return "unknown"
}

var (
	grave    = regexp.MustCompile(`(?i)\b(?:outage|down|data loss|breach|all (?:users|customers)|fails?|failing|failed|5\d\d|unavailable|crash\w*|corrupt\w*)\b`)
	graveOne = regexp.MustCompile(`(?i)critical|high|sev-?1|urgent|p1`)
)

// choose picks the option that the text names; a grave text gets a grave one; else the first.
func choose(options []string, given, text string) string {
	for _, where := range []string{plain(given), plain(text)} {
		for _, o := range options {
			if strings.Contains(where, plain(o)) {
				return o
			}
		}
	}
	if grave.MatchString(text) {
		for _, o := range options {
			if graveOne.MatchString(o) {
				return o
			}
		}
	}
	return options[0]
}
