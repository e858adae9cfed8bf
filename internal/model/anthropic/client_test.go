package anthropic_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/model"
	"github.com/moorage-dev/moorage/internal/model/anthropic"
)

// The server of these tests is a stub that says what Anthropic's documentation shows: nothing here asked the real one.
func stub(t *testing.T, status int, body string) *anthropic.Client {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/messages" || r.Header.Get("X-Api-Key") != "key" || r.Header.Get("Anthropic-Version") == "" {
			t.Errorf("%s %v", r.URL, r.Header)
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	return &anthropic.Client{URL: s.URL + "/v1", Key: "key", HTTP: s.Client()}
}

var request = model.Request{Model: "claude", Messages: []model.Message{{Role: model.User, Content: []model.Block{{Text: "Weather in Oslo?"}}}}}

const streamed = `event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[],"usage":{"input_tokens":25,"output_tokens":1}}}

data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

data: {"type":"ping"}

data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Let me see."}}

data: {"type":"content_block_stop","index":0}

data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"toolu_1","name":"weather","input":{}}}

data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"city\": \"Os"}}

data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"lo\"}"}}

data: {"type":"content_block_stop","index":1}

data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":15}}

data: {"type":"message_stop"}
`

func TestClient_documents(t *testing.T) {
	for format, code := range map[string]moorage.Code{"pdf": "", "txt": "", "html": "", "docx": moorage.Unsupported} {
		r := model.Request{Model: "claude", Messages: []model.Message{{Role: model.User, Content: []model.Block{
			{ToolResult: &model.ToolResult{ID: "t", Content: []model.Block{{Document: &model.Media{Format: format, Name: "tides", Bytes: []byte("4:12")}}}}},
		}}}}
		if _, err := model.Collect(stub(t, 200, streamed).Answer(t.Context(), r)); moorage.CodeOf(err) != code {
			t.Errorf("%s: %v", format, err)
		}
	}
}

func TestClient_readsAStream(t *testing.T) {
	got, err := model.Collect(stub(t, 200, streamed).Answer(t.Context(), request))
	if err != nil {
		t.Fatal(err)
	}
	content := got.Message.Content
	if len(content) != 2 || content[0].Text != "Let me see." || content[1].ToolUse.ID != "toolu_1" || string(content[1].ToolUse.Input) != `{"city": "Oslo"}` {
		t.Errorf("the content is %+v", content)
	}
	if want := (model.Stop{Reason: model.UseTool, Model: "claude-x", Usage: model.Usage{Input: 25, Output: 15}}); got.Stop != want {
		t.Errorf("it stopped as %+v, not %+v", got.Stop, want)
	}
}

func TestClient_whatGoesWrongIsCoded(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		code   moorage.Code
	}{
		"throttled":  {429, `{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}`, moorage.Throttled},
		"too long":   {400, `{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens"}}`, moorage.Invalid},
		"overloaded": {200, "data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n", moorage.Throttled},
		"garbage":    {200, "data: <html>\n", moorage.AgentFailed},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := model.Collect(stub(t, c.status, c.body).Answer(t.Context(), request))
			if moorage.CodeOf(err) != c.code {
				t.Errorf("%v (%s)", err, moorage.CodeOf(err))
			}
		})
	}
}

// TestForm_whatIsReadIsWritten takes a stream apart and puts it together again.
func TestForm_whatIsReadIsWritten(t *testing.T) {
	var types []string
	for doc, err := range anthropic.Stream("msg_1", stub(t, 200, streamed).Answer(t.Context(), request)) {
		var e struct{ Type string }
		if err != nil || json.Unmarshal(doc, &e) != nil {
			t.Fatal(err, string(doc))
		}
		types = append(types, e.Type)
	}
	want := []string{
		"message_start", "content_block_start", "content_block_delta", "content_block_stop",
		"content_block_start", "content_block_delta", "content_block_delta", "content_block_stop", "message_delta", "message_stop",
	}
	if !slices.Equal(types, want) {
		t.Errorf("the events are %v", types)
	}
}

func TestRead_refusesWhatIsNoRequest(t *testing.T) {
	for _, body := range []string{``, `[]`, `{"inputText":"titan's form"}`, `{"max_tokens":1,"messages":[]}`, `{"max_tokens":1,"messages":[{"role":"user","content":[{"type":"hologram"}]}]}`} {
		if _, err := anthropic.Read("m", []byte(body)); err == nil || moorage.CodeOf(err) == moorage.Internal {
			t.Errorf("%s: %v", body, err)
		}
	}
	r, err := anthropic.Read("m", []byte(`{"max_tokens":9,"system":"Be brief.","messages":[{"role":"user","content":[{"type":"text","text":"Hi"},{"type":"tool_result","tool_use_id":"t","content":"42"}]}]}`))
	if err != nil || r.MaxTokens != 9 || r.System[0] != "Be brief." || r.Messages[0].Content[1].ToolResult.Text() != "42" || !strings.Contains(r.Messages[0].Text(), "Hi") {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestClient_getsWhatInvokeModelSays reads a body as callers of InvokeModel send it, and asks by it: how to think, and what is in
// test, reach the maker.
func TestClient_getsWhatInvokeModelSays(t *testing.T) {
	r, err := anthropic.Read("claude-x", []byte(`{"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["interleaved-thinking-2025-05-14"],"max_tokens":2000,
		"top_k":5,"thinking":{"type":"enabled","budget_tokens":1024},"metadata":{"user_id":"u"},"messages":[{"role":"user","content":"Hi"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	var header http.Header
	var asked map[string]any
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		header = q.Header
		if err := json.NewDecoder(q.Body).Decode(&asked); err != nil {
			t.Error(err)
		}
		io.WriteString(w, streamed)
	}))
	defer s.Close()
	c := &anthropic.Client{URL: s.URL + "/v1", HTTP: s.Client()}
	if _, err := model.Collect(c.Answer(t.Context(), r)); err != nil {
		t.Fatal(err)
	}
	thinking, _ := asked["thinking"].(map[string]any)
	if thinking["budget_tokens"] != 1024.0 || asked["top_k"] != 5.0 || asked["anthropic_beta"] != nil || header.Get("Anthropic-Beta") != "interleaved-thinking-2025-05-14" {
		t.Errorf("asked %v, with %v", asked, header)
	}
	_, err = anthropic.Read("m", []byte(`{"max_tokens":9,"messages":[{"role":"user","content":"Hi"}],"tools":[{"type":"web_search_20250305","name":"web_search"}]}`))
	if moorage.CodeOf(err) != moorage.Unsupported || !strings.Contains(err.Error(), "input_schema") {
		t.Errorf("a tool that the maker runs: %v", err)
	}
}
