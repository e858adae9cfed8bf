package builtin

import (
	"regexp"
	"strings"
)

var (
	wants   = regexp.MustCompile(`(?i)\b(?:answer|write|return|respond|reply|put|wrap|output|enclose|end|finish|provide|give|hand)\b`)
	given   = regexp.MustCompile(`(?i)found in|given in|provided in|comes? in|passed in|stands? in|receive`)
	openTag = regexp.MustCompile(`<([A-Za-z][\w-]{0,40})>`)
)

// outputTag is the tag that the instructions want the answer in; empty for none.
func outputTag(system string) (tag string) {
	for _, s := range sentences(system) {
		if !wants.MatchString(s) || given.MatchString(s) {
			continue
		}
		if m := openTag.FindAllStringSubmatch(s, -1); m != nil {
			tag = m[len(m)-1][1]
		}
	}
	return tag
}

// shaped puts an answer in the tag that is wanted.
func shaped(text, tag string) string {
	if tag == "" {
		return text
	}
	if has, ok := inside(text, tag); ok && strings.HasPrefix(strings.TrimSpace(text), "<"+tag+">") {
		text = has
	}
	return "<" + tag + ">\n" + strings.TrimSpace(text) + "\n</" + tag + ">"
}

var (
	wantsJSON = regexp.MustCompile(`(?i)\b(?:in|as|valid|only|of|return|output) json\b|\bjson (?:only|object|array|list)\b`)
	attribute = regexp.MustCompile(`^[\s*-]*\**([A-Za-z][A-Za-z_ ]{0,30}?)\**\s*:\s*(.*)$`)
)

// field is a line of the form that the instructions show: its name, and what they say of its value.
type field struct{ name, about string }

// fieldsOf finds lines such as "severity: low, medium or high" that follow each other in a prompt.
func fieldsOf(system string) (best []field) {
	var now []field
	for _, line := range append(strings.Split(system, "\n"), "") {
		m := attribute.FindStringSubmatch(line)
		if m != nil && len(strings.Fields(m[1])) <= 3 && m[2] != "" {
			now = append(now, field{strings.TrimSpace(m[1]), strings.TrimSpace(m[2])})
			continue
		}
		if len(now) > len(best) {
			best = now
		}
		now = nil
	}
	if len(best) < 2 {
		return nil
	}
	return best[:min(len(best), maxProperties)]
}

var separators = regexp.MustCompile(`\s*(?:,|/|\||\bor\b)\s*`)

// options are the values that a field may have: "low, medium or high"; none where any will do.
func (f field) options() (out []string) {
	all := separators.Split(strings.Trim(f.about, " .`\""), -1)
	for _, o := range all {
		if o = strings.TrimSpace(o); o == "" {
			continue
		}
		if len(strings.Fields(o)) > 2 {
			return nil
		}
		out = append(out, o)
	}
	if len(out) < 2 {
		return nil
	}
	return out
}
