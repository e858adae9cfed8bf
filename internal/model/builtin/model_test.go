package builtin_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/model"
	"github.com/moorage-dev/moorage/internal/model/builtin"
)

func question(text string) model.Request {
	return model.Request{Messages: []model.Message{{Role: model.User, Content: []model.Block{{Text: text}}}}}
}

func TestModel_aPlainQuestionIsToldWhoAnswers(t *testing.T) {
	text := ask(t, question("What is the capital of France?")).Message.Text()
	if !strings.Contains(text, "built-in demo model") || !strings.Contains(text, "real model") || len(text) > 600 {
		t.Error(text)
	}
	told, err := model.Collect(builtin.Model{Advice: "Run moorage so and so."}.Answer(t.Context(), question("Hi")))
	if err != nil || !strings.HasSuffix(told.Message.Text(), "Run moorage so and so.") {
		t.Errorf("%v: %s", err, told.Message.Text())
	}
}

func TestModel_streams(t *testing.T) {
	pieces, stops := 0, 0
	for e, err := range (builtin.Model{}).Answer(t.Context(), question("What is the capital of France?")) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Text != "" {
			pieces++
		}
		if e.Stop != nil {
			stops++
		}
	}
	if pieces < 4 || stops != 1 {
		t.Errorf("%d pieces, %d stops", pieces, stops)
	}
}

func TestModel_limits(t *testing.T) {
	r := question("What is the capital of France?")
	r.MaxTokens = 5
	if a := ask(t, r); a.Stop.Reason != model.OutOfTokens || len(a.Message.Text()) != 20 || a.Stop.Usage.Output != 5 {
		t.Errorf("%+v", a)
	}
	r.MaxTokens, r.Stop = 0, []string{"France"}
	if a := ask(t, r); a.Stop.Reason != model.StopSequence || strings.Contains(a.Message.Text(), "France") {
		t.Errorf("%+v", a)
	}
	_, err := model.Collect(builtin.Model{}.Answer(t.Context(), question(strings.Repeat("x", 900_000))))
	if moorage.CodeOf(err) != moorage.Invalid || !strings.Contains(err.Error(), "Input is too long") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := model.Collect(builtin.Model{}.Answer(ctx, r)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(labSupervisor, facts, "articleReviewerAgent", `{"type":"object","properties":{"a":{"type":["string","null"]}},"required":["a"]}`, "Verdict: revise", uint8(3))
	f.Add(labExtractor, facts, "x", `{"properties":{"n":{"type":"integer"}}}`, "<article>", uint8(0))
	f.Add(labReviewer, "<article>"+facts+"</article>"+facts, "", `[]`, "", uint8(1))
	f.Add(labQuery, "“É\xff 1,000 “x y”", "a_b", `{"anyOf":[{"type":"null"}],"properties":{"a":{"enum":[]}}}`, "Error: no", uint8(9))
	f.Add("1. Use find_it for each person.", "Dr. Ada Reed of Reed Inc. and Bo Li", "find_it", `{"required":["name"]}`, "text: Ada", uint8(2))
	f.Fuzz(func(t *testing.T, system, text, name, schema, result string, kind uint8) {
		r := question(text)
		r.System = []string{system}
		r.MaxTokens = int(kind) * 7
		if kind%2 == 1 {
			r.Tools = []model.Tool{{Name: name, Schema: json.RawMessage(schema)}, {Name: "review_" + name}}
			r.Choice = model.Choice{Any: kind%5 == 0}
		}
		for range 3 {
			var last *model.Stop
			var collected []model.Event
			for e, err := range (builtin.Model{}).Answer(t.Context(), r) {
				if err != nil {
					if moorage.CodeOf(err) == moorage.Invalid {
						return
					}
					t.Fatal(err)
				}
				if last != nil {
					t.Fatal("something comes after the end")
				}
				last = e.Stop
				collected = append(collected, e)
			}
			if last == nil {
				t.Fatal("no end")
			}
			answer, _ := model.Collect(func(yield func(model.Event, error) bool) {
				for _, e := range collected {
					if !yield(e, nil) {
						return
					}
				}
			})
			r.Messages = append(r.Messages, answer.Message)
			results := model.Message{Role: model.User}
			for _, b := range answer.Message.Content {
				if b.ToolUse != nil {
					results.Content = append(results.Content, model.Block{ToolResult: &model.ToolResult{ID: b.ToolUse.ID, Content: []model.Block{{Text: result}}, Failed: kind%3 == 0}})
				}
			}
			if len(results.Content) == 0 {
				return
			}
			r.Messages = append(r.Messages, results)
		}
	})
}
