package compat

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
)

// Agents whose exporters speak to CloudWatch find it inside, and cannot write for others.
func TestGuest_putsLogEventsAndMetrics(t *testing.T) {
	s := shared(t)
	a := s.deployed(t, guestAgent)
	id := a.arn[strings.LastIndex(a.arn, "/")+1:]
	put := map[string]any{"op": "put", "group": "/aws/bedrock-agentcore/runtimes/" + id + "-DEFAULT", "namespace": "compat/guest"}
	var refused refusal
	if err := a.call(t.Context(), newSession(t), put, &refused); err != nil || refused.Error != "" {
		t.Fatalf("put: %v, %+v", err, refused)
	}
	for name, want := range map[string]float64{"guest.thoughts": 3, "guest.moods": 2} {
		answer, err := s.ask(t.Context(), "GET", "/v1/metrics?since=1h&by=runtime&name="+url.QueryEscape(name))
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Series []struct {
				Labels map[string]string
				Points []struct{ Sum float64 }
			}
		}
		if err := json.Unmarshal(answer, &got); err != nil || len(got.Series) != 1 || got.Series[0].Labels["runtime"] != id || got.Series[0].Points[0].Sum != want {
			t.Errorf("%s: %s, %v", name, answer, err)
		}
	}
	put["group"] = "/aws/bedrock-agentcore/runtimes/" + s.deployed(t, probe).arn[strings.LastIndex(s.deployed(t, probe).arn, "/")+1:] + "-DEFAULT"
	if err := a.call(t.Context(), newSession(t), put, &refused); err != nil || refused.Error != "AccessDeniedException" {
		t.Errorf("another runtime's group: %v, %+v", err, refused)
	}
}
