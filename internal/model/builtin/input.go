package builtin

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/moorage-dev/moorage/internal/model"
)

const (
	maxDepth      = 6   // of a schema
	maxProperties = 64  // of an object
	maxSearch     = 300 // bytes of what is looked up
)

// filler fills a tool's schema.
type filler struct {
	t    *turn
	tool model.Tool
	text string // what the tool is to work on
	left *int   // properties that may still be filled
	one  string // the thing that this use is about, of several
}

func (t *turn) filler(tool model.Tool, s step) filler {
	left := maxProperties
	return filler{t: t, tool: tool, text: t.material(tool, s), left: &left}
}

// fillerForEach makes a use for each name that the text has; one for all of it where it has none.
func (t *turn) fillerForEach(tool model.Tool, s step) (out []filler) {
	all := t.filler(tool, s)
	for _, e := range entitiesIn(all.text) {
		if e.kind != kindPlace && len(out) < maxAtOnce {
			one := all
			one.one = e.text
			out = append(out, one)
		}
	}
	if len(out) == 0 {
		out = append(out, all)
	}
	return out
}

// input is an object for the tool's schema.
func (f filler) input() json.RawMessage {
	var schema map[string]any
	if json.Unmarshal(f.tool.Schema, &schema) != nil || schema == nil {
		schema = map[string]any{}
	}
	out, err := json.Marshal(f.object(schema, 0))
	if err != nil {
		return json.RawMessage("{}")
	}
	return out
}

// object fills what is required; where nothing is, all that is text.
func (f filler) object(schema map[string]any, depth int) map[string]any {
	out := map[string]any{}
	properties, _ := schema["properties"].(map[string]any)
	required := stringsOf(schema["required"])
	for _, name := range f.wanted(properties, required) {
		property, _ := properties[name].(map[string]any)
		if v := f.value(name, property, depth+1, len(properties) == 1 || len(required) == 1); v != nil {
			out[name] = v
		}
	}
	return out
}

// wanted are the properties to fill, in an order that does not change.
func (f filler) wanted(properties map[string]any, required []string) []string {
	if len(required) > 0 {
		return required[:min(len(required), maxProperties)]
	}
	var all []string
	for name, p := range properties {
		if property, _ := p.(map[string]any); typeOf(property) == "string" || len(properties) == 1 {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all[:min(len(all), maxProperties)]
}

// value fills one property; nil leaves it out.
func (f filler) value(name string, schema map[string]any, depth int, only bool) any {
	if *f.left--; depth > maxDepth || *f.left < 0 {
		return nil
	}
	if v, ok := schema["const"]; ok {
		return v
	}
	if options, _ := schema["enum"].([]any); len(options) > 0 {
		return f.option(options, schema["default"])
	}
	for _, union := range []string{"anyOf", "oneOf", "allOf"} {
		for _, o := range list(schema[union]) {
			if option, _ := o.(map[string]any); typeOf(option) != "null" {
				return f.value(name, option, depth+1, only)
			}
		}
	}
	switch typeOf(schema) {
	case "integer", "number":
		return f.number(name, schema)
	case "boolean":
		if v, ok := schema["default"].(bool); ok {
			return v
		}
		return true
	case "array":
		return f.array(name, schema, depth)
	case "object":
		return f.object(schema, depth)
	case "null":
		return nil
	}
	return f.string(name, schema, only)
}

// option picks the value that the text names.
func (f filler) option(options []any, standard any) any {
	text := plain(f.text)
	for _, o := range options {
		if s, ok := o.(string); ok && strings.Contains(text, plain(s)) {
			return o
		}
	}
	if standard != nil {
		return standard
	}
	return options[0]
}

// number takes the number that stands beside the property's name, else the first that the text has.
func (f filler) number(name string, schema map[string]any) any {
	label := strings.Join(partsOf(clip(name, 100)), `[ _-]?`)
	if m := mustNear(label).FindStringSubmatch(clip(f.text, maxInstructions)); m != nil {
		return asNumber(m[1], typeOf(schema))
	}
	for _, key := range []string{"default", "minimum"} {
		if v, ok := schema[key].(float64); ok {
			return v
		}
	}
	if m := number.FindString(f.text); m != "" && !counting[strings.ToLower(name)] {
		return asNumber(strings.ReplaceAll(m, ",", ""), typeOf(schema))
	}
	return 10
}

var counting = setOf("limit count max maxresults max_results num number_of_results numberofresults top_k topk k size page_size")

func mustNear(label string) *regexp.Regexp {
	return regexp.MustCompile(`(?i)\b` + label + `\b[\s:=is]{1,6}(\d+(?:\.\d+)?)`)
}

func asNumber(digits, kind string) any {
	v, err := strconv.ParseFloat(digits, 64)
	if err != nil {
		return 0
	}
	if kind == "integer" {
		return int64(v)
	}
	return v
}

// array has an element for each name in the text, where they are texts.
func (f filler) array(name string, schema map[string]any, depth int) any {
	items, _ := schema["items"].(map[string]any)
	if typeOf(items) != "string" && len(items) > 0 {
		if v := f.value(name, items, depth+1, false); v != nil {
			return []any{v}
		}
		return []any{}
	}
	if options, _ := items["enum"].([]any); len(options) > 0 {
		return []any{f.option(options, nil)}
	}
	out := []any{}
	for _, e := range entitiesIn(clip(f.text, maxInstructions)) {
		if len(out) < maxAtOnce {
			out = append(out, e.text)
		}
	}
	if len(out) == 0 {
		out = append(out, clip(f.text, maxSearch))
	}
	return out
}

func (f filler) string(name string, schema map[string]any, only bool) string {
	if f.one != "" {
		return f.one
	}
	if v, ok := f.labelled(name); ok && !carrying[strings.ToLower(name)] {
		return v
	}
	if m := arithmetic.FindString(f.text); m != "" && strings.Contains(strings.ToLower(name), "expression") {
		return strings.TrimSpace(m)
	}
	if kind, ok := kindsByProperty[strings.ToLower(name)]; ok {
		for _, e := range entitiesIn(clip(f.text, maxInstructions)) {
			if kind == "" || e.kind == kind {
				return e.text
			}
		}
	}
	if one, ok := f.onlyName(); ok && !carrying[strings.ToLower(name)] {
		return one
	}
	text := f.text
	if v, ok := f.t.resultFor(name); ok && !only {
		text = v
	}
	if f.searches() {
		return searchFor(text)
	}
	return text
}

// onlyName is what a short question is about, where it names one thing: in "When is high water in Dover?" it is
// what a tool for harbours wants.
func (f filler) onlyName() (string, bool) {
	if len(f.text) > maxSearch || f.searches() {
		return "", false
	}
	found := entitiesIn(f.text)
	if len(found) != 1 {
		return "", false
	}
	return found[0].text, true
}

// carrying are the names of what a tool is to work on, as a whole.
var carrying = setOf(`text query input facts content article article_text body prompt task message request question context material
description draft report data notes research news_facts`)

var (
	arithmetic      = regexp.MustCompile(`\(*\d[\d.]*\s*(?:[-+*/^]\s*\(*\d[\d.]*\)*\s*)+`)
	kindsByProperty = map[string]string{
		"name": "", "entity": "", "person": kindPerson, "company": kindOrganization, "organization": kindOrganization, "organisation": kindOrganization,
		"product": kindProduct, "city": kindPlace, "location": kindPlace, "place": kindPlace, "country": kindPlace,
	}
	looksUp = regexp.MustCompile(`(?i)\b(?:search(?:es|er)?|retrieves?|looks? up|look ?up|finds?|grep)\b`)
)

// labelled finds "name: value" in what was asked and what the tools said.
func (f filler) labelled(name string) (string, bool) {
	parts := partsOf(clip(name, 100))
	for i, p := range parts {
		parts[i] = regexp.QuoteMeta(p)
	}
	label := regexp.MustCompile(`(?im)^[\s*#>-]*\**` + strings.Join(parts, `[ _-]?`) + `\**\s*[:=]\s*\**[ \t]*(\S[^\n]{0,200})`)
	texts := []string{clip(f.t.ask, maxInstructions)}
	for _, u := range f.t.uses {
		texts = append(texts, clip(u.result, maxInstructions))
	}
	for _, text := range slices.Backward(texts) {
		if m := label.FindStringSubmatch(text); m != nil {
			return strings.Trim(m[1], " *.`\""), true
		}
	}
	return "", false
}

// searches reports whether the tool looks something up by a few words.
func (f filler) searches() bool {
	name := strings.Join(partsOf(f.tool.Name), " ")
	return looksUp.MatchString(name) || looksUp.MatchString(clip(f.tool.Description, 60))
}

// searchFor makes a long text a few words: its names, else the words that it has most of.
func searchFor(text string) string {
	if len(text) <= maxSearch {
		return text
	}
	var names []string
	for _, e := range entitiesIn(text) {
		names = append(names, e.text)
	}
	if len(names) == 0 {
		names = telling(text)
	}
	return clip(strings.Join(names[:min(len(names), 12)], " "), maxSearch)
}

func typeOf(schema map[string]any) string {
	switch v := schema["type"].(type) {
	case string:
		return v
	case []any:
		for _, o := range v {
			if s, _ := o.(string); s != "null" {
				return s
			}
		}
	}
	if schema["properties"] != nil {
		return "object"
	}
	return "string"
}

func list(v any) []any {
	out, _ := v.([]any)
	return out[:min(len(out), maxProperties)]
}

func stringsOf(v any) (out []string) {
	for _, o := range list(v) {
		if s, ok := o.(string); ok {
			out = append(out, s)
		}
	}
	return out
}
