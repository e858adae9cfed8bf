package openai_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/model"
	"github.com/moorage-dev/moorage/internal/model/openai"
)

const asked = `{"model":"m","stream":true,"stream_options":{"include_usage":true},"max_completion_tokens":9,"stop":"END","seed":3,"response_format":{"type":"json_object"},
	"tools":[{"type":"function","function":{"name":"look","parameters":{"type":"object"}}}],"tool_choice":{"type":"function","function":{"name":"look"}},
	"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":[{"type":"text","text":"Hi"},{"type":"image_url","image_url":{"url":"data:image/jpg;base64,eA=="}}]},
	{"role":"assistant","content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"look","arguments":"{\"x\":1}"}},{"id":"b","type":"function","function":{"name":"look","arguments":"no JSON"}}]},
	{"role":"tool","tool_call_id":"a","content":"one"},{"role":"tool","tool_call_id":"b","content":"two"},{"role":"user","content":"Go on."}]}`

func TestRead_turnsAreConverses(t *testing.T) {
	got, err := openai.Read([]byte(asked))
	if err != nil {
		t.Fatal(err)
	}
	r := got.Request
	if !got.Stream || !got.Usage || r.MaxTokens != 9 || len(r.Stop) != 1 || r.Choice.Name != "look" || len(r.System) != 1 {
		t.Errorf("%+v", got)
	}
	if len(r.Messages) != 3 || r.Messages[0].Content[1].Image.Format != "jpeg" || len(r.Messages[2].Content) != 3 || r.Messages[2].Content[1].ToolResult.ID != "b" {
		t.Fatalf("%+v", r.Messages)
	}
	if input := r.Messages[1].Content[1].ToolUse.Input; string(input) != "{}" {
		t.Errorf("input that is no JSON: %s", input)
	}
	if string(r.OpenAI) != `{"response_format":{"type":"json_object"},"seed":3}` || r.Extra != nil {
		t.Errorf("the rest is %s", r.OpenAI)
	}
	if err := r.WordsOnly(); moorage.CodeOf(err) != moorage.Unsupported {
		t.Errorf("JSON was asked for: %v", err)
	}
}

func TestRead_whatIsWrongIsSaid(t *testing.T) {
	for body, words := range map[string]string{
		`[]`:                          "not a request",
		`{"messages":[]}`:             "model: say which",
		`{"model":"m","messages":[]}`: "at least one message",
		`{"model":"m","messages":[{"role":"system","content":"x"}]}`:                                                           "the user says nothing",
		`{"model":"m","n":3,"messages":[{"role":"user","content":"x"}]}`:                                                       "one answer",
		`{"model":"m","messages":[{"role":"user","content":[{"type":"input_audio"}]}]}`:                                        "not supported",
		`{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"file:///etc/passwd"}}]}]}`: "not fetched",
		`{"model":"m","messages":[{"role":"user","content":"x"}],"tool_choice":7}`:                                             "tool_choice",
		`{"model":"m","messages":[{"role":"user","content":"x"}],"tools":[{"type":"web_search"}]}`:                             "only functions",
	} {
		_, err := openai.Read([]byte(body))
		if coded := (*moorage.Error)(nil); !errors.As(err, &coded) || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// FuzzRead holds that whatever a caller sends is refused by a code or can be asked of a server and answered in the form.
func FuzzRead(f *testing.F) {
	f.Add([]byte(asked))
	f.Add([]byte(`{"model":"m","messages":[{"role":"tool","content":[]},{"role":"assistant","tool_calls":[{}]}],"stop":[1],"tool_choice":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := openai.Read(body)
		if err != nil {
			if coded := (*moorage.Error)(nil); !errors.As(err, &coded) {
				t.Fatalf("an error without a code: %v", err)
			}
			if _, doc := openai.Refuse(err); !json.Valid(doc) {
				t.Fatalf("%s", doc)
			}
			return
		}
		events := func(yield func(model.Event, error) bool) {
			_ = yield(model.Event{Text: got.Request.Messages[0].Text()}, nil) &&
				yield(model.Event{Tool: &model.ToolUse{ID: "t", Name: "look"}}, nil) && yield(model.Event{Stop: &model.Stop{Reason: model.UseTool}}, nil)
		}
		for doc, err := range (openai.Reply{ID: "i", Model: got.Request.Model, Created: time.Unix(1, 0)}).Pieces(events, true) {
			if err != nil || !json.Valid(doc) || bytes.ContainsAny(doc, "\r\n") {
				t.Fatalf("%s %v", doc, err)
			}
		}
	})
}
