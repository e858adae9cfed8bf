package cassette_test

import (
	"bytes"
	"context"
	"encoding/json"
	"iter"
	"os"
	"path/filepath"
	"testing"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/model"
	"github.com/moorage-dev/moorage/internal/model/cassette"
)

// tape answers in the order in which it is asked.
type tape struct {
	answers [][]model.Event
	errs    []error
	asked   int
}

func (t *tape) Answer(context.Context, model.Request) iter.Seq2[model.Event, error] {
	n := t.asked
	t.asked++
	return func(yield func(model.Event, error) bool) {
		for _, e := range t.answers[n] {
			if !yield(e, nil) {
				return
			}
		}
		if t.errs[n] != nil {
			yield(model.Event{}, t.errs[n])
		}
	}
}

func ask(words string) model.Request {
	return model.Request{
		Model: "any", Messages: []model.Message{{Role: model.User, Content: []model.Block{{Text: words}}}},
		Tools: []model.Tool{{Name: "look", Schema: json.RawMessage(`{ "type": "object", "title": "<a>" }`)}},
	}
}

// told is all that a provider yields, as bytes.
func told(t *testing.T, p model.Provider, r model.Request) string {
	t.Helper()
	var out bytes.Buffer
	for e, err := range p.Answer(t.Context(), r) {
		doc, _ := json.Marshal(e)
		out.Write(doc)
		if err != nil {
			out.WriteString(string(moorage.CodeOf(err)) + ": " + err.Error())
		}
	}
	return out.String()
}

func TestCassette_playsWhatWasRecordedAndNothingElse(t *testing.T) {
	stop := func(n int) model.Event {
		return model.Event{Stop: &model.Stop{Reason: model.EndTurn, Usage: model.Usage{Input: n}}}
	}
	const key = "sk-secret-\"1234\""
	of := &tape{
		answers: [][]model.Event{
			{{Text: "one"}, {Reasoning: &model.Reasoning{Redacted: []byte{1, 2}}}, {Tool: &model.ToolUse{ID: "t", Name: "look"}}, {Input: `{"a":`}, {Input: `1}`}, stop(1)},
			{{Text: "one, again"}, stop(2)},
			{{Text: "it goes well until"}},
			{{Text: "and then breaks off"}},
			{{Text: "your key is " + key}, stop(3)},
		},
		errs: []error{nil, nil, moorage.Errorf(moorage.Throttled, "slow down"), nil, nil},
	}
	file := filepath.Join(t.TempDir(), "a.cassette")
	recorder := &cassette.Recorder{Provider: of, File: file, Secrets: []string{key}}
	asked := []model.Request{ask("first"), ask("first"), ask("second"), ask("third"), ask("fourth")}
	var first []string
	for _, r := range asked {
		first = append(first, told(t, recorder, r))
	}
	player, err := cassette.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range asked[:4] {
		r.Model = "another"
		if again := told(t, player, r); again != first[i] {
			t.Errorf("%d: it was\n%s\nand is\n%s", i, first[i], again)
		}
	}
	if again := told(t, player, asked[0]); again != first[1] {
		t.Errorf("the last answer to the same request goes on: %s", again)
	}
	other := ask("first")
	other.MaxTokens = 5
	if _, err := model.Collect(player.Answer(t.Context(), other)); moorage.CodeOf(err) != moorage.NotFound {
		t.Errorf("another request: %v", err)
	}
	held, err := os.ReadFile(file)
	if err != nil || bytes.Contains(held, []byte("sk-secret-")) || !bytes.Contains(held, []byte("your key is (secret)")) {
		t.Errorf("the cassette holds the key, or not what was said: %s, %v", held, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestLoad_saysWhereACassetteIsDamaged(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.cassette")
	if err := os.WriteFile(file, []byte("{\"request\":{}}\n{\"request\":"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := cassette.Load(file); moorage.CodeOf(err) != moorage.Invalid {
		t.Error(err)
	}
}
