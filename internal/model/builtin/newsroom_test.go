package builtin_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The prompts of examples/newsroom are read from there, so that they cannot drift from what is tested.
func newsroomPrompts(t *testing.T) map[string]string {
	t.Helper()
	doc, err := os.ReadFile(newsroomFile("prompts.go"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, m := range regexp.MustCompile("(?s)const (\\w+) = `([^`]*)`").FindAllStringSubmatch(string(doc), -1) {
		out[m[1]] = m[2]
	}
	return out
}

func newsroomFile(name string) string {
	return filepath.Join("..", "..", "..", "examples", "newsroom", filepath.FromSlash(name))
}

// sets are the newsroom's facts, and the names in them.
var sets = map[string][]string{
	"mediscan": {"NeuraHealth Solutions", "MediScan", "Dr. Eliza Chen", "Raj Patel", "Veridian Oncology Trust"},
	"ferry":    {"Tidewater Lines", "Sound of Arran", "Ingrid Solheim", "Aurelia Maritime Insurance"},
	"bank":     {"Orchard Savings Bank", "Tomas Okafor", "Fairline Consumer Trust"},
	"solar":    {"Kestrel Field", "Helena Brandt", "Suncrest Power", "Osgood Pellweather", "Lindmark Institute for Heliology"},
}

func TestNewsroom_namesWhatTheFactsName(t *testing.T) {
	prompts := newsroomPrompts(t)
	for name, want := range sets {
		doc, err := os.ReadFile(newsroomFile("facts/" + name + ".txt"))
		if err != nil {
			t.Fatal(err)
		}
		text, _ := only(prompts["researchPrompt"]).run(t, string(doc))
		var got []string
		for _, m := range regexp.MustCompile(`(?m)^  text: (.*)$`).FindAllStringSubmatch(text, -1) {
			got = append(got, m[1])
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) || !strings.HasPrefix(text, "Entities\n") {
			t.Errorf("%s: names %q, not %q:\n%s", name, got, want, text)
		}
	}
}

func TestNewsroom_writesReviewsAndEnds(t *testing.T) {
	prompts := newsroomPrompts(t)
	for name := range sets {
		doc, err := os.ReadFile(newsroomFile("facts/" + name + ".txt"))
		if err != nil {
			t.Fatal(err)
		}
		brief := "<news_facts>\n" + strings.TrimSpace(string(doc)) + "\n</news_facts>\n<research>\n- Raj Patel\n  - name: Raj Patel; title: Partner; employer: Hartog and Vale (s3://newsroom/filing-board.json)\n</research>"
		article := ""
		team := agent{prompts["supervisorPrompt"], []tool{
			{"researchAgent", "Researches. Takes the facts, unchanged.", []string{"news_facts"}, func(in map[string]string) (string, error) { return brief, nil }},
			{"articleAgent", "Writes an article from research, has it reviewed and revised, and returns it.", []string{"research"}, func(in map[string]string) (string, error) {
				if in["research"] != brief {
					t.Errorf("the research arrives as %s", in["research"])
				}
				article, _ = only(prompts["writerPrompt"]).run(t, in["research"])
				review, _ := only(prompts["reviewerPrompt"]).run(t, brief+"\n"+article)
				if !strings.Contains(review, "Verdict: approve") || !strings.HasPrefix(review, "<review_feedback>") {
					t.Errorf("%s: the review:\n%s", name, review)
				}
				return article, nil
			}},
		}}
		text, calls := team.run(t, string(doc))
		if strings.Join(calls, " ") != "researchAgent articleAgent" || !strings.HasPrefix(text, "<final>") {
			t.Errorf("%s: %q, and\n%s", name, calls, text)
		}
		for _, fact := range strings.Split(strings.TrimSpace(string(doc)), "\n") {
			if !strings.Contains(text, fact) {
				t.Errorf("%s: %q is not in the article", name, fact)
			}
		}
		if !strings.Contains(text, "Raj Patel is Partner at Hartog and Vale.") {
			t.Errorf("the record is not in:\n%s", text)
		}
		if testing.Verbose() {
			t.Log(text)
		}
	}
}

func TestReview_findsWhatNoSourceBearsOut(t *testing.T) {
	prompts := newsroomPrompts(t)
	draft := "A headline\n\nMediScan reached an accuracy of 99 percent. \"It is the best thing ever,\" said Dr. Eliza Chen. The system was trained on 50 million anonymised records."
	task := "<news_facts>\n" + facts + "\n</news_facts>\n<article>\n" + draft + "\n</article>"
	review, _ := only(prompts["reviewerPrompt"]).run(t, task)
	if !strings.Contains(review, "Verdict: revise") || !strings.Contains(review, `"99"`) || !strings.Contains(review, "best thing ever") || strings.Count(review, "Priority: critical") < 2 {
		t.Errorf("the review:\n%s", review)
	}
	revised, _ := only(prompts["writerPrompt"]).run(t, "<news_facts>\n"+facts+"\n</news_facts>\n<previous_draft>\n"+draft+"\n</previous_draft>\n"+review)
	if strings.Contains(revised, "99") || strings.Contains(revised, "best thing") || !strings.Contains(revised, "94 percent") || !strings.Contains(revised, "second pair of eyes") {
		t.Errorf("the revised article:\n%s", revised)
	}
	if again, _ := only(prompts["reviewerPrompt"]).run(t, "<news_facts>\n"+facts+"\n</news_facts>\n"+revised); !strings.Contains(again, "Verdict: approve") {
		t.Errorf("the second review:\n%s\nof\n%s", again, revised)
	}
}
