package builtin_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/moorage-dev/moorage/internal/model"
)

func TestResearcher_looksUpEachName(t *testing.T) {
	var asked []string
	a := agent{"You are a researcher.\n1. For each entity in the text, call lookup_entity with its name.\n2. Then write what you found as a report.", []tool{
		{"lookup_entity", "Looks up one entity.", []string{"name"}, func(in map[string]string) (string, error) {
			asked = append(asked, in["name"])
			return in["name"] + " is known since 1998.", nil
		}},
	}}
	text, _ := a.run(t, "Ada Winter joined Tidewater Lines today, said Bo Lindqvist, Chief Executive of Tidewater Lines.")
	for _, name := range []string{"Tidewater Lines", "Bo Lindqvist"} {
		if !slices.Contains(asked, name) || !strings.Contains(text, name+" is known since 1998.") {
			t.Errorf("asked for %q, and wrote\n%s", asked, text)
		}
	}
}

func TestTools_schemasAreFilled(t *testing.T) {
	r := question("Find flights for Ada Winter to Halden.\nmax price: 300\nclass: business")
	r.Tools = []model.Tool{{Name: "find_flights", Description: "Finds flights.", Schema: []byte(`{"type":"object","required":["passenger","class","max_price","direct","tags","filter"],"properties":{
		"passenger":{"type":"string"},"class":{"enum":["economy","business"]},"max_price":{"type":"integer"},"direct":{"type":"boolean","default":false},
		"tags":{"type":"array","items":{"type":"string"}},"filter":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}}`)}}
	a := ask(t, r)
	if len(a.Message.Content) != 1 || a.Message.Content[0].ToolUse == nil || a.Stop.Reason != model.UseTool {
		t.Fatalf("%+v", a)
	}
	got := string(a.Message.Content[0].ToolUse.Input)
	for _, want := range []string{`"class":"business"`, `"max_price":300`, `"direct":false`, `"filter":{"city":`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is not in %s", want, got)
		}
	}
}

// Large inputs, of shapes that would show work that grows faster than they do.
func TestModel_hugeInputsEnd(t *testing.T) {
	for name, text := range map[string]string{
		"names":      strings.Repeat("Ada Winter of ", 12_000),
		"one word":   strings.Repeat("A", 117_000),
		"numbers":    strings.Repeat("1 ", 312_000),
		"quotations": strings.Repeat(`"a b" `, 27_000),
		"lines":      strings.Repeat("text: A.\n", 17_000),
	} {
		for _, system := range []string{"", labExtractor, labQuery, labWriter, labReviewer, triagePrompt} {
			r := question("<article>" + text[:len(text)/2] + "</article>\n<review_feedback>x</review_feedback>\n" + text[len(text)/2:])
			r.System = []string{system}
			if a := ask(t, r); a.Message.Text() == "" {
				t.Errorf("%s: no answer to %.20s", name, system)
			}
		}
	}
}
