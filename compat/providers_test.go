package compat

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

// moody is a server that speaks OpenAI's form, and treats each model's callers in its own way.
type moody struct {
	mu    sync.Mutex
	asked map[string]int // by model
}

func (m *moody) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body struct{ Model string }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	m.mu.Lock()
	m.asked[body.Model]++
	n := m.asked[body.Model]
	m.mu.Unlock()
	const hello = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Good evening.\"}}]}\n\n"
	const end = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":3}}\n\ndata: [DONE]\n\n"
	w.Header().Set("Retry-After-Ms", "1")
	switch {
	case body.Model == "throttles":
		w.WriteHeader(http.StatusTooManyRequests)
		io.WriteString(w, `{"error":{"message":"slow down"}}`)
	case body.Model == "patient":
		w.Header().Set("Retry-After-Ms", "90000")
		w.WriteHeader(http.StatusTooManyRequests)
		io.WriteString(w, `{"error":{"message":"slow down"}}`)
	case body.Model == "recovers" && n < 3:
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, "<html>starting</html>")
	case body.Model == "hangs-up" && n < 2:
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			conn.Close()
		}
	case body.Model == "garbage":
		io.WriteString(w, "data: {{{\n\n")
	case body.Model == "page":
		io.WriteString(w, "<html><p>Welcome to the captive portal.</p></html>")
	case body.Model == "mumbles":
		io.WriteString(w, hello+"data: {{{\n\n")
	case body.Model == "drops":
		io.WriteString(w, hello)
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	default:
		io.WriteString(w, hello+end)
	}
}

func (m *moody) times(model string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.asked[model]
}

// TestModels_whatAProviderDoesWrongIsCoded has a provider throttle, start late, hang up, drop its answer in the middle and return
// garbage: clients of Bedrock get an answer where asking again helped, and else the error that they know. What began to answer is never asked twice.
func TestModels_whatAProviderDoesWrongIsCoded(t *testing.T) {
	s := shared(t)
	provider := &moody{asked: map[string]int{}}
	far := httptest.NewServer(provider)
	defer far.Close()
	for _, args := range [][]string{
		{"models", "add", "moody", "--kind", "openai", "--url", far.URL + "/v1"},
		{"models", "route", "moody.*", "moody"},
	} {
		if out, err := s.cli(t.Context(), args...); err != nil {
			t.Fatal(err, out)
		}
	}
	defer s.cli(t.Context(), "models", "remove", "moody")
	defer s.cli(t.Context(), "models", "unroute", "moody.*")
	for model, want := range map[string]struct {
		whole, streamed string // the exceptions; none is an answer
		words           string
		asked           int
	}{
		"fine":      {"", "", "Good evening.", 2}, // once whole, once in pieces
		"recovers":  {"", "", "Good evening.", 4},
		"hangs-up":  {"", "", "Good evening.", 3},
		"throttles": {"ThrottlingException", "ThrottlingException", "slow down (asked 3 times)", 6},
		"patient":   {"ThrottlingException", "ThrottlingException", "it asks to wait 1m30s", 2},
		"garbage":   {"ModelErrorException", "ModelErrorException", "no JSON", 2},
		"page":      {"ModelErrorException", "ModelErrorException", "broke off its answer", 2},
		"mumbles":   {"ModelErrorException", "ModelStreamErrorException", "no JSON", 2},
		"drops":     {"ServiceUnavailableException", "ServiceUnavailableException", "broke off its answer", 2},
	} {
		t.Run(model, func(t *testing.T) {
			name := "moody." + model
			if out, err := s.cli(t.Context(), "models", "route", name, "moody", "--model", model); err != nil {
				t.Fatal(err, out)
			}
			defer s.cli(t.Context(), "models", "unroute", name)
			whole, err := s.models().Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: &name, Messages: says("Hello")})
			told := fmt.Sprint(err)
			if err == nil {
				told = whole.Output.(*types.ConverseOutputMemberMessage).Value.Content[0].(*types.ContentBlockMemberText).Value
			}
			if !strings.Contains(told, want.whole) || !strings.Contains(told, want.words) {
				t.Errorf("whole: %s", told)
			}
			came, err := s.streamed(t, name)
			if told = fmt.Sprint(err); err == nil {
				told = came
			}
			if !strings.Contains(told, want.streamed) || !strings.Contains(told, want.words) {
				t.Errorf("in pieces: %s", told)
			}
			if began := model == "mumbles" || model == "drops"; (began || want.whole == "") != (came == "Good evening.") {
				t.Errorf("what came in pieces is %q", came)
			}
			if n := provider.times(model); n != want.asked {
				t.Errorf("asked %d times, want %d", n, want.asked)
			}
		})
	}
}

// streamed is what came of an answer in pieces, and the error that ended it.
func (s *server) streamed(t *testing.T, model string) (text string, err error) {
	t.Helper()
	answer, err := s.models().ConverseStream(t.Context(), &bedrockruntime.ConverseStreamInput{ModelId: &model, Messages: says("Hello")})
	if err != nil {
		return "", err
	}
	stream := answer.GetStream()
	defer stream.Close()
	for e := range stream.Events() {
		if d, ok := e.(*types.ConverseStreamOutputMemberContentBlockDelta); ok {
			text += d.Value.Delta.(*types.ContentBlockDeltaMemberText).Value
		}
	}
	return text, stream.Err()
}

// TestModels_theSpanSaysHowManyTries has an agent's call be asked again, and finds that in its span.
func TestModels_theSpanSaysHowManyTries(t *testing.T) {
	s := shared(t)
	far := httptest.NewServer(&moody{asked: map[string]int{}})
	defer far.Close()
	for _, args := range [][]string{
		{"models", "add", "late", "--kind", "openai", "--url", far.URL + "/v1"}, {"models", "route", "late-model", "late", "--model", "recovers"},
	} {
		if out, err := s.cli(t.Context(), args...); err != nil {
			t.Fatal(err, out)
		}
	}
	defer s.cli(t.Context(), "models", "remove", "late")
	defer s.cli(t.Context(), "models", "unroute", "late-model")
	a := s.deployed(t, guestAgent)
	session := newSession(t)
	var got struct{ Text string }
	if err := a.call(t.Context(), session, map[string]any{"op": "converse", "text": "Hello", "model": "late-model"}, &got); err != nil || got.Text != "Good evening." {
		t.Fatalf("%+v, %v", got, err)
	}
	known, err := s.sessions(t.Context(), session)
	if err != nil || len(known) != 1 {
		t.Fatalf("the server lists %+v, %v", known, err)
	}
	found := s.traceOf(t, known[0].ID, 10*time.Second, func(st sessionTrace) bool { return st.called().ModelCalls == 1 })
	doc, err := s.ask(t.Context(), "GET", "/v1/traces/"+found.called().TraceID+"?format=otlp")
	if err != nil || !strings.Contains(strings.ReplaceAll(string(doc), " ", ""), `{"key":"moorage.model.tries","value":{"intValue":"3"}}`) {
		t.Errorf("%v, and the trace says\n%s", err, doc)
	}
}

// TestModels_aProviderThatStallsDoesNotHoldItsCaller has a model say nothing: a caller who has waited enough goes, and the next is answered.
func TestModels_aProviderThatStallsDoesNotHoldItsCaller(t *testing.T) {
	s := shared(t)
	file := filepath.Join(t.TempDir(), "stall.yaml")
	if err := os.WriteFile(file, []byte("- match: wait\n  answer:\n    - text: \"One moment. \"\n    - wait: 10m\n- answer:\n    - text: Here.\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"models", "add", "slow", "--kind", "script", "--file", file}, {"models", "route", "slow-model", "slow"}} {
		if out, err := s.cli(t.Context(), args...); err != nil {
			t.Fatal(err, out)
		}
	}
	defer s.cli(t.Context(), "models", "remove", "slow")
	defer s.cli(t.Context(), "models", "unroute", "slow-model")
	a := s.deployed(t, guestAgent)
	var got refusal
	session := newSession(t)
	if err := a.call(t.Context(), session, map[string]any{"op": "converse", "text": "wait for me", "model": "slow-model", "timeout": 1}, &got); err != nil || got.Error != "ReadTimeoutError" {
		t.Errorf("%+v, %v", got, err)
	}
	var next struct{ Text string }
	if err := a.call(t.Context(), session, map[string]any{"op": "converse", "text": "are you there", "model": "slow-model"}, &next); err != nil || next.Text != "Here." {
		t.Errorf("the same session's next call: %+v, %v", next, err)
	}
}
