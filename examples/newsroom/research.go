package main

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentruntime/types"
)

// passage is what the knowledge base has found.
type passage struct {
	text, source, chunk string
	score               float64
}

// library is a knowledge base.
type library struct {
	id     string
	client *bedrockagentruntime.Client
}

func (l library) find(ctx context.Context, query string) (out []passage, err error) {
	found, err := l.client.Retrieve(ctx, &bedrockagentruntime.RetrieveInput{
		KnowledgeBaseId: &l.id, RetrievalQuery: &types.KnowledgeBaseQuery{Text: &query},
		RetrievalConfiguration: &types.KnowledgeBaseRetrievalConfiguration{VectorSearchConfiguration: &types.KnowledgeBaseVectorSearchConfiguration{
			NumberOfResults: aws.Int32(5), OverrideSearchType: types.SearchTypeHybrid,
		}},
	})
	if err != nil {
		return nil, fmt.Errorf("ask the knowledge base: %w", err)
	}
	for _, r := range found.RetrievalResults {
		p := passage{text: aws.ToString(r.Content.Text), score: aws.ToFloat64(r.Score)}
		if r.Location != nil && r.Location.S3Location != nil {
			p.source = aws.ToString(r.Location.S3Location.Uri)
		}
		if chunk, ok := r.Metadata["x-amz-bedrock-kb-chunk-id"]; ok {
			_ = chunk.UnmarshalSmithyDocument(&p.chunk) // it stays empty where the cloud has another kind
		}
		out = append(out, p)
	}
	return out, nil
}

// mention is an entity as the facts name it.
type mention struct{ name, kind string }

// Thresholds of what is believed.
const (
	enough     = 0.5  // confidence
	sameName   = 0.75 // how well the best passage has to name the entity
	keptProofs = 4
)

// weigh looks an entity up and says whether the knowledge base knows it.
func weigh(ctx context.Context, l library, m mention) (Entity, *Discarded, []record, error) {
	found, err := l.find(ctx, m.name)
	if err != nil {
		return Entity{}, nil, nil, err
	}
	e := Entity{Text: m.name, Type: m.kind}
	var records []record
	sources, best, top := map[string]bool{}, 0.0, 0.0
	for _, p := range found {
		match := nameMatch(m.name, p.text)
		best = max(best, match)
		if match < sameName {
			continue
		}
		sources[p.source], top = true, max(top, p.score)
		for _, s := range statements(p.text) {
			if nameMatch(m.name, s.text) >= sameName {
				e.Evidence = append(e.Evidence, Evidence{s.text, p.source, p.chunk})
				records = append(records, record{m.name, s.text, s.fields, p.source, p.chunk})
			}
		}
	}
	e.Confidence = math.Round(100*(0.6*best+0.25*min(1, float64(len(sources))/2)+0.15*top)) / 100
	e.Evidence = distinct(e.Evidence)
	if best >= sameName && e.Confidence >= enough {
		return e, nil, records, nil
	}
	d := &Discarded{Text: m.name, Reason: "not_in_kb", Confidence: e.Confidence}
	if best > 0 {
		d.Reason = "weak_match"
		d.Best = firstLine(found)
	}
	return e, d, nil, nil
}

func firstLine(found []passage) string {
	line, _, _ := strings.Cut(found[0].text, "\n")
	return line
}

func distinct(all []Evidence) (out []Evidence) {
	for _, e := range all {
		if !slices.ContainsFunc(out, func(o Evidence) bool { return o.Statement == e.Statement }) && len(out) < keptProofs {
			out = append(out, e)
		}
	}
	return out
}

// nameMatch says how surely a text names an entity: 1 whole, 0.9 without titles and legal forms, 0.4 by its
// last word alone, which many people share.
func nameMatch(name, text string) float64 {
	text = " " + plainWords(text) + " "
	whole := plainWords(name)
	if whole == "" {
		return 0
	}
	bare := strings.Join(slices.DeleteFunc(strings.Fields(whole), func(w string) bool { return decoration[w] }), " ")
	words := strings.Fields(bare)
	switch {
	case strings.Contains(text, " "+whole+" "):
		return 1
	case bare != "" && strings.Contains(text, " "+bare+" "):
		return 0.9
	case len(words) > 1 && strings.Contains(text, " "+words[len(words)-1]+" "):
		return 0.4
	}
	return 0
}

var (
	notWord    = regexp.MustCompile(`[^\p{L}\p{N}]+`)
	decoration = map[string]bool{"dr": true, "mr": true, "mrs": true, "ms": true, "prof": true, "professor": true, "mayor": true, "inc": true, "ltd": true, "llc": true, "corp": true, "the": true, "city": true, "of": true}
)

func plainWords(s string) string {
	return strings.Join(strings.Fields(notWord.ReplaceAllString(strings.ToLower(s), " ")), " ")
}

// statement is a sentence, or a record of flattened JSON with its fields.
type statement struct {
	text   string
	fields map[string]string
}

// fieldLine is a line such as "executives[1].name: Dr. Eliza Chen".
var fieldLine = regexp.MustCompile(`^((?:[\w-]+(?:\[\d+\])?\.)*)([\w-]+)(?:\[\d+\])?: (.+)$`)

// statements cuts a passage into what can be quoted.
func statements(passage string) (out []statement) {
	at, current := "", statement{}
	flush := func() {
		if current.text != "" {
			out = append(out, current)
		}
		current = statement{}
	}
	for _, line := range strings.Split(passage, "\n") {
		m := fieldLine.FindStringSubmatch(line)
		if m == nil || m[1] == "" {
			flush()
			if strings.HasPrefix(line, "#") { // a heading says nothing
				continue
			}
			for _, s := range sentences(line) {
				out = append(out, statement{text: s})
			}
			continue
		}
		if m[1] != at {
			flush()
			at, current.fields = m[1], map[string]string{}
		}
		if current.fields == nil {
			current.fields = map[string]string{}
		}
		current.fields[m[2]] = m[3]
		current.text = strings.TrimPrefix(current.text+"; "+strings.ReplaceAll(m[2], "_", " ")+": "+m[3], "; ")
	}
	flush()
	return out
}

// record is what one source says of an entity, field by field.
type record struct {
	entity, text  string
	fields        map[string]string
	source, chunk string
}

// compared are the fields in which sources are held against each other.
var compared = []string{"employer", "founded", "headquarters", "place", "title", "built", "builder"}

// conflicts finds the fields in which two sources say different things of one entity.
func conflicts(records []record) (out []Conflict) {
	for _, field := range compared {
		claims := map[string][]Claim{}
		for _, r := range records {
			value, ok := r.fields[field]
			known := slices.ContainsFunc(claims[r.entity], func(c Claim) bool { return plainWords(c.Value) == plainWords(value) || c.Source == r.source })
			if ok && !known && about(r) {
				claims[r.entity] = append(claims[r.entity], Claim{value, r.source, r.chunk})
			}
		}
		for entity, c := range claims {
			if len(c) > 1 {
				slices.SortFunc(c, func(a, b Claim) int { return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Value, b.Value)) })
				out = append(out, Conflict{entity, field, c})
			}
		}
	}
	slices.SortFunc(out, func(a, b Conflict) int { return cmp.Or(cmp.Compare(a.Entity, b.Entity), cmp.Compare(a.Field, b.Field)) })
	return out
}

// prose is what a record says, as a writer can use it: a sentence as it is, and fields as one. What sources
// disagree on is left to the editor's note.
func (r record) prose(disputed []Conflict) string {
	if r.fields == nil {
		return r.text
	}
	if !about(r) || slices.ContainsFunc(disputed, func(c Conflict) bool { return c.Entity == r.entity }) {
		return ""
	}
	name, title, employer, founded, seat := r.fields["name"], r.fields["title"], r.fields["employer"], r.fields["founded"], r.fields["headquarters"]
	switch {
	case title != "" && employer != "":
		return name + " is " + title + " of " + employer + "."
	case founded != "" && seat != "":
		return strings.TrimSuffix(name, ".") + " was founded in " + founded + " and has its headquarters in " + seat + "."
	}
	return ""
}

// about reports whether a record is the entity's own, and does not just name it as somebody's employer.
func about(r record) bool { return nameMatch(r.entity, r.fields["name"]) >= sameName }

// entityLine is a line of the list that the model was asked for.
var entityLine = regexp.MustCompile(`(?im)^[\s*-]*\**(text|type)\**\s*:\s*\**\s*(.+?)\s*\**\s*$`)

// mentions reads the model's list. What the facts do not name was made up, and is discarded as that.
func mentions(list, facts string) (out []mention, invented []Discarded) {
	for _, m := range entityLine.FindAllStringSubmatch(list, -1) {
		value := strings.Trim(m[2], ` "'.,`+"`")
		if strings.EqualFold(m[1], "type") {
			if len(out) > 0 && out[len(out)-1].kind == "" {
				out[len(out)-1].kind = strings.ToUpper(value)
			}
			continue
		}
		known := slices.ContainsFunc(out, func(o mention) bool { return plainWords(o.name) == plainWords(value) })
		switch {
		case known || plainWords(value) == "":
		case nameMatch(value, facts) < sameName:
			invented = append(invented, Discarded{Text: value, Reason: "not_in_facts"})
		default:
			out = append(out, mention{name: value})
		}
	}
	return out, invented
}

// namesIn finds names by their spelling: for facts whose list a model did not write.
func namesIn(facts string) (out []mention) {
	for _, s := range sentences(facts) {
		for i, m := range nameRun.FindAllStringIndex(s, -1) {
			name := strings.TrimRight(s[m[0]:m[1]], ".,'’")
			single := !strings.Contains(name, " ")
			if i == 0 && m[0] == 0 && single && nameRun.FindString(strings.ToLower(name[:1])+name[1:]) == "" || never[strings.ToLower(name)] {
				continue
			}
			if !slices.ContainsFunc(out, func(o mention) bool { return plainWords(o.name) == plainWords(name) }) {
				out = append(out, mention{name: name})
			}
		}
	}
	return out
}

var (
	nameRun = regexp.MustCompile(`(?:(?:Dr|Mr|Mrs|Ms|Prof)\. )?\p{Lu}[\p{L}\p{N}’'-]*(?: (?:of (?:the )?)?\p{Lu}[\p{L}\p{N}’'-]*)*`)
	never   = map[string]bool{
		"january": true, "february": true, "march": true, "april": true, "may": true, "june": true, "july": true, "august": true, "september": true, "october": true,
		"november": true, "december": true, "monday": true, "tuesday": true, "wednesday": true, "thursday": true, "friday": true, "saturday": true, "sunday": true,
		"in": true, "we": true, "the": true, "it": true, "its": true, "about": true, "instead": true, "nobody": true, "professor": true,
	}
)
