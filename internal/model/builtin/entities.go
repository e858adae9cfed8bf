package builtin

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// entity is a name that a text speaks of.
type entity struct {
	text, kind, subtype string
}

// Kinds of entities, as prompts call them.
const (
	person       = "PERSON"
	organization = "ORGANIZATION"
	product      = "PRODUCT"
)

var (
	capitalised = regexp.MustCompile(`\b(?:(?:Dr|Mr|Mrs|Ms|Prof)\.? )?[A-Z][A-Za-z0-9&'-]*(?:(?: (?:of|and|for|the))? [A-Z][A-Za-z0-9&'-]*){0,5}(?:,? (?:Inc|Corp|Ltd|LLC)\.?)?`)
	quoted      = regexp.MustCompile(`["“]([A-Z][A-Za-z0-9]{2,30})[,.]?["”]`)
	honorific   = regexp.MustCompile(`^(?:Dr|Mr|Mrs|Ms|Prof)\.? `)
	legal       = regexp.MustCompile(`\b(?:Inc|Corp|Corporation|Ltd|LLC|Company|Group|Holdings|Solutions|Systems|Technologies|Labs|Bank|University|Institute|Agency|Administration|Ministry|Council|Hospital|Network|Biotech|Pharma|Foundation|Commission)\b`)
	inner       = regexp.MustCompile(`[a-z][A-Z]`) // NeuraHealth, MediScan
	role        = regexp.MustCompile(`^\s*,?\s*(?:the |its |their )?((?:[Cc]hief|[Ss]enior|[Vv]ice|[Hh]ead|[Dd]irector|[Pp]resident|CEO|CFO|CTO|CMO|[Mm]anaging|[Ff]ounder|[Cc]hair)[A-Za-z -]{0,50})`)
)

// commonStarts begin sentences and are no names.
var commonStarts = []string{
	"The", "A", "An", "In", "On", "At", "It", "This", "That", "These", "According", "However", "But", "And", "For", "We", "He", "She", "They", "After",
	"Before", "When", "While", "With", "From", "As", "If", "Its", "Their", "Our", "By", "New", "News", "Facts", "Today", "Yesterday",
}

// entitiesOf finds the people, organizations and products that a text names.
func entitiesOf(text string) (found []entity) {
	add := func(e entity) {
		if e.text != "" && !slices.ContainsFunc(found, func(f entity) bool { return f.text == e.text }) {
			found = append(found, e)
		}
	}
	for _, m := range quoted.FindAllStringSubmatch(text, -1) {
		add(entity{m[1], product, "Product"})
	}
	for _, sentence := range sentences(text) {
		for _, at := range capitalised.FindAllStringIndex(sentence, -1) {
			add(classify(trimName(sentence[at[0]:at[1]]), sentence[at[1]:], at[0] == 0))
		}
	}
	return found
}

func trimName(name string) string {
	for _, start := range commonStarts {
		if name == start {
			return ""
		}
		name = strings.TrimPrefix(name, start+" ")
	}
	return strings.TrimSuffix(strings.TrimSuffix(name, "'s"), "'")
}

// classify tells what kind of thing a name is, by its form and by what follows it.
func classify(name, after string, first bool) entity {
	words := strings.Fields(honorific.ReplaceAllString(name, ""))
	title := role.FindStringSubmatch(after)
	switch {
	case len(words) == 0 || isTitle(name):
		return entity{}
	case honorific.MatchString(name) || title != nil && len(words) >= 2 && !legal.MatchString(name):
		subtype := "Individual"
		if title != nil {
			subtype = strings.TrimSpace(title[1])
		}
		return entity{name, person, subtype}
	case legal.MatchString(name):
		return entity{name, organization, "Company"}
	case len(words) == 1 && inner.MatchString(name):
		return entity{name, product, "Product"}
	case len(words) == 1: // one capital alone says little
		return entity{}
	case len(words) <= 3 && !first && !strings.ContainsAny(name, "0123456789&"):
		return entity{name, person, "Individual"}
	case len(words) <= 3:
		return entity{name, person, "Individual"}
	}
	return entity{}
}

// isTitle reports whether a run of capitals is an office, not who holds it.
func isTitle(name string) bool {
	return role.MatchString(name) || wants(name, "officer", "president", "director", "vice ")
}

// extraction is the list that prompts for entities ask for, followed by the text that it came from.
func extraction(p prompt) string {
	var b strings.Builder
	b.WriteString("## Entities\n\n")
	for i, e := range entitiesOf(p.task) {
		fmt.Fprintf(&b, "- entity_id: %d\n  text: %s\n  type: %s\n  subtype: %s\n  confidence: %s\n", i+1, e.text, e.kind, e.subtype, confidence(e))
	}
	b.WriteString("\n## New Facts\n\n" + strings.TrimSpace(p.task) + "\n")
	return b.String()
}

func confidence(e entity) string {
	if e.subtype == "Individual" {
		return "0.8"
	}
	return "0.95"
}
