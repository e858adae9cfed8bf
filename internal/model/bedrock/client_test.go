package bedrock_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/model"
	"github.com/moorage-dev/moorage/internal/model/bedrock"
)

// stub plays events in the frames and under the names that Bedrock's documentation gives them. It is no recording
// of a call to AWS: none can be made from here.
func stub(t *testing.T, status int, header string, body func(io.Writer)) (*bedrock.Client, *map[string]any) {
	t.Helper()
	asked := map[string]any{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		auth := r.Header.Get("Authorization")
		if !strings.Contains(auth, "Credential=AKIDEXAMPLE/") || !strings.Contains(auth, "/eu-west-1/bedrock/aws4_request") || r.Header.Get("X-Amz-Security-Token") != "token" {
			t.Errorf("signed %q", auth)
		}
		if r.URL.EscapedPath() != "/model/eu.amazon.nova-pro-v1%3A0/converse-stream" {
			t.Errorf("asked %s", r.URL.EscapedPath())
		}
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/vnd.amazon.eventstream")
		if header != "" {
			w.Header().Set("X-Amzn-ErrorType", header)
			w.Header().Set("Content-Type", "application/json")
		}
		w.WriteHeader(status)
		body(w)
	}))
	t.Cleanup(s.Close)
	c, err := bedrock.New(bedrock.Options{Region: "eu-west-1", URL: s.URL, Key: "AKIDEXAMPLE:secret:token", HTTP: s.Client()})
	if err != nil {
		t.Fatal(err)
	}
	return c, &asked
}

// frames writes events: kind, name, payload, and so on.
func frames(t *testing.T, parts ...string) func(io.Writer) {
	return func(w io.Writer) {
		for i := 0; i < len(parts); i += 3 {
			m := eventstream.Message{Payload: []byte(parts[i+2])}
			m.Headers.Set(":message-type", eventstream.StringValue(parts[i]))
			m.Headers.Set(map[string]string{"event": ":event-type", "exception": ":exception-type"}[parts[i]], eventstream.StringValue(parts[i+1]))
			m.Headers.Set(":content-type", eventstream.StringValue("application/json"))
			if err := eventstream.NewEncoder().Encode(w, m); err != nil {
				t.Error(err)
			}
		}
	}
}

var request = model.Request{
	Model: "eu.amazon.nova-pro-v1:0", System: []string{"Be brief."}, MaxTokens: 100, Extra: json.RawMessage(`{"inferenceConfig":{"topK":5}}`),
	Messages: []model.Message{
		{Role: model.User, Content: []model.Block{{Text: "Weather in Oslo?"}, {Image: &model.Media{Format: "png", Bytes: []byte("x")}}}},
		{Role: model.Assistant, Content: []model.Block{{ToolUse: &model.ToolUse{ID: "t1", Name: "weather", Input: json.RawMessage(`{"city":"Oslo"}`)}}}},
		{Role: model.User, Content: []model.Block{{ToolResult: &model.ToolResult{ID: "t1", Failed: true, Content: []model.Block{{Text: "no such city"}}}}}},
	},
	Tools: []model.Tool{{Name: "weather", Schema: json.RawMessage(`{"type":"object"}`)}}, Choice: model.Choice{Name: "weather"},
}

func TestClient_asksAndReadsAsBedrockDoes(t *testing.T) {
	c, asked := stub(t, 200, "", frames(t,
		"event", "messageStart", `{"role":"assistant"}`,
		"event", "contentBlockDelta", `{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"Hm."}}}`,
		"event", "contentBlockDelta", `{"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"s"}}}`,
		"event", "contentBlockStop", `{"contentBlockIndex":0}`,
		"event", "contentBlockDelta", `{"contentBlockIndex":1,"delta":{"text":"Let me "}}`,
		"event", "contentBlockDelta", `{"contentBlockIndex":1,"delta":{"text":"look."}}`,
		"event", "contentBlockStop", `{"contentBlockIndex":1}`,
		"event", "contentBlockStart", `{"contentBlockIndex":2,"start":{"toolUse":{"toolUseId":"t2","name":"weather"}}}`,
		"event", "contentBlockDelta", `{"contentBlockIndex":2,"delta":{"toolUse":{"input":"{\"city\":"}}}`,
		"event", "contentBlockDelta", `{"contentBlockIndex":2,"delta":{"toolUse":{"input":"\"Bergen\"}"}}}`,
		"event", "contentBlockStop", `{"contentBlockIndex":2}`,
		"event", "messageStop", `{"stopReason":"tool_use"}`,
		"event", "metadata", `{"usage":{"inputTokens":10,"outputTokens":7,"totalTokens":17,"cacheReadInputTokens":4},"metrics":{"latencyMs":5}}`,
	))
	got, err := model.Collect(c.Answer(t.Context(), request))
	if err != nil {
		t.Fatal(err)
	}
	want := model.Answer{
		Message: model.Message{Role: model.Assistant, Content: []model.Block{
			{Reasoning: &model.Reasoning{Text: "Hm.", Signature: "s"}}, {Text: "Let me look."},
			{ToolUse: &model.ToolUse{ID: "t2", Name: "weather", Input: json.RawMessage(`{"city":"Bergen"}`)}},
		}},
		Stop: model.Stop{Reason: model.UseTool, Model: request.Model, Usage: model.Usage{Input: 10, Output: 7, CacheRead: 4}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	doc, _ := json.Marshal(*asked)
	for _, part := range []string{
		`"system":[{"text":"Be brief."}]`, `"maxTokens":100`, `"additionalModelRequestFields":{"inferenceConfig":{"topK":5}}`, `"toolChoice":{"tool":{"name":"weather"}}`,
		`"source":{"bytes":"eA=="}`, `"toolUse":{"input":{"city":"Oslo"},"name":"weather","toolUseId":"t1"}`, `"status":"error"`, `"json":{"type":"object"}`,
	} {
		if !strings.Contains(string(doc), part) {
			t.Errorf("%s is not in %s", part, doc)
		}
	}
}

func TestClient_whatGoesWrongIsCoded(t *testing.T) {
	text := func(s string) func(io.Writer) { return func(w io.Writer) { io.WriteString(w, s) } }
	for name, c := range map[string]struct {
		status int
		header string
		body   func(io.Writer)
		code   moorage.Code
		words  string
	}{
		"throttled":          {429, "ThrottlingException", text(`{"message":"slow down"}`), moorage.Throttled, "slow down"},
		"too long":           {400, "ValidationException", text(`{"message":"Input is too long for requested model. prompt is too long"}`), moorage.Invalid, "Input is too long for requested model"},
		"a key that is none": {403, "UnrecognizedClientException", text(`{"message":"The security token included in the request is invalid: secret"}`), moorage.Denied, "does not take our key"},
		"an unknown model":   {404, "ResourceNotFoundException", text(`{"message":"no such model"}`), moorage.NotFound, "no such model"},
		"no JSON":            {502, "", text(`<html>`), moorage.Unavailable, ""},
		"throttled in the middle": {200, "", frames(t, "event", "messageStart", `{"role":"assistant"}`, "event", "contentBlockDelta", `{"contentBlockIndex":0,"delta":{"text":"Let"}}`,
			"exception", "throttlingException", `{"message":"slow down"}`), moorage.Throttled, "slow down"},
		"broken frames": {200, "", text("this is no event stream at all"), moorage.Unavailable, ""},
	} {
		client, _ := stub(t, c.status, c.header, c.body)
		_, err := model.Collect(client.Answer(t.Context(), request))
		if moorage.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.words) || strings.Contains(err.Error(), "invalid: secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseKey_takesTwoPartsOrThree(t *testing.T) {
	for key, good := range map[string]bool{"": true, "A:b": true, "A:b:c": true, "A": false, ":b": false, "A:b:c:d": false} {
		if _, err := bedrock.ParseKey(key); (err == nil) != good {
			t.Errorf("%q: %v", key, err)
		}
	}
}

func TestClient_asksForJSONOfASchema(t *testing.T) {
	c, asked := stub(t, 200, "", frames(t, "event", "messageStop", `{"stopReason":"end_turn"}`, "event", "metadata", `{"usage":{"inputTokens":1,"outputTokens":1,"totalTokens":2},"metrics":{"latencyMs":1}}`))
	r := request
	r.Tools = []model.Tool{{Name: "weather", Schema: json.RawMessage(`{"type":"object"}`), Strict: true}}
	r.OpenAI = json.RawMessage(`{"reasoning_effort":"low","response_format":{"type":"json_schema","json_schema":{"name":"tides","schema":{"type":"object"}}}}`)
	if _, err := model.Collect(c.Answer(t.Context(), r)); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"effort": "low", "textFormat": map[string]any{"type": "json_schema", "structure": map[string]any{"jsonSchema": map[string]any{"name": "tides", "schema": `{"type":"object"}`}}}}
	if got := (*asked)["outputConfig"]; !reflect.DeepEqual(got, want) {
		t.Errorf("it is to answer as %v", got)
	}
	if tool := (*asked)["toolConfig"].(map[string]any)["tools"].([]any)[0].(map[string]any)["toolSpec"].(map[string]any); tool["strict"] != true {
		t.Errorf("the tool is %v", tool)
	}
	r.OpenAI = json.RawMessage(`{"response_format":{"type":"json_object"}}`)
	if _, err := model.Collect(c.Answer(t.Context(), r)); moorage.CodeOf(err) != moorage.Unsupported {
		t.Errorf("JSON of no schema: %v", err)
	}
}
