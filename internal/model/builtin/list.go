package builtin

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// listEntities names what the text names, in the form that the instructions show.
func listEntities(t *turn, text string) string {
	kinds := kindsWanted(t.system)
	all := entitiesIn(text)
	if kinds[kindDate] || kinds[kindAmount] {
		all = append(all, figuresIn(text)...)
	}
	var wanted []entity
	for _, e := range all {
		if kinds[e.kind] {
			wanted = append(wanted, e)
		}
	}
	fields := entityFields(t.system)
	if wantsJSON.MatchString(t.system) {
		return entitiesAsJSON(fields, wanted)
	}
	out := entitiesAsList(heading(t.system), fields, wanted)
	if newFacts.MatchString(t.system) {
		out += "\nNew Facts\n\n" + text + "\n"
	}
	return out
}

var (
	newFacts  = regexp.MustCompile(`(?i)(?:titled|heading|section)[^\n]{0,40}\bnew facts\b`)
	titledAs  = regexp.MustCompile(`(?i)(?:titled|heading|headed|under)\s+(?:the heading\s+)?["“']?(\p{Lu}\p{L}+)`)
	upperKind = regexp.MustCompile(`\b(PERSON|ORGANI[SZ]ATION|COMPANY|PRODUCT|PLACE|LOCATION|DATE|AMOUNT|MONEY)\b`)
	leaveOut  = regexp.MustCompile(`(?i)leave out|ignore|exclude|\bnot\b|omit|except`)
	plainKind = regexp.MustCompile(`(?i)\b(pe(?:ople|rsons?)|organi[sz]ations?|compan(?:y|ies)|products?|places?|locations?|dates?|amounts?|money)\b`)
)

// kindsWanted are the kinds that the instructions write in capitals, else those that they speak of, else
// people, organisations and products.
func kindsWanted(system string) map[string]bool {
	out := map[string]bool{}
	for _, m := range upperKind.FindAllString(system, -1) {
		out[kindOf(m)] = true
	}
	if len(out) == 0 {
		for _, s := range sentences(system) {
			for _, m := range plainKind.FindAllString(s, -1) {
				if !leaveOut.MatchString(s) {
					out[kindOf(m)] = true
				}
			}
		}
	}
	if len(out) == 0 {
		out = map[string]bool{kindPerson: true, kindOrganization: true, kindProduct: true}
	}
	return out
}

func kindOf(word string) string {
	switch w := strings.ToLower(word); {
	case strings.HasPrefix(w, "pe"):
		return kindPerson
	case strings.HasPrefix(w, "org"), strings.HasPrefix(w, "comp"):
		return kindOrganization
	case strings.HasPrefix(w, "prod"):
		return kindProduct
	case strings.HasPrefix(w, "pl"), strings.HasPrefix(w, "loc"):
		return kindPlace
	case strings.HasPrefix(w, "date"):
		return kindDate
	}
	return kindAmount
}

// heading is that of the list.
func heading(system string) string {
	if m := titledAs.FindStringSubmatch(system); m != nil {
		return m[1]
	}
	return "Entities"
}

// entityFields are the names of an entity's lines.
func entityFields(system string) (out []string) {
	for _, f := range fieldsOf(system) {
		if entityValue(f.name, 1, entity{text: "x", kind: "x", role: "x"}) != "" {
			out = append(out, f.name)
		}
	}
	if len(out) < 2 {
		return []string{"entity_id", "text", "type", "confidence"}
	}
	return out
}

// entityValue is what a line says; empty for one that it does not know.
func entityValue(name string, n int, e entity) string {
	switch strings.ToLower(name) {
	case "entity_id", "id", "number":
		return fmt.Sprint(n)
	case "text", "name", "entity":
		return e.text
	case "type", "kind", "category":
		return e.kind
	case "subtype", "role", "title", "description":
		return subtype(e)
	case "confidence", "score":
		return fmt.Sprintf("%.2f", e.confidence)
	}
	return ""
}

func subtype(e entity) string {
	if e.role != "" {
		return e.role
	}
	return map[string]string{kindPerson: "Person", kindOrganization: "Organization", kindProduct: "Product", kindPlace: "Place"}[e.kind]
}

func entitiesAsList(heading string, fields []string, all []entity) string {
	var b strings.Builder
	b.WriteString(heading + "\n\n")
	for i, e := range all {
		for j, f := range fields {
			mark := "  "
			if j == 0 {
				mark = "- "
			}
			fmt.Fprintf(&b, "%s%s: %s\n", mark, f, entityValue(f, i+1, e))
		}
	}
	if len(all) == 0 {
		b.WriteString("None found.\n")
	}
	return b.String()
}

func entitiesAsJSON(fields []string, all []entity) string {
	rows := []map[string]any{}
	for i, e := range all {
		row := map[string]any{}
		for _, f := range fields {
			row[f] = entityValue(f, i+1, e)
			switch f {
			case "confidence", "score":
				row[f] = e.confidence
			case "entity_id", "id":
				row[f] = i + 1
			}
		}
		rows = append(rows, row)
	}
	out, _ := json.MarshalIndent(rows, "", "  ") // of texts and numbers
	return string(out)
}
