package server

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestCORS(t *testing.T) {
	reached := 0
	h := cors(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached++
		w.WriteHeader(http.StatusForbidden)
	}))
	ask := func(method, path string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	const path = "/runtimes/demo-abcdefghij/invocations"
	preflight := ask("OPTIONS", path, "Origin", "https://app.example", "Access-Control-Request-Method", "POST",
		"Access-Control-Request-Headers", "authorization,x-amzn-bedrock-agentcore-runtime-session-id")
	got := preflight.Header()
	if preflight.Code != 204 || reached != 0 || got.Get("Access-Control-Allow-Origin") != "*" || got.Get("Access-Control-Allow-Credentials") != "" ||
		!strings.Contains(got.Get("Access-Control-Allow-Methods"), "POST") || !strings.Contains(got.Get("Access-Control-Allow-Headers"), "authorization") {
		t.Errorf("preflight: %d %v, and reached the handler %d times", preflight.Code, got, reached)
	}
	refused := ask("POST", path, "Origin", "https://app.example")
	if refused.Code != 403 || refused.Header().Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(refused.Header().Get("Access-Control-Expose-Headers"), "x-amzn-ErrorType") {
		t.Errorf("a refusal that a page may read: %d %v", refused.Code, refused.Header())
	}
	for _, plain := range []*httptest.ResponseRecorder{
		ask("POST", path), ask("OPTIONS", path), ask("POST", "/tags/x", "Origin", "https://app.example"), ask("OPTIONS", path, "Access-Control-Request-Method", "POST"),
	} {
		if plain.Code != 403 || plain.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("a call from no page: %d %v", plain.Code, plain.Header())
		}
	}
	if ask("OPTIONS", path, "Origin", "https://app.example").Code != 403 {
		t.Error("OPTIONS that is no preflight was answered")
	}
}
