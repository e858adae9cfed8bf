package openai_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/model"
	"github.com/moorage-dev/moorage/internal/model/openai"
)

// server answers every call with a status and a body, and keeps what it was asked.
func server(t *testing.T, status int, body string) (*openai.Client, *map[string]any) {
	t.Helper()
	asked := map[string]any{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/v1/chat/completions" || r.Header.Get("Authorization") != "Bearer key" {
			t.Errorf("%s %v, %v", r.URL, r.Header, err)
		}
		if err := json.Unmarshal(text, &asked); err != nil {
			t.Error(err)
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	return &openai.Client{URL: s.URL + "/v1", Key: "key", HTTP: s.Client()}, &asked
}

func stream(chunks ...string) string {
	return "data: " + strings.Join(chunks, "\n\ndata: ") + "\n\ndata: [DONE]\n\n"
}

var request = model.Request{
	Model: "small", System: []string{"Be brief."}, Extra: json.RawMessage(`{"top_k": 5, "model": "another"}`),
	Messages: []model.Message{
		{Role: model.User, Content: []model.Block{{Text: "Weather in Oslo?"}}},
		{Role: model.Assistant, Content: []model.Block{{ToolUse: &model.ToolUse{ID: "t1", Name: "weather", Input: json.RawMessage(`{"city":"Oslo"}`)}}}},
		{Role: model.User, Content: []model.Block{{ToolResult: &model.ToolResult{ID: "t1", Failed: true, Content: []model.Block{{Text: "no such city"}}}}, {Text: "Try again."}}},
	},
	Tools: []model.Tool{{Name: "weather", Schema: json.RawMessage(`{"type":"object"}`)}}, Choice: model.Choice{Any: true},
}

func TestClient_asksAsItsServersRead(t *testing.T) {
	c, asked := server(t, 200, stream(`{"choices":[{"index":0,"delta":{"content":"ok"},"finish_reason":"stop"}]}`))
	if _, err := model.Collect(c.Answer(t.Context(), request)); err != nil {
		t.Fatal(err)
	}
	if (*asked)["model"] != "small" || (*asked)["top_k"] != 5.0 || (*asked)["tool_choice"] != "required" || (*asked)["stream"] != true {
		t.Errorf("asked %v", *asked)
	}
	var roles []string
	for _, m := range (*asked)["messages"].([]any) {
		roles = append(roles, m.(map[string]any)["role"].(string))
	}
	if got := strings.Join(roles, " "); got != "system user assistant tool user" {
		t.Errorf("the roles are %s", got)
	}
	result := (*asked)["messages"].([]any)[3].(map[string]any)
	if result["tool_call_id"] != "t1" || result["content"] != "Error: no such city" {
		t.Errorf("the tool's result is %v", result)
	}
}

func TestClient_readsTextAndTools(t *testing.T) {
	c, _ := server(t, 200, stream(
		`{"choices":[{"index":0,"delta":{"role":"assistant","reasoning_content":"Hm."}}]}`,
		`{"choices":[{"index":0,"delta":{"content":"Let "}}]}`, `{"choices":[{"index":0,"delta":{"content":"me see."}}]}`,
		`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","function":{"name":"weather","arguments":"{\"city\":"}}]}}]}`,
		`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\"Oslo\"}"}}]}}]}`,
		`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"not an id!","function":{"name":"tides","arguments":"oops"}}]}}]}`,
		`{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}`,
		`{"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":7,"total_tokens":19,"prompt_tokens_details":{"cached_tokens":4}}}`,
	))
	got, err := model.Collect(c.Answer(t.Context(), request))
	if err != nil {
		t.Fatal(err)
	}
	content := got.Message.Content
	if len(content) != 4 || content[0].Reasoning.Text != "Hm." || content[1].Text != "Let me see." || string(content[2].ToolUse.Input) != `{"city":"Oslo"}` {
		t.Fatalf("the content is %+v", content)
	}
	if broken := content[3].ToolUse; string(broken.Input) != "{}" || !strings.HasPrefix(broken.ID, "tooluse_") {
		t.Errorf("input that is no JSON is %+v", broken)
	}
	if want := (model.Stop{Reason: model.UseTool, Model: "small", Usage: model.Usage{Input: 12, Output: 7, CacheRead: 4}}); got.Stop != want {
		t.Errorf("it stopped as %+v, not %+v", got.Stop, want)
	}
}

// TestClient_keepsWhatOtherFormsHaveWordsFor is about what a tool answers beside words, and a tool whose inputs have to fit.
func TestClient_keepsWhatOtherFormsHaveWordsFor(t *testing.T) {
	c, asked := server(t, 200, stream(`{"choices":[{"index":0,"delta":{"refusal":"I will not."},"finish_reason":"stop"}]}`))
	r := request
	r.Tools = []model.Tool{{Name: "weather", Schema: json.RawMessage(`{"type":"object"}`), Strict: true}}
	r.Messages = append(slices.Clone(r.Messages[:2]), model.Message{Role: model.User, Content: []model.Block{{ToolResult: &model.ToolResult{ID: "t1", Content: []model.Block{
		{Text: "a map"}, {Image: &model.Media{Format: "png", Bytes: []byte("x")}}, {Document: &model.Media{Format: "csv", Name: "tides", Bytes: []byte("4:12")}},
	}}}}})
	got, err := model.Collect(c.Answer(t.Context(), r))
	if err != nil || got.Message.Text() != "I will not." {
		t.Fatalf("it says %+v, %v", got, err)
	}
	told, err := json.Marshal((*asked)["messages"].([]any)[3:])
	if want := `[{"content":"a map\n[an image, which follows]\nDocument tides:\n4:12","role":"tool","tool_call_id":"t1"},{"content":[{"image_url":{"url":"data:image/png;base64,eA=="},"type":"image_url"}],"role":"user"}]`; string(told) != want || err != nil {
		t.Errorf("the result is %s, %v", told, err)
	}
	if tool := (*asked)["tools"].([]any)[0].(map[string]any)["function"].(map[string]any); tool["strict"] != true {
		t.Errorf("the tool is %v", tool)
	}
	r.Messages[2].Content[0].ToolResult.Content[2].Document.Format = "docx"
	if _, err := model.Collect(c.Answer(t.Context(), r)); moorage.CodeOf(err) != moorage.Unsupported {
		t.Errorf("a document that has no words: %v", err)
	}
}

// TestClient_anEndWithoutAReason is about servers that say that they are done, not why.
func TestClient_anEndWithoutAReason(t *testing.T) {
	c, _ := server(t, 200, stream(`{"choices":[{"index":0,"delta":{"content":"ok"}}]}`))
	if got, err := model.Collect(c.Answer(t.Context(), request)); err != nil || got.Message.Text() != "ok" || got.Stop.Reason != model.EndTurn {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestClient_toolsOfOneNumber is about servers that number all calls 0, each whole in a chunk of its own.
func TestClient_toolsOfOneNumber(t *testing.T) {
	c, _ := server(t, 200, stream(
		`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"weather","arguments":"{\"city\":\"Oslo\"}"}}]}}]}`,
		`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"b","function":{"name":"weather","arguments":"{\"city\":"}}]}}]}`,
		`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"b","function":{"name":"weather","arguments":"\"Rome\"}"}}]}}]}`,
		`{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}`,
	))
	got, err := model.Collect(c.Answer(t.Context(), request))
	if err != nil || len(got.Message.Content) != 2 {
		t.Fatalf("%+v, %v", got.Message, err)
	}
	for i, want := range []string{`{"city":"Oslo"}`, `{"city":"Rome"}`} {
		if input := string(got.Message.Content[i].ToolUse.Input); input != want {
			t.Errorf("the input is %s, not %s", input, want)
		}
	}
}

func TestClient_whatGoesWrongIsCoded(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		code   moorage.Code
		words  string
	}{
		"throttled":  {429, `{"error":{"message":"slow down"}}`, moorage.Throttled, "slow down"},
		"too long":   {400, `{"error":{"message":"This model's maximum context length is 4096 tokens"}}`, moorage.Invalid, "Input is too long for requested model"},
		"wrong key":  {401, `{"error":{"message":"bad key sk-1234"}}`, moorage.Denied, "moorage models add"},
		"no model":   {404, `not JSON`, moorage.NotFound, "does not know the model"},
		"failed":     {500, `<html>`, moorage.Unavailable, "failed (500)"},
		"garbage":    {200, "data: {{{\n\n", moorage.AgentFailed, "no JSON"},
		"in between": {200, stream(`{"error":{"message":"out of memory"}}`), moorage.Unavailable, "out of memory"},
		"two at once": {200, stream(`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{"}},{"index":1,"id":"b","function":{"name":"g","arguments":"{"}}]}}]}`,
			`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"}"}}]}}]}`), moorage.AgentFailed, "several calls"},
	} {
		t.Run(name, func(t *testing.T) {
			client, _ := server(t, c.status, c.body)
			_, err := model.Collect(client.Answer(t.Context(), request))
			if moorage.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.words) || strings.Contains(err.Error(), "sk-1234") {
				t.Errorf("%v (%s)", err, moorage.CodeOf(err))
			}
		})
	}
}

func TestService_anAnswerThatBreaksOffIsNotTakenForWhole(t *testing.T) {
	client, _ := server(t, 200, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Once upon\"}}]}\n\n")
	var done model.Record
	s := &model.Service{Table: &model.Table{}, Done: func(_ context.Context, r model.Record) { done = r }}
	s.Table.Set([]model.Route{{Pattern: "*", Provider: "far", Model: "tales"}}, map[string]model.Provider{"far": client})
	_, err := model.Collect(s.Answer(t.Context(), request))
	if moorage.CodeOf(err) != moorage.AgentFailed || !strings.Contains(err.Error(), "broke off") {
		t.Errorf("%v", err)
	}
	if done.Err == nil || done.Answer.Message.Text() != "Once upon" {
		t.Errorf("the record is %+v", done)
	}
}
