package knowledge_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/knowledge"
)

// moods is an embedding server that does one thing for each request, and the last for all that follow.
type moods struct {
	does  []string
	asked int
}

func (m *moods) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	mood := m.does[min(m.asked, len(m.does)-1)]
	m.asked++
	var in struct{ Input []string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		mood = "400 what was sent is no JSON"
	}
	switch mood {
	case "hangs up":
		panic(http.ErrAbortHandler)
	case "breaks off":
		w.Header().Set("Content-Length", "1000")
		w.Write([]byte(`{"data":[`))
	case "answers":
		var data []map[string]any
		for i := range in.Input {
			data = append(data, map[string]any{"index": i, "embedding": []float64{1, 0}})
		}
		json.NewEncoder(w).Encode(map[string]any{"data": data})
	default: // a status, and words
		var status int
		fmt.Sscan(mood, &status)
		w.Header().Set("Retry-After-Ms", "1")
		if strings.Contains(mood, "much patience") {
			w.Header().Set("Retry-After-Ms", "90000")
		}
		http.Error(w, mood, status)
	}
}

func TestOpenAI_asksAgainWhereThatMayHelp(t *testing.T) {
	for name, c := range map[string]struct {
		does  []string
		asked int
		code  moorage.Code // empty for vectors
		told  string
	}{
		"answers at once":            {[]string{"answers"}, 1, "", ""},
		"is down, then up":           {[]string{"503 down", "answers"}, 2, "", ""},
		"asks to wait":               {[]string{"429 slow down", "429 slow down", "answers"}, 3, "", ""},
		"hangs up, then breaks off":  {[]string{"hangs up", "breaks off", "answers"}, 3, "", ""},
		"is asked too often":         {[]string{"429 slow down"}, 3, moorage.Throttled, "slow down (asked 3 times)"},
		"asks for much patience":     {[]string{"429 much patience"}, 1, moorage.Throttled, "(it asks to wait 1m30s)"},
		"is down":                    {[]string{"500 down"}, 3, moorage.Unavailable, "500 Internal Server Error: 500 down"},
		"does not take the key":      {[]string{"401 who are you"}, 1, moorage.Denied, "MOORAGE_EMBEDDER_KEY"},
		"does not know the model":    {[]string{"404 no such model"}, 1, moorage.Unavailable, "no such model"},
		"cannot read so much":        {[]string{"400 the input is too long"}, 1, moorage.Invalid, "too long"},
		"does not do such a thing":   {[]string{"501 no embeddings here"}, 1, moorage.Unavailable, "no embeddings here"},
		"answers, then is down once": {[]string{"answers", "503 down", "answers"}, 3, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := &moods{does: c.does}
			server := httptest.NewServer(m)
			defer server.Close()
			texts := []string{"one"}
			if c.does[0] == "answers" && len(c.does) > 1 {
				texts = make([]string, 65) // two requests
			}
			e := &knowledge.OpenAI{URL: server.URL + "/v1", Model: "small"}
			vectors, err := e.Embed(t.Context(), texts, 4)
			if m.asked != c.asked || moorage.CodeOf(err) != c.code || err != nil && !strings.Contains(err.Error(), c.told) {
				t.Errorf("asked %d times, %v", m.asked, err)
			}
			if err == nil && len(vectors) != len(texts) {
				t.Errorf("%d vectors of %d texts", len(vectors), len(texts))
			}
		})
	}
}

func TestOpenAI_whoCannotBeReachedIsAskedAgain(t *testing.T) {
	server := httptest.NewServer(nil)
	server.Close()
	_, err := (&knowledge.OpenAI{URL: server.URL, Model: "small"}).Embed(t.Context(), []string{"one"}, 4)
	if moorage.CodeOf(err) != moorage.Unavailable || !strings.Contains(err.Error(), "does not answer") || !strings.Contains(err.Error(), "(asked 3 times)") {
		t.Error(err)
	}
}
