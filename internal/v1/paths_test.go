package v1

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/moorage-dev/moorage"
)

func TestRoutes_pathsAreTakenAsTheyAre(t *testing.T) {
	var said error
	h := Handler{Error: func(w http.ResponseWriter, _ *http.Request, err error) {
		said = err
		w.WriteHeader(http.StatusNotFound)
	}}
	routes := h.Routes()
	for _, path := range []string{"/v1/sessions/../../root.key", "/v1/../v1/info", "/v1//info", "/v1/./info", "/v1/info/..", "/v1/nothing"} {
		w := httptest.NewRecorder()
		said = nil
		routes.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != http.StatusNotFound || moorage.CodeOf(said) != moorage.NotFound || w.Header().Get("Location") != "" {
			t.Errorf("%s: %d to %q, %v", path, w.Code, w.Header().Get("Location"), said)
		}
	}
	w := httptest.NewRecorder()
	if routes.ServeHTTP(w, httptest.NewRequest("GET", "/v1/info", nil)); w.Code != http.StatusOK {
		t.Errorf("/v1/info: %d", w.Code)
	}
}
